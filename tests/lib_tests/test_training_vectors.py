"""Regression targets, their statistics, and minibatches, against what the original made of the same VOC images."""
import numpy as np
import pytest
from datasets.factory import get_imdb
from roi_data_layer.minibatch import get_allrois_minibatch, get_minibatch
from roi_data_layer.roidb import add_bbox_regression_targets, prepare_roidb
from support.reference import lib_case, shared
from support.settings import settings

BOXES, NUMBERS, PIXELS = 1e-3, 1e-5, 2e-3  # the reference's tolerances: px, targets and statistics, blob values
RECORDED = {"TRAIN.BG_THRESH_HI": 0.5, "TRAIN.FG_FRACTION": 0.25, "TRAIN.FG_THRESH": 0.5, "TRAIN.MAX_SIZE": 1000,
            "TRAIN.SCALES": (600,), "TRAIN.BBOX_REG": True, "TRAIN.BBOX_NORMALIZE_TARGETS": True}


@pytest.fixture(scope="module")
def imdb(tmp_path_factory):
    """The 1000 trainval images and, behind them, their mirrored copies."""
    data = str(shared("data", "voc07mini"))
    with settings({"DATA_DIR": data, "ROOT_DIR": str(tmp_path_factory.mktemp("root"))}):
        imdb = get_imdb("voc_2007_trainval")
        imdb.append_flipped_images()
        prepare_roidb(imdb)
    return imdb


@pytest.fixture(scope="module")
def roidb(imdb):
    """{id, or id + 'f' for the mirrored copy: entry}, with targets normalised over all of them."""
    with settings(RECORDED):
        add_bbox_regression_targets(imdb.roidb)
    return {name + "f" * entry["flipped"]: entry for name, entry in zip(imdb.image_index, imdb.roidb)}


@pytest.mark.parametrize("part, count", [("plain", 1000), ("flipped", 2000)])
def test_statistics_of_a_whole_training_set(imdb, part, count):
    case = lib_case("c2_stats.npz")
    entries = [dict(entry) for entry in imdb.roidb[:count]]
    means, stds = add_bbox_regression_targets(entries)
    np.testing.assert_allclose(means, case[part + ".means"], rtol=0, atol=NUMBERS)
    np.testing.assert_allclose(stds, case[part + ".stds"], rtol=0, atol=NUMBERS)
    classes = np.concatenate([entry["bbox_targets"][:, 0] for entry in entries]).astype(int)
    assert np.array_equal(np.bincount(classes, minlength=21), case[part + ".class_counts"])


@pytest.mark.parametrize("kind, changes", [
    ("norm", {"TRAIN.BBOX_NORMALIZE_TARGETS": True}),
    ("raw", {"TRAIN.BBOX_NORMALIZE_TARGETS": False}),
    ("pre", {"TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED": True})])
def test_targets_of_forty_images(imdb, kind, changes):
    case = dict(lib_case("c2_targets40.npz"))
    names = case["ids"].tolist()
    entries = [dict(imdb.roidb[imdb.image_index.index(name) + start]) for start in (0, 1000) for name in names]
    with settings(changes):
        means, stds = add_bbox_regression_targets(entries)
    np.testing.assert_allclose(means, case[kind + ".means"], rtol=0, atol=NUMBERS)
    np.testing.assert_allclose(stds, case[kind + ".stds"], rtol=0, atol=NUMBERS)
    for entry, start, end in zip(entries, case["start"], case["start"][1:]):
        targets = entry["bbox_targets"]
        assert targets.dtype == np.float32
        assert np.array_equal(np.flatnonzero(targets[:, 0]), case["row"][start:end])
        np.testing.assert_allclose(targets[targets[:, 0] > 0], case[kind + ".targets"][start:end], rtol=NUMBERS,
                                   atol=NUMBERS)


@pytest.mark.parametrize("name", ["mb%d" % k for k in range(5)])
def test_all_rois_of_images(roidb, name):
    case = lib_case("c4_allrois.npz")
    with settings({**RECORDED, "TRAIN.BG_THRESH_LO": 0.0}):
        blobs = get_allrois_minibatch([roidb[i] for i in case[name + ".ids"]], 21)
    check_roi_blobs(blobs, case, name)
    data = blobs["data"]
    assert data.shape == tuple(case[name + ".data_shape"])
    y, x = case[name + ".data_crop_yx"]
    crop = case[name + ".data_crop"]
    np.testing.assert_allclose(data[..., y:y + crop.shape[2], x:x + crop.shape[3]], crop, rtol=0, atol=PIXELS)
    np.testing.assert_allclose(data.mean(axis=(2, 3), dtype=float), case[name + ".data_mean"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["mb%d" % k for k in range(5)])
def test_sampled_rois_and_random_stream(roidb, name):
    case = lib_case("c4_sampled.npz")
    changes = {"TRAIN." + key: case["%s.%s" % (name, key)].tolist() for key in ("BATCH_SIZE", "BG_THRESH_LO", "SCALES")}
    with settings({**RECORDED, **changes}):
        np.random.seed(case[name + ".seed"])
        blobs = get_minibatch([roidb[i] for i in case[name + ".ids"]], 21)
    assert np.array_equal(np.random.rand(3), case[name + ".rng_after"])
    assert blobs["data"].shape == tuple(case[name + ".data_shape"])
    check_roi_blobs(blobs, case, name)


@pytest.mark.parametrize("k", range(12))
def test_objects_for_an_rpn(roidb, k):
    case = lib_case("c8_rpn_minibatch.npz")
    name = case["ids"][k]
    with settings({**RECORDED, "TRAIN.HAS_RPN": True}):
        blobs = get_minibatch([roidb[name]], 21)
    assert sorted(blobs) == ["data", "gt_boxes", "im_info"]
    assert all(blob.dtype == np.float32 for blob in blobs.values())
    assert blobs["data"].shape == tuple(case["im%s.data_shape" % name])
    np.testing.assert_allclose(blobs["im_info"], case["im%s.im_info" % name], rtol=1e-6)
    np.testing.assert_allclose(blobs["gt_boxes"], case["im%s.gt_boxes" % name], rtol=0, atol=BOXES)


def check_roi_blobs(blobs, case, name):
    assert all(blob.dtype == np.float32 for blob in blobs.values())
    assert np.array_equal(blobs["labels"], case[name + ".labels"])
    np.testing.assert_allclose(blobs["rois"], case[name + ".rois"], rtol=0, atol=BOXES)
    for key in ("bbox_targets", "bbox_inside_weights", "bbox_outside_weights"):
        np.testing.assert_allclose(blobs[key], case["%s.%s" % (name, key)], rtol=0, atol=NUMBERS)
