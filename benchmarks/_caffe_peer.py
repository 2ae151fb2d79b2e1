"""The C++ Caffe as a peer: a worker process under another Python that runs one pass each time it is told to."""
import os
import subprocess
import sys

import numpy as np
from _paths import ROOT
from _timing import Seconds

WORKER = ROOT / "benchmarks" / "_caffe_worker.py"


class CaffePeer:
    """python: the interpreter, or None (then no arm); files: of conv_trunk; job: a key of the worker's JOBS."""

    def __init__(self, python, files, job, threads):
        self.name = "C++ Caffe" if python else "C++ Caffe: not given (--caffe-python)"
        self._python, self._files, self._job, self._threads = python, files, job, str(threads)
        self._process = None

    def __enter__(self):
        if self._python:
            env = {**os.environ, "OMP_NUM_THREADS": self._threads, "OPENBLAS_NUM_THREADS": self._threads,
                   "GLOG_minloglevel": "2"}
            env.pop("PYTHONPATH", None)
            files = [self._files[name] for name in ("net.prototxt", "net.caffemodel", "data.npz", "result.npy")]
            self._process = subprocess.Popen([self._python, str(WORKER), self._job, *files], env=env, text=True,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self._answer()
        return self

    def __exit__(self, *error):
        if self._process:
            self._process.communicate("stop\n")

    def arms(self):
        """{"caffe": function} for interleaved(), {} without the C++ Caffe."""
        return {"caffe": self._pass} if self._process else {}

    def require_same(self, ours, tolerance):
        """RuntimeError unless the worker's first result is ours within tolerance of the largest number."""
        if self._process:
            theirs = np.load(self._files["result.npy"])
            error = np.abs(ours - theirs).max() / np.abs(theirs).max()
            if not error < tolerance:
                raise RuntimeError("the C++ Caffe's result differs from ours by %.2g of the largest" % error)

    def _pass(self):
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return Seconds(float(self._answer()))

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            sys.exit("error: %s cannot run the C++ Caffe: %s" % (self._python, self._process.stderr.read().strip()))
        return line
