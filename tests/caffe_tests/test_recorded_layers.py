"""Layers whose results by C++ Caffe 1.0 are recorded: tops, diffs of the inputs and of the parameters."""
import os
import subprocess
from pathlib import Path

import caffe
import numpy as np
import pytest
from support.net_case import run
from support.recorded_layers import cases

REFERENCE = Path(__file__).parents[1] / "reference" / "caffe_1_0_layers.npz"
SCRIPT = Path(__file__).parents[1] / "support" / "recorded_layers.py"
CASES = cases()


def recorded(name, file=REFERENCE):
    """{key: array} of one case."""
    with np.load(file) as arrays:
        return {key.partition("|")[2]: arrays[key] for key in arrays if key.partition("|")[0] == name}


@pytest.mark.parametrize("name", CASES)
def test_equals_caffe(name):
    want, got = recorded(name), run(caffe, CASES[name])
    assert sorted(got) == sorted(want)
    for key, array in want.items():
        np.testing.assert_allclose(got[key], array, rtol=1e-4, atol=2e-6, err_msg=key)


def test_the_file_is_what_caffe_gives(tmp_path):
    python = os.environ.get("CAFFE_PYTHON")
    if not python:
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([python, SCRIPT, tmp_path / "now.npz"], check=True, env=env, cwd=tmp_path)
    with np.load(REFERENCE) as old, np.load(tmp_path / "now.npz") as new:
        assert sorted(old) == sorted(new)
        for key in old:
            np.testing.assert_allclose(new[key], old[key], rtol=1e-5, atol=1e-6, err_msg=key)


def test_infogain_of_the_issue():
    """Scores 1, 2, 3, label 2, H the identity: -log of the softmax's third probability."""
    case = dict(CASES["InfogainLoss"], seed=0)
    case["text"] = case["text"].replace("dim: 4 dim: 3", "dim: 1 dim: 3").replace("dim: 4 ", "dim: 1 ")
    case["inputs"] = {"x0": ["values", [1, 2, 3]], "label": ["values", [2]], "H": ["values", [1, 0, 0, 0, 1, 0, 0, 0, 1]]}
    case["text"] = case["text"].replace('"x0" top: "b"', '"x0" top: "x"').replace(
        'layer { name: "x" type: "Scale" bottom: "b" top: "x" scale_param { axis: 0 num_axes: -1 } } ', "")
    assert run(caffe, case)["data top0"] == pytest.approx(0.4076, abs=5e-5)
