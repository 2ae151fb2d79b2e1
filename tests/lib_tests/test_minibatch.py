"""Minibatches of hand-made images: what the vectors of the original do not hold, or we do otherwise."""
import numpy as np
import pytest
from roi_data_layer import settings as records
from roi_data_layer.blobs import draw_all, gt_rois, make_blobs
from roi_data_layer.minibatch import get_allrois_minibatch, get_minibatch
from roi_data_layer.roidb import add_bbox_regression_targets
from support.roidbs import make_entry, random_entries
from support.settings import settings
from utils.errors import UserError

SMALL = {"TRAIN.SCALES": (80,), "TRAIN.MAX_SIZE": 200, "TRAIN.BATCH_SIZE": 8, "TRAIN.BG_THRESH_LO": 0.0}
BOXES = [[0, 0, 9, 9], [0, 0, 9, 11], [20, 20, 30, 30], [5, 0, 19, 9]]


def entry_of(tmp_path, name="a.png", boxes=BOXES, classes=(2, 2, 2, 2), overlaps=(1, 0.83, 0, 0.25), **more):
    entry = make_entry(tmp_path / name, boxes, classes, overlaps, **more)
    add_bbox_regression_targets([entry])
    return entry


def test_crowds_are_no_hard_negatives(tmp_path):
    """Overlap -1 marks a COCO crowd, or what it covers.  Mended: the original hands them over as background."""
    entry = entry_of(tmp_path, overlaps=(1, -1, 0, 0.25))
    with settings(SMALL):
        blobs = get_allrois_minibatch([entry], 3)
    assert np.array_equal(blobs["rois"][:, 1:], entry["boxes"][[0, 2, 3]] * 2)
    assert blobs["labels"].tolist() == [2, 0, 0]


@pytest.mark.parametrize("make", [get_minibatch, get_allrois_minibatch])
def test_images_without_rois_are_legal(tmp_path, make):
    none = make_entry(tmp_path / "none.png", [], [])
    none["bbox_targets"] = np.zeros((0, 5), np.float32)
    with settings(SMALL):
        alone, beside = make([none], 3), make([none, entry_of(tmp_path)], 3)
    assert alone["rois"].shape == (0, 5) and alone["labels"].shape == (0,) and alone["bbox_targets"].shape == (0, 12)
    assert set(beside["rois"][:, 0]) == {1}


def test_images_without_objects_give_background(tmp_path):
    entry = entry_of(tmp_path, classes=(0, 0, 0, 0), overlaps=(0, 0, 0, 0))
    with settings(SMALL):
        assert get_minibatch([entry], 3)["labels"].tolist() == [0] * 4


def test_ground_truth_rows_are_those_of_the_rois_blob(tmp_path):
    entries = [entry_of(tmp_path, "a.png", boxes=np.array(BOXES) + 1 / 3), entry_of(tmp_path, "b.png", overlaps=(0, 1, 1, -1))]
    with settings(SMALL):
        scaling = records.scaling()
        drawn = draw_all(entries, scaling.sizes, records.sampling(), np.random)
        blobs, im_scales = make_blobs(drawn, 3, scaling, records.inside_weights())
    rows = gt_rois(drawn, im_scales)
    assert rows[:, 0].tolist() == [0, 1, 1]
    assert all((blobs["rois"] == row).all(axis=1).any() for row in rows)


def test_without_box_regression(tmp_path):
    with settings({**SMALL, "TRAIN.BBOX_REG": False}):
        assert sorted(get_minibatch([entry_of(tmp_path)], 3)) == ["data", "labels", "rois"]


def test_inside_weights_are_a_setting(tmp_path):
    with settings({**SMALL, "TRAIN.BBOX_INSIDE_WEIGHTS": (0.5, 1, 0, 2)}):
        blobs = get_allrois_minibatch([entry_of(tmp_path)], 3)
    assert blobs["bbox_inside_weights"][0].tolist() == [0] * 8 + [0.5, 1, 0, 2]
    assert blobs["bbox_outside_weights"][0].tolist() == [0] * 8 + [1, 1, 0, 1]


def test_mirrored_images_are_mirrored(tmp_path):
    entry = entry_of(tmp_path)
    with settings({**SMALL, "TRAIN.SCALES": (40,)}):
        plain = get_allrois_minibatch([entry], 3)["data"]
        mirrored = get_allrois_minibatch([dict(entry, flipped=True)], 3)["data"]
    assert np.array_equal(plain[..., ::-1], mirrored)


def test_objects_for_a_net_with_an_rpn(tmp_path):
    """Crowds are no objects to be proposed (mended: the original hands them over), nor are proposals."""
    entry = entry_of(tmp_path, classes=(2, 1, 0, 1), overlaps=(1, -1, 0, 1))
    entry["gt_classes"][1] = 1
    with settings({**SMALL, "TRAIN.HAS_RPN": True}):
        blobs = get_minibatch([entry], 3)
    assert sorted(blobs) == ["data", "gt_boxes", "im_info"]
    assert blobs["gt_boxes"].tolist() == [[0, 0, 18, 18, 2], [10, 0, 38, 18, 1]]
    assert blobs["im_info"].tolist() == [[*blobs["data"].shape[2:], 2]]


def test_an_image_without_objects_for_a_net_with_an_rpn(tmp_path):
    with settings({**SMALL, "TRAIN.HAS_RPN": True}):
        assert get_minibatch([make_entry(tmp_path / "none.png", [], [])], 3)["gt_boxes"].shape == (0, 5)


def test_an_rpn_takes_several_images(tmp_path):
    """What one image has by itself, with its index, and its own size rather than the blob's."""
    entries = random_entries(tmp_path, 2)
    with settings({**SMALL, "TRAIN.HAS_RPN": True}):
        alone = [get_minibatch([entry], 3) for entry in entries]
        both = get_minibatch(entries, 3)
    assert np.array_equal(both["im_info"], np.concatenate([blobs["im_info"] for blobs in alone]))
    assert np.array_equal(both["gt_boxes"], np.concatenate([np.insert(blobs["gt_boxes"], 5, i, axis=1)
                                                            for i, blobs in enumerate(alone)]))


def test_the_scale_is_drawn_for_each_image(tmp_path):
    entry = entry_of(tmp_path)
    with settings({**SMALL, "TRAIN.SCALES": (40, 60, 80)}):
        np.random.seed(1)
        shapes = {get_allrois_minibatch([entry], 3)["data"].shape[2] for _ in range(30)}
        drawn = [draw_all([entry] * 8, (40, 60, 80), records.sampling(), np.random).sizes for _ in range(4)]
    assert shapes == {40, 60, 80}
    assert all(len(set(sizes)) > 1 for sizes in drawn)


def test_the_last_minibatch_of_an_epoch_may_have_fewer_images(tmp_path):
    with settings({**SMALL, "TRAIN.BATCH_SIZE": 8, "TRAIN.IMS_PER_BATCH": 4}):
        blobs = get_minibatch([entry_of(tmp_path)] * 3, 3)
    assert blobs["data"].shape[0] == 3 and 3 <= len(blobs["rois"]) <= 8


def test_batch_size_minus_1_takes_all_rois(tmp_path):
    entry = entry_of(tmp_path, overlaps=(1, 0.05, 0.5, 0.25))
    with settings({**SMALL, "TRAIN.BATCH_SIZE": -1, "TRAIN.BG_THRESH_LO": 0.1}):
        blobs = get_minibatch([entry], 3)
    assert sorted(map(tuple, blobs["rois"][:, 1:])) == sorted(map(tuple, entry["boxes"][[0, 2, 3]] * 2))


def test_a_corrupt_image_is_named(tmp_path):
    entry = entry_of(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no image")
    with settings(SMALL), pytest.raises(UserError, match="a.png"):
        get_minibatch([entry], 3)
