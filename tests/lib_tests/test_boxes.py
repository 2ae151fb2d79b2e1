"""Overlaps and regression of boxes, against the recorded vectors and naive loops."""
import warnings

import numpy as np
import pytest
from fast_rcnn.bbox_transform import bbox_transform, bbox_transform_inv, clip_boxes
from support.reference import lib_case
from utils.cython_bbox import bbox_overlaps


def naive_overlaps(boxes, query):
    """IoU by counting, box by box."""
    out = np.zeros((len(boxes), len(query)))
    for n, (ax1, ay1, ax2, ay2) in enumerate(boxes):
        for k, (bx1, by1, bx2, by2) in enumerate(query):
            w = min(ax2, bx2) - max(ax1, bx1) + 1
            h = min(ay2, by2) - max(ay1, by1) + 1
            if w > 0 and h > 0:
                union = (ax2 - ax1 + 1) * (ay2 - ay1 + 1) + (bx2 - bx1 + 1) * (by2 - by1 + 1) - w * h
                out[n, k] = w * h / union
    return out


def random_boxes(n, seed, size=100):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, size, (n, 2))
    return np.hstack((corner, corner + rng.uniform(0, size / 2, (n, 2))))


@pytest.mark.parametrize("case", ["ov_int", "ov_frac", "ov_edge", "ov_noquery"])
def test_overlaps_recorded(case):
    z = lib_case("c1_boxes.npz")
    overlaps = bbox_overlaps(z[case + ".boxes"], z[case + ".query"])
    assert overlaps.dtype == np.float64
    np.testing.assert_allclose(overlaps, z[case + ".overlaps"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("n, k", [(0, 0), (0, 3), (3, 0), (1, 1), (40, 30)])
def test_overlaps_against_loops(n, k):
    boxes, query = random_boxes(n, 1), random_boxes(k, 2)
    overlaps = bbox_overlaps(boxes, query)
    assert overlaps.shape == (n, k)
    np.testing.assert_allclose(overlaps, naive_overlaps(boxes, query), rtol=0, atol=1e-14)


def test_overlaps_of_one_pixel_and_of_neighbours():
    boxes = np.array([[5, 5, 5, 5], [6, 5, 6, 5], [5, 5, 6, 5]])
    np.testing.assert_array_equal(bbox_overlaps(boxes, boxes), [[1, 0, .5], [0, 1, .5], [.5, .5, 1]])


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float32, np.float64])
def test_overlaps_of_any_type_and_layout(dtype):
    boxes = np.round(random_boxes(20, 3)).astype(dtype)
    expected = naive_overlaps(boxes.astype(float), boxes.astype(float))
    np.testing.assert_allclose(bbox_overlaps(np.asfortranarray(boxes), boxes.tolist()), expected, atol=1e-14)
    strided = np.hstack((boxes, boxes))[:, 4:]
    np.testing.assert_allclose(bbox_overlaps(strided, boxes), expected, atol=1e-14)


def test_overlaps_need_four_columns():
    with pytest.raises(ValueError, match=r"query_boxes must have shape \(n, 4\), got \(2, 3\)"):
        bbox_overlaps(np.zeros((1, 4)), np.zeros((2, 3)))


def test_overlaps_of_gt_boxes_with_their_class():
    """The original's layers hand over gt_boxes (G, 5), whose last column is the class."""
    gt_boxes = np.array([[0, 0, 9, 9, 3], [0, 5, 9, 14, 7]], np.float32)
    np.testing.assert_allclose(bbox_overlaps(np.array([[0, 0, 9, 9]], float), gt_boxes), [[1, 1 / 3]])


@pytest.mark.parametrize("case", ["tr_f64", "tr_f32", "tr_u16"])
def test_bbox_transform_recorded(case):
    z = lib_case("c1_boxes.npz")
    targets = bbox_transform(z[case + ".ex"], z[case + ".gt"])
    assert targets.dtype == z[case + ".targets"].dtype
    np.testing.assert_allclose(targets, z[case + ".targets"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["inv_u16", "inv_f64", "inv_d64", "inv_none"])
def test_bbox_transform_inv_recorded(case):
    """Equal wherever the original is finite.  Mended: its exp() overflows to inf, ours stays finite."""
    z = lib_case("c1_boxes.npz")
    recorded = z[case + ".pred"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pred = bbox_transform_inv(z[case + ".boxes"], z[case + ".deltas"])
    assert pred.dtype == recorded.dtype and pred.shape == recorded.shape
    finite = np.isfinite(recorded)
    np.testing.assert_allclose(pred[finite], recorded[finite], rtol=1e-6, atol=1e-3)
    assert np.isfinite(pred).all()
    np.testing.assert_allclose(clip_boxes(pred, (300, 400, 3)), z[case + ".clipped"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bbox_transform_inv_never_overflows(dtype):
    """The original gives inf here, and nan for the box without width."""
    boxes = np.array([[10, 10, 60000, 60000], [10, 10, 9, 20]], np.float32)
    deltas = np.array([[0, 0, 1e4, 1e4]] * 2, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pred = bbox_transform_inv(boxes, deltas)
    assert np.isfinite(pred).all()
    np.testing.assert_array_equal(clip_boxes(pred[:1], (300, 400)), [[0, 0, 399, 299]])
    np.testing.assert_array_equal(pred[1, 0::2], [10, 10])


def test_transform_and_back():
    """The inverse gives x2 = centre + w / 2: a pixel more than the box the targets were made of (kept)."""
    ex, gt = random_boxes(50, 4), random_boxes(50, 5)
    back = bbox_transform_inv(ex, bbox_transform(ex, gt))
    np.testing.assert_allclose(back, gt + [0, 0, 1, 1], atol=1e-9)


def test_clip_recorded_and_argument_untouched():
    z = lib_case("c1_boxes.npz")
    boxes = z["clip.boxes"].copy()
    np.testing.assert_allclose(clip_boxes(boxes, (300, 400)), z["clip.out"], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(boxes, z["clip.boxes"])
