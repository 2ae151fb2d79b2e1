"""Results of C++ Caffe 1.0 in tests/reference, recorded by a script of tests/support: {"case|key": array}."""
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]


def recorded(file, case):
    """{key: array} of one case in a file of tests/reference."""
    with np.load(TESTS / "reference" / file) as arrays:
        return {key.partition("|")[2]: arrays[key] for key in arrays if key.partition("|")[0] == case}


def recorded_and_new(file, script, folder):
    """Pairs of an array in a file of tests/reference, and what the C++ Caffe of CAFFE_PYTHON gives now: (key, old, new)."""
    python = os.environ.get("CAFFE_PYTHON")
    if not python:
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([python, TESTS / "support" / script, folder / "now.npz"], check=True, env=env, cwd=folder)
    with np.load(TESTS / "reference" / file) as old, np.load(folder / "now.npz") as new:
        assert sorted(old) == sorted(new)
        return [(key, old[key], new[key]) for key in old]
