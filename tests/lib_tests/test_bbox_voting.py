"""Box voting against naive loops and by hand."""
import numpy as np
import pytest
from fast_rcnn.bbox_voting import bbox_vote

NONE = np.zeros((0, 5), np.float32)


def dets_of(*rows):
    return np.array(rows, np.float32).reshape(-1, 5)


def iou(a, b):
    """Of two boxes with both corners inside."""
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    inter = max(w, 0) * max(h, 0)
    return inter / (sum((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)) - inter)


def naive(dets, candidates, thresh):
    voted = dets.astype(float)
    for row, det in zip(voted, dets.tolist()):
        near = [c for c in candidates.tolist() if iou(det, c) >= thresh and c[4] > 0]
        if near:
            row[:4] = np.sum([np.array(c[:4]) * c[4] for c in near], axis=0) / sum(c[4] for c in near)
    return voted


@pytest.mark.parametrize("thresh", [0.3, 0.5, 0.9])
def test_against_loops(thresh):
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(0, 40, (120, 2)), rng.uniform(10, 40, (120, 2))
    candidates = np.hstack((corner, corner + size, rng.uniform(-0.2, 1, (120, 1)))).astype(np.float32)
    dets = candidates[::7]
    voted = bbox_vote(dets, candidates, thresh)
    np.testing.assert_allclose(voted, naive(dets, candidates, thresh), rtol=1e-6)
    assert voted.dtype == np.float32 and (voted[:, 4] == dets[:, 4]).all()


def test_by_hand_and_at_the_threshold():
    """The second overlaps the first by exactly a half (10 of 20 columns) and votes; the third by less."""
    candidates = dets_of([0, 0, 19, 9, .6], [0, 0, 9, 9, .2], [12, 0, 31, 9, .9])
    voted = bbox_vote(candidates[:1], candidates, 0.5)
    np.testing.assert_allclose(voted, [[0, 0, (19 * .6 + 9 * .2) / .8, 9, .6]], rtol=1e-6)
    np.testing.assert_array_equal(bbox_vote(candidates[:1], candidates, 0.51), candidates[:1])


def test_equal_candidates_each_have_a_vote():
    candidates = dets_of([0, 0, 19, 9, .5], [2, 0, 21, 9, .5], [2, 0, 21, 9, .5])
    np.testing.assert_allclose(bbox_vote(candidates[:1], candidates, 0.5)[0, :4], [4 / 3, 0, 19 + 4 / 3, 9], rtol=1e-6)


def test_without_weight_a_detection_stays():
    """Scores of SVMs may be negative: those do not vote."""
    candidates = dets_of([0, 0, 19, 9, -.5], [1, 0, 20, 9, 0], [2, 0, 21, 9, -1])
    np.testing.assert_array_equal(bbox_vote(candidates[:1], candidates, 0.5), candidates[:1])
    np.testing.assert_array_equal(bbox_vote(candidates[:1], NONE, 0.5), candidates[:1])


def test_nothing_detected():
    assert bbox_vote(NONE, NONE, 0.5).shape == (0, 5)
    assert bbox_vote(NONE, dets_of([0, 0, 9, 9, .5]), 0.5).shape == (0, 5)


def test_the_arguments_stay_as_they_are():
    dets, candidates = dets_of([0, 0, 19, 9, .5]), dets_of([0, 0, 19, 9, .5], [2, 0, 21, 9, .5])
    bbox_vote(dets, candidates, 0.5)
    np.testing.assert_array_equal(dets, [[0, 0, 19, 9, .5]])
