"""Recorded vectors of a C++ Caffe: forward, every diff, every parameter diff, and solver steps.

The recorder's own checker runs them, through pycaffe's public interface alone and with the tolerances of its README.
"""
import runpy

import caffe
import numpy as np
import pytest
from support.reference import SHARED, shared

_GOLDEN = SHARED / "reference" / "golden"
_CASES = sorted(p.stem for p in _GOLDEN.glob("*.npz")) or ["(none here)"]


@pytest.fixture(scope="module")
def checker():
    return runpy.run_path(str(shared("reference", "check_golden.py")))


@pytest.mark.parametrize("case", _CASES)
def test_recorded_vectors(case, checker):
    caffe.set_mode_cpu()
    z = np.load(_GOLDEN / (case + ".npz"), allow_pickle=False)
    differences = checker["check_solver" if "solver" in z.files else "check_net"](z)
    assert not differences, "\n".join(differences)
