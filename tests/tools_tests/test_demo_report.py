"""What the demo's report says of detections beside the truth."""
import importlib.util
import sys

import numpy as np
import pytest
from support.reference import ROOT
from utils.errors import UserError


@pytest.fixture(scope="module")
def report():
    sys.path.insert(0, str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location("demo_report", ROOT / "tools" / "demo_report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(ROOT / "tools"))
    return module


CLASSES = ("__background__", "one", "two")
ENTRY = {"boxes": np.array([[0, 0, 19, 39], [50, 50, 79, 89]]), "gt_classes": np.array([1, 2])}
NONE = np.zeros((0, 5))


def kinds(marks):
    return [(kind, text) for kind, _, text in marks]


def test_right_wrong_and_missed(report):
    ones = np.array([[0, 0, 19, 39, 0.9], [1, 0, 19, 39, 0.8], [50, 50, 79, 89, 0.7], [0, 0, 19, 39, 0.2]])
    marks = report.judge([NONE, ones, NONE], ENTRY, CLASSES, 0.5)
    assert kinds(marks) == [("right", "one 0.90"), ("wrong", "one 0.80"), ("wrong", "one 0.70"), ("missed", "two")]


def test_an_overlap_of_one_half_is_not_enough(report):
    half = np.array([[0, 0, 19, 19, 0.9]])  # IoU with the first object: 400 / 800
    assert kinds(report.judge([NONE, half, NONE], ENTRY, CLASSES, 0.5))[0] == ("wrong", "one 0.90")


def test_images_without_objects_or_detections(report):
    empty = {"boxes": np.zeros((0, 4)), "gt_classes": np.zeros(0, int)}
    assert report.judge([NONE, NONE, NONE], empty, CLASSES, 0.5) == []
    assert kinds(report.judge([NONE, np.array([[0, 0, 9, 9, 1.0]]), NONE], empty, CLASSES, 0.5)) == [
        ("wrong", "one 1.00")]


def test_chosen_images_are_those_that_differ(report):
    right, wrong = [("right", None, "")], [("wrong", None, "")] * 3
    assert report.choose_images([right] * 5 + [wrong] + [right] * 5, [right] * 11, 1) == [5]


def test_missing_runs_are_named(report, tmp_path):
    with pytest.raises(UserError, match="run.json cannot be read.*train and test first"):
        report.read_run(tmp_path, "data/digits")
