"""run.json, the record of a run: its command, versions, device and settings."""
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys

import numpy as np
from fast_rcnn.config import cfg
from utils import caffe_extensions
from utils.whole_file import whole_file

RECORD = "run.json"


def describe_run(**facts):
    """The record of a run, a dict: command, seed, versions, revision, device; then `facts`, and the settings."""
    return {"command": shlex.join([os.path.basename(sys.executable)] + sys.argv), "seed": cfg.RNG_SEED,
            "versions": {"python": platform.python_version(), "caffe": caffe_extensions.version(),
                         "torch": _version("torch"), "numpy": np.__version__},
            "revision": _revision(cfg.ROOT_DIR), "device": caffe_extensions.device_name(), **facts, "config": cfg}


def write_record(path, record):
    """Write a record as json, whole or not at all."""
    with whole_file(path, "w") as f:
        json.dump(plain(record), f, indent=1)
        f.write("\n")


def read_record(folder):
    """The record in a folder; {} if it is missing or cannot be read."""
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as f:
            record = json.load(f)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def plain(value):
    """`value` as json knows it: dicts, lists, numbers and text; anything else, which programs put into cfg, is text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _version(package):
    """Of an installed package; None where it is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _revision(folder):
    """The git commit of a folder that is a checkout, with -dirty where files were changed; None without git."""
    if not os.path.exists(os.path.join(folder, ".git")):
        return None
    command = ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
