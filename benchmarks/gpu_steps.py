#!/usr/bin/env python
"""Everything that only a CUDA device can show, in steps of minutes: make gpu PY=python3.

    python3 benchmarks/gpu_steps.py                     # all steps that have not succeeded yet
    python3 benchmarks/gpu_steps.py --steps tests speed # these, again
    python3 benchmarks/gpu_steps.py --list              # what they are

A step writes output/gpu/STEP.log (its output) and STEP.json (its exit status and seconds).  A step that succeeded is
done: a session that was cut goes on with the next one.
"""
import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 540             # seconds of a step
NEEDED = {"torch": "everything", "numpy": "everything", "cv2": "images", "scipy": "evaluation", "yaml": "settings",
          "google.protobuf": "prototxts", "easydict": "lib/ and tools/", "pytest": "the tests"}
USEFUL = {"triton": "the region kernels; plain PyTorch takes their place",
          "pycocotools": "COCO's annotations and metrics", "lmdb": "LMDB", "h5py": "HDF5", "tqdm": "progress bars",
          "torchvision": "a peer in benchmarks/gpu.py", "tensorboard": "event files"}
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=8"]
TRAINING = {"images": 64, "proposals": 2000, "iterations": 120}


def _tests(out, scratch):
    return [[*PYTEST, "tests/gpu", "tests/caffe_tests/test_triton_kernels.py", "-k", "not true_net"]]


def _speed(out, scratch):
    command = [sys.executable, "benchmarks/gpu.py", "--nets", "VGG16", "--out", str(out / "gpu.json"), "--precisions"]
    return [[*command, name] for name in ("bf16", "tf32", "float32")]


def _trace(out, scratch):
    return [[sys.executable, "benchmarks/gpu_trace.py", "--out", str(out / "gpu_trace.json")]]


def _true_nets(out, scratch):
    return [[*PYTEST, "tests/gpu", "-k", "true_net"]]


def _training(out, scratch):
    from _voc_folder import write_voc_folder  # which needs NEEDED
    imdb = write_voc_folder(scratch / "voc", TRAINING["images"], TRAINING["proposals"])
    solver = ROOT / "models" / "pascal_voc" / "VGG16" / "fast_rcnn_ohem" / "solver.prototxt"
    return [[sys.executable, "tools/train_net.py", "--gpu", "0", "--solver", str(solver), "--imdb", imdb, "--overwrite",
             "--iters", str(TRAINING["iterations"]), "--precision", "bf16",
             "--cfg", "experiments/cfgs/fast_rcnn_ohem.yml", "--set", "EXP_DIR", "gpu_steps"]]


def _sanitizer(out, scratch):
    return [["compute-sanitizer", "--error-exitcode", "9", *PYTEST, "tests/caffe_tests/test_triton_kernels.py"]]


STEPS = {"tests": ("the region kernels; every layer, a tiny net's OHEM step and the tools on GPU and CPU", _tests),
         "speed": ("benchmarks/gpu.py: VGG16 in bf16, tf32 and float32, next to plain PyTorch and torchvision", _speed),
         "trace": ("benchmarks/gpu_trace.py: the kernels that take the time, the longest waits", _trace),
         "true_nets": ("an OHEM step of VGG_CNN_M_1024 and VGG16 on GPU and CPU", _true_nets),
         "training": ("tools/train_net.py with VGG16 on made images: seconds an iteration, wait for data", _training),
         "sanitizer": ("compute-sanitizer over the region kernels' tests", _sanitizer)}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="+", choices=STEPS, metavar="STEP", help=f"of {', '.join(STEPS)}, also again")
    parser.add_argument("--list", action="store_true", help="say what the steps are")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"seconds of a step at most (default: {LIMIT})")
    parser.add_argument("--out", default=str(ROOT / "output" / "gpu"), metavar="FOLDER")
    return parser.parse_args()


def missing(modules):
    """Those of `modules` that this Python lacks, with what goes without them."""
    return [f"{name} ({part})" for name, part in modules.items() if not _found(name)]


def _found(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:     # the package that it lies in
        return False


def check_modules():
    """One line for what is missing; ends the program where nothing works without it."""
    absent = missing(NEEDED)
    if absent:
        raise SystemExit(f"error: make gpu: {sys.executable} lacks {', '.join(absent)}; install them, or put a folder "
                         "that holds them on PYTHONPATH")
    absent = missing(USEFUL)
    if absent:
        print(f"without {'; '.join(absent)}")


def is_done(out, name):
    """Whether a step has a record of success in the folder `out`."""
    record = out / f"{name}.json"
    return record.exists() and json.loads(record.read_text(encoding="utf-8"))["status"] == 0


def run_step(name, out, limit):
    """Run a step's commands one after another; returns its record."""
    log = out / f"{name}.log"
    start = time.monotonic()
    status = 0
    with open(log, "w", encoding="utf-8") as f, tempfile.TemporaryDirectory() as scratch:
        for command in STEPS[name][1](out, Path(scratch)):
            print("+ " + " ".join(command), file=f, flush=True)
            status = max(status, _run(command, f, start + limit - time.monotonic()))
    record = {"step": name, "status": status, "seconds": round(time.monotonic() - start, 1)}
    (out / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    return record


def _run(command, log, seconds):
    """The exit status of a command; 127 where it is not installed, 124 where it took too long."""
    if shutil.which(command[0]) is None:
        print(f"{command[0]} is not installed", file=log, flush=True)
        return 127
    try:
        return abs(subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, timeout=max(1.0, seconds),
                                  env={**os.environ, "PYTHONUNBUFFERED": "1"}).returncode)
    except subprocess.TimeoutExpired:
        print("stopped: the step's time is over", file=log, flush=True)
        return 124


def main():
    args = parse_args()
    if args.list:
        print("\n".join(f"{name:10s} {text}" for name, (text, _) in STEPS.items()))
        return
    check_modules()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    names = args.steps or [name for name in STEPS if not is_done(out, name)]
    records = []
    for name in names:
        print(f"{name}: {STEPS[name][0]} ...", flush=True)
        records.append(run_step(name, out, args.limit))
        print(f"  status {records[-1]['status']}, {records[-1]['seconds']} s; {out / name}.log", flush=True)
    sys.exit(max((record["status"] for record in records), default=0))


if __name__ == "__main__":
    main()
