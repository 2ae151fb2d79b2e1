"""Layers whose results by C++ Caffe 1.0 are recorded: tops, diffs of the inputs and of the parameters."""
import caffe
import numpy as np
import pytest
from support.net_case import run
from support.recorded import recorded, recorded_and_new
from support.recorded_layers import cases

REFERENCE = "caffe_1_0_layers.npz"
CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_equals_caffe(name):
    want, got = recorded(REFERENCE, name), run(caffe, CASES[name])
    assert sorted(got) == sorted(want)
    for key, array in want.items():
        np.testing.assert_allclose(got[key], array, rtol=1e-4, atol=2e-6, err_msg=key)


def test_the_file_is_what_caffe_gives(tmp_path):
    for key, old, new in recorded_and_new(REFERENCE, "recorded_layers.py", tmp_path):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6, err_msg=key)


def test_infogain_of_the_issue():
    """Scores 1, 2, 3, label 2, H the identity: -log of the softmax's third probability."""
    case = dict(CASES["InfogainLoss"], seed=0)
    case["text"] = case["text"].replace("dim: 4 dim: 3", "dim: 1 dim: 3").replace("dim: 4 ", "dim: 1 ")
    case["inputs"] = {"x0": ["values", [1, 2, 3]], "label": ["values", [2]], "H": ["values", [1, 0, 0, 0, 1, 0, 0, 0, 1]]}
    case["text"] = case["text"].replace('"x0" top: "b"', '"x0" top: "x"').replace(
        'layer { name: "x" type: "Scale" bottom: "b" top: "x" scale_param { axis: 0 num_axes: -1 } } ', "")
    assert run(caffe, case)["data top0"] == pytest.approx(0.4076, abs=5e-5)
