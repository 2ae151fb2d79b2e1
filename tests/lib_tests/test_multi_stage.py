"""The parts of multi-stage regression: by hand and against naive loops."""
import numpy as np
from fast_rcnn.multi_stage import class_dets, high_scoring

SCORES = np.array([[.5, .3, .2], [.1, .85, .05], [.1, .8, .1], [.2, .1, .7]], np.float32)  # (4 boxes, 3 classes)
BOXES = np.tile(np.arange(4, dtype=np.float32)[:, np.newaxis] * 100, (1, 12)) + np.tile([0, 0, 19, 9], 3) \
    + np.repeat([0, 1, 2], 4).astype(np.float32)  # box r of class c: [100 r + c, ... ]


def test_class_dets():
    none, first, second = class_dets(SCORES, BOXES, 0.2)
    assert none.shape == (0, 5) and first.dtype == np.float32
    np.testing.assert_array_equal(first, np.float32([[1, 1, 20, 10, .3], [101, 101, 120, 110, .85],
                                                     [201, 201, 220, 210, .8]]))
    np.testing.assert_array_equal(second, np.float32([[302, 302, 321, 311, .7]]))  # .2 itself is not above .2


def test_high_scoring_are_taken_class_by_class_without_copies():
    boxes = BOXES.copy()
    boxes[2, 4:8] = boxes[1, 4:8]  # class 1: the same box as row 1, of lower score
    found, classes = high_scoring(SCORES, boxes, 0.25, 0.95)
    np.testing.assert_array_equal(classes, [1, 1, 2])
    np.testing.assert_array_equal(found, [[101, 101, 120, 110], [1, 1, 20, 10], [302, 302, 321, 311]])
    found, classes = high_scoring(SCORES, BOXES, 0.25, 0.95)
    np.testing.assert_array_equal(classes, [1, 1, 1, 2])


def test_the_score_must_be_above_and_copies_begin_at_the_overlap():
    """20 x 10 boxes one row apart overlap by 9 / 11 = 0.818."""
    scores = np.array([[0, .5], [0, .5], [0, .2]], np.float32)
    boxes = np.tile(np.array([[0, 0, 19, 9], [0, 1, 19, 10], [50, 50, 60, 60]], np.float32), (1, 2))
    found, _ = high_scoring(scores, boxes, 0.2, 0.82)
    assert len(found) == 2
    found, _ = high_scoring(scores, boxes, 0.2, 0.81)
    np.testing.assert_array_equal(found, [[0, 1, 19, 10]])  # of equal scores NMS keeps the later
    assert len(high_scoring(scores, boxes, 0.1, 0.95)[0]) == 3


def test_nothing_scores_high():
    boxes, classes = high_scoring(SCORES, BOXES, 0.9, 0.95)
    assert boxes.shape == (0, 4) and classes.shape == (0,)
    boxes, classes = high_scoring(SCORES[:0], BOXES[:0], 0.1, 0.95)
    assert boxes.shape == (0, 4) and classes.shape == (0,)


def test_a_box_counts_only_for_the_class_it_was_moved_for():
    none, first, second = class_dets(SCORES, BOXES, 0.04, np.array([1, 2, 1, 2]))
    assert len(none) == 0
    np.testing.assert_array_equal(first[:, 4], np.float32([.3, .8]))
    np.testing.assert_array_equal(second, np.float32([[102, 102, 121, 111, .05], [302, 302, 321, 311, .7]]))
    assert [len(dets) for dets in class_dets(SCORES, BOXES, 0.06, np.array([1, 2, 1, 2]))] == [0, 2, 1]
    assert (SCORES[0] == np.float32([.5, .3, .2])).all()
