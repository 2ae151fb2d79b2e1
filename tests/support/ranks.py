"""Runs a function in several processes that train together, forked from one fresh Python.

As a program: ranks.py COUNT MODULE FUNCTION [ARGS...]; prints the exit codes by rank as json.
"""
import importlib
import json
import os
import subprocess
import sys
import traceback

from support.reference import ROOT


def run_ranks(count, function, *args, timeout=60):
    """Call function(*args), a function of an importable module and texts, in `count` processes under caffe's ranks.

    Returns (exit codes by rank, what they wrote to stdout, and to stderr).
    """
    path = os.pathsep.join(str(ROOT / part) for part in ("caffe-fast-rcnn/python", "lib", "tests"))
    command = [sys.executable, __file__, str(count), function.__module__, function.__name__, *map(str, args)]
    result = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}, text=True,
                            capture_output=True, timeout=timeout)
    said, _, codes = result.stdout.rpartition("exit codes: ")
    return json.loads(codes or "null"), said, result.stderr


def main(count, module, function, *args):
    import caffe
    function, uid = getattr(importlib.import_module(module), function), caffe.NCCL.new_uid()
    children = [os.fork() or become(rank, count, uid, function, args) for rank in range(count)]
    print("exit codes:", json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))


def become(rank, count, uid, function, args):
    """Turn this forked child into one rank; never returns."""
    import caffe
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    os.environ["UID_OF_RUN"] = uid.decode()
    code = 0
    try:
        function(*args)
    except SystemExit as e:
        code = e.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
