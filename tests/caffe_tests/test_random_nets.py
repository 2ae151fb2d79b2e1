"""2,120 random nets, forward and backward, by our caffe and by the C++ Caffe 1.0 that CAFFE_PYTHON names.

With it: about three minutes on two cores.  RANDOM_NETS=FROM-TO runs other seeds than those of the test.
"""
import json
import os
import pickle
import re
import subprocess
from pathlib import Path

import caffe
import numpy as np
import pytest
from support import net_case
from support.net_case import outcome
from support.random_nets import OPS, random_net

KINDS = sorted(OPS)
ROUNDS, BATCHES = 40, 8         # nets of each kind, files of nets
NOT_COMPARED = {
    "BoxAnnotatorOHEM": "C++ Caffe 1.0 does not have it", "Clip": "C++ Caffe 1.0 does not have it",
    "PSROIPooling": "C++ Caffe 1.0 does not have it", "ROIPooling": "C++ Caffe 1.0 does not have it",
    "SmoothL1Loss": "C++ Caffe 1.0 does not have it", "SmoothL1LossOHEM": "C++ Caffe 1.0 does not have it",
    "SoftmaxWithLossOHEM": "C++ Caffe 1.0 does not have it", "Python": "users' code", "Input": "in every net",
    "Data": "reads files", "HDF5Data": "reads files", "HDF5Output": "writes files", "ImageData": "reads files",
    "MemoryData": "shows arrays that are given to it", "WindowData": "reads files",
}
PAGE = Path(__file__).parents[2] / "docs" / "pycaffe.md"


def read_and_kept(case, kinds):
    """Whether the net has a Flatten that reads the top of a layer of one of `kinds`."""
    tops = set()
    for line in case["text"].splitlines():
        layer = dict(reversed(re.findall(r'(type|bottom|top): "(\w+)"', line)))        # a filler has a type too
        if layer.get("type") == "Flatten" and layer["bottom"] in tops:
            return True
        if layer.get("type") in kinds:
            tops.add(layer["top"])
    return False


# What differs: the first cell of its row in docs/pycaffe.md -> function(case, ours, theirs)
REASONS = {
    "`SoftmaxWithLoss` of scores and labels with different numbers of rows (softmax over axis 0)": lambda case, ours, theirs:
        "The data and label should have the same first dimension" in str(theirs),
    "`BatchNorm` of a blob with one axis": lambda case, ours, theirs:
        "BatchNorm" in case["kinds"] and "axis 1 out of range for 1-D Blob" in str(theirs),
    "`ArgMax` or `Threshold` of what `BatchNorm` makes of data, below a loss": lambda case, ours, theirs:
        "BatchNorm" in case["kinds"] and re.search("(argmax|threshold)_layer.* Not Implemented Yet", str(theirs)),
    "`PReLU`, `EuclideanLoss` of blobs with more than four axes": lambda case, ours, theirs:
        re.search(r'"(PReLU|EuclideanLoss)"', case["text"]) and "Cannot use legacy accessors on Blobs with > 4 axes" in str(theirs),
    "A kernel that is larger than the padded image, by less than the stride": lambda case, ours, theirs:
        "does not fit" in str(ours) and not isinstance(theirs, str),
    "`Filter` that picks nothing": lambda case, ours, theirs:
        "Filter" in case["kinds"] and str(theirs) == "aborted: " and any(0 in array.shape for array in ours.values()),
    "`Flatten` of what `Reshape`, `Parameter`, `LSTM` or `RNN` gives": lambda case, ours, theirs:
        not isinstance(ours, str) and not isinstance(theirs, str) and read_and_kept(case, ("Reshape", "Parameter", "LSTM", "RNN")) and only_diffs_differ(ours, theirs),
}


def only_diffs_differ(ours, theirs):
    return all(key.startswith(("diff", "param")) for key in different(ours, theirs))


def different(ours, theirs):
    """Keys of the arrays that are not the same to 1e-3 of the largest number."""
    return [key for key in sorted(set(ours) | set(theirs)) if not same(ours.get(key), theirs.get(key))]


def same(a, b):
    if a is None or b is None or a.shape != b.shape:
        return False
    scale = max(1, np.abs(b[np.isfinite(b)]).max(initial=0))
    return np.allclose(a, b, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)


def explained(case, ours, theirs):
    """Whether the outcomes agree, or differ for one of REASONS."""
    if isinstance(ours, str) and isinstance(theirs, str):
        return True
    if not isinstance(ours, str) and not isinstance(theirs, str) and not different(ours, theirs):
        return True
    return any(reason(case, ours, theirs) for reason in REASONS.values())


def run_caffe_1_0(cases, folder):
    """What C++ Caffe makes of the cases, in one process."""
    python = os.environ.get("CAFFE_PYTHON")
    if not python:
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    Path(folder, "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    with open(Path(folder, "log"), "w", encoding="utf-8") as log:
        subprocess.run([python, net_case.__file__, "cases.json", "results.pickle"], check=True, cwd=folder, stderr=log,
                       env={**env, "GLOG_minloglevel": "2"})
    return pickle.loads(Path(folder, "results.pickle").read_bytes())


def seeds_of_batch(batch):
    first, last = (int(n) for n in os.environ.get("RANDOM_NETS", "0-%d" % (ROUNDS * len(KINDS))).split("-"))
    return range(first + batch, last, BATCHES)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_as_caffe_1_0(batch, tmp_path):
    if not os.environ.get("CAFFE_PYTHON"):
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    caffe.set_log_level(3)
    cases = [random_net(seed, KINDS[seed % len(KINDS)]) for seed in seeds_of_batch(batch)]
    theirs = run_caffe_1_0(cases, tmp_path)
    caffe.set_log_level(0)
    wrong = []
    for case, their in zip(cases, theirs, strict=True):
        our = outcome(caffe, case)
        if not explained(case, our, their):
            wrong.append("seed %d: %s\n%s" % (case["seed"], described(our, their), case["text"]))
    assert not wrong, "\n".join(wrong)


def described(ours, theirs):
    if isinstance(ours, str) or isinstance(theirs, str):
        return "ours: %s; C++ Caffe: %s" % tuple(x if isinstance(x, str) else "runs" for x in (ours, theirs))
    return "different: %s" % ", ".join(different(ours, theirs))


def test_every_layer_type_is_compared_or_has_a_reason_not_to_be():
    assert set(caffe.layer_type_list()) <= set(OPS) | set(NOT_COMPARED)
    assert not set(OPS) & set(NOT_COMPARED)


@pytest.mark.parametrize("kind", KINDS)
def test_nets_of_each_type_are_made_and_run(kind):
    """Two nets at least that end in the type, and run; the same seed gives the same net."""
    cases = [random_net(seed, kind) for seed in range(10)]
    assert cases[0] == random_net(0, kind)
    ran = [case for case in cases if case["kinds"][-1:] == [kind] and not isinstance(outcome(caffe, case), str)]
    assert len(ran) >= 2


def test_the_page_lists_what_differs():
    rows = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    assert [what for what in REASONS if what not in rows] == []


def test_a_wrong_number_is_found(tmp_path):
    ours = {"data y": np.float32([1, 2]), "param l 0": np.float32([0.5])}
    theirs = {"data y": np.float32([1, 2.01]), "param l 0": np.float32([0.5])}
    case = {"text": "", "kinds": ["ReLU"]}
    assert different(ours, theirs) == ["data y"] and not explained(case, ours, theirs)
    assert not explained(case, "CaffeError: layer l", theirs) and not explained(case, ours, "aborted: F layer.cpp")
    assert explained(case, ours, dict(ours)) and explained(case, "CaffeError: layer l", "aborted: F layer.cpp")
