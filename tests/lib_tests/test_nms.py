"""Non-maximum suppression, against the recorded vectors and naive loops."""
import numpy as np
import pytest
from fast_rcnn.nms_wrapper import nms
from nms.cpu_nms import cpu_nms
from roi_data_layer.ohem import select_hard
from support.reference import lib_case

CASES = ["random", "clustered", "exact", "duplicates", "duplicates_same_score", "ties12", "ties200", "all_equal",
         "degenerate", "negative_scores", "one", "none"]


def naive_nms(dets, thresh):
    """Indices kept, pair by pair; of equal scores the later row goes first; float32 IoU against a double."""
    f = np.float32
    todo = sorted(range(len(dets)), key=lambda i: (-dets[i, 4], -i))
    keep = []
    while todo:
        i, *rest = todo
        keep.append(i)
        todo = []
        for j in rest:
            w = max(f(0), min(dets[i, 2], dets[j, 2]) - max(dets[i, 0], dets[j, 0]) + f(1))
            h = max(f(0), min(dets[i, 3], dets[j, 3]) - max(dets[i, 1], dets[j, 1]) + f(1))
            areas = [(dets[k, 2] - dets[k, 0] + f(1)) * (dets[k, 3] - dets[k, 1] + f(1)) for k in (i, j)]
            union = areas[0] + areas[1] - w * h
            if union == 0 or float(w * h / union) < thresh:
                todo.append(j)
    return keep


@pytest.mark.parametrize("case", CASES)
def test_recorded(case):
    z = lib_case("c1_nms.npz")
    assert set(z["cases"]) == set(CASES)
    for i, thresh in enumerate(z[case + ".thresh"]):
        stable = "%s.keep_stable%d" % (case, i)
        keep = z[stable if stable in z.files else "%s.keep%d" % (case, i)]
        assert cpu_nms(z[case + ".dets"], thresh) == keep.tolist(), thresh


@pytest.mark.parametrize("n, levels", [(0, 5), (1, 5), (2, 1), (60, 1), (60, 5), (150, 1000)])
@pytest.mark.parametrize("thresh", [0.0, 0.3, 0.7, 1.0])
def test_against_loops(n, levels, thresh):
    """levels: how many different scores; few of them make ties."""
    rng = np.random.default_rng(n + levels)
    corner = rng.integers(0, 40, (n, 2))
    dets = np.hstack((corner, corner + rng.integers(0, 30, (n, 2)), rng.integers(0, levels, (n, 1)) / levels))
    dets = dets.astype(np.float32)
    assert cpu_nms(dets, thresh) == naive_nms(dets, thresh)


def test_an_overlap_of_exactly_the_threshold():
    """0.5 is exact in float32 and dropped; 0.7 rounds to below 0.7 and stays."""
    half = np.array([[0, 0, 9, 9, .9], [0, 0, 9, 4, .8]], np.float32)
    assert cpu_nms(half, 0.5) == [0]
    seven_tenths = np.array([[0, 0, 9, 9, .9], [0, 0, 9, 6, .8]], np.float32)
    assert cpu_nms(seven_tenths, 0.7) == [0, 1]


def test_boxes_without_area():
    """Mended: the original raises ZeroDivisionError on two boxes of width 0."""
    dets = np.array([[5, 5, 4, 9, .9], [5, 5, 4, 9, .8], [0, 0, 9, 9, .7]], np.float32)
    assert cpu_nms(dets, 0.3) == [0, 1, 2]
    z = lib_case("c1_nms.npz")
    assert str(z["zero_area.raises"]) == "ZeroDivisionError"
    assert sorted(cpu_nms(z["zero_area.dets"], 0.3)) == [0, 1]


def test_wrapper_and_argument_checks():
    dets = np.array([[0, 0, 9, 9, .1], [0, 0, 9, 9, .2]])
    assert nms(dets, 0.5) == nms(dets, 0.5, force_cpu=True) == [1]
    assert nms(np.zeros((0, 5), np.float32), 0.5) == [] == nms([], 0.5)
    with pytest.raises(ValueError, match=r"shape \(n, 5\), got \(2, 4\)"):
        cpu_nms(dets[:, :4], 0.5)


@pytest.mark.parametrize("per_class", [True, False])
def test_hard_rois_that_overlap_by_exactly_the_threshold_stay_as_detections_do(per_class):
    """0.7 of the setting is a double, and a float32 IoU of 0.7 below it: the selection took it for reached."""
    rois = np.array([[0, 0, 0, 9, 9], [0, 0, 0, 9, 6], [0, 0, 0, 9, 7]], np.float32)
    loss, labels = np.array([3.0, 2.0, 1.0]), np.ones(3, np.float32)
    assert select_hard(loss, rois, labels, 3, 0.7, per_class).tolist() == [0, 1]
    assert cpu_nms(np.column_stack([rois[:, 1:], loss]), 0.7) == [0, 1]
