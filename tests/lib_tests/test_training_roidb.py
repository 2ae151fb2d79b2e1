"""prepare_roidb and add_bbox_regression_targets on awkward images, where we mend the original."""
from types import SimpleNamespace

import numpy as np
import pytest
from datasets.ground_truth import object_rows
from roi_data_layer.roidb import add_bbox_regression_targets, prepare_roidb
from support.reference import lib_case
from support.roidbs import make_entry
from support.settings import settings
from utils.errors import UserError


def fake_imdb(entries, path="image.jpg"):
    return SimpleNamespace(name="fake", roidb=entries, image_path_at=lambda i: path)


def test_the_originals_corner_cases():
    """Mended: where all targets of a class are equal (std 0, or nan by rounding) the original's targets are nan or inf;
    ours are the targets less their mean, and the other classes agree."""
    case = dict(lib_case("c2_synthetic.npz"))
    overlaps = [case["e%d.gt_overlaps" % k] for k in range(6)]
    entries = [{"boxes": case["e%d.boxes" % k], "gt_overlaps": of_image, "width": 1, "height": 1,
                "gt_classes": (of_image == 1).argmax(axis=1)} for k, of_image in enumerate(overlaps)]
    prepare_roidb(fake_imdb(entries))
    means, stds = add_bbox_regression_targets(entries)
    for k, entry in enumerate(entries):
        for name in ("max_classes", "max_overlaps"):
            assert np.array_equal(entry[name], case["e%d.%s" % (k, name)])
        want, got = case["e%d.bbox_targets" % k], entry["bbox_targets"]
        sound = np.isfinite(want)
        assert np.array_equal(got[:, 0], want[:, 0]) and np.isfinite(got).all()
        np.testing.assert_allclose(got[sound], want[sound], rtol=1e-5, atol=1e-5)
        assert not got[~sound].any()
    np.testing.assert_allclose(means, case["means"], rtol=0, atol=1e-5)
    wide = case["stds"] > 1e-6
    np.testing.assert_allclose(stds[wide], case["stds"][wide], rtol=0, atol=1e-5)
    has_targets = np.repeat(np.isin(np.arange(21), [6, 7, 12, 15]), 4)
    assert (stds[~wide & has_targets] == 1).all() and (stds[~has_targets] == 0).all()


def test_images_without_objects_or_boxes(tmp_path):
    entries = [make_entry(tmp_path / "none.png", [], []),
               make_entry(tmp_path / "bg.png", [[0, 0, 9, 9], [5, 5, 30, 30]], [0, 0], [0, 0]),
               make_entry(tmp_path / "gt.png", [[0, 0, 9, 9], [0, 0, 9, 11]], [2, 2], [1, 10 / 12])]
    prepare_roidb(fake_imdb(entries))
    means, stds = add_bbox_regression_targets(entries)
    assert [entry["bbox_targets"].shape for entry in entries] == [(0, 5), (2, 5), (2, 5)]
    assert not entries[1]["bbox_targets"].any()
    assert entries[2]["bbox_targets"][:, 0].tolist() == [2, 2]
    assert means.shape == stds.shape == (12,) and not means[:8].any()


def test_sizes_are_read_from_the_image_where_unknown(tmp_path):
    entry = make_entry(tmp_path / "a.png", [[0, 0, 9, 9]], [1], size=(60, 40))
    del entry["width"], entry["height"]
    prepare_roidb(fake_imdb([entry], str(tmp_path / "a.png")))
    assert (entry["width"], entry["height"]) == (60, 40)


def test_an_object_of_the_background_class_is_refused(tmp_path):
    entry = make_entry(tmp_path / "a.png", [[0, 0, 9, 9]], [0], [0.7])
    with pytest.raises(UserError, match="class 0, which is the background"):
        prepare_roidb(fake_imdb([entry]))


def test_an_empty_roidb_is_the_users_error():
    with pytest.raises(UserError, match="roidb is empty"):
        add_bbox_regression_targets([])


def test_threshold_of_targets_is_a_setting(tmp_path):
    entries = [make_entry(tmp_path / "a.png", [[0, 0, 9, 9], [0, 0, 9, 13]], [1, 1], [1, 10 / 14])]
    with settings({"TRAIN.BBOX_THRESH": 0.8}):
        add_bbox_regression_targets(entries)
    assert entries[0]["bbox_targets"][:, 0].tolist() == [1, 0]


def test_a_proposal_equal_to_an_object_is_none(tmp_path):
    """It is learned from as one that overlaps it wholly; the objects are the rows with a class that are no crowds."""
    boxes = [[0, 0, 9, 9], [20, 20, 39, 39], [0, 0, 9, 9], [0, 0, 9, 11]]
    entry = make_entry(tmp_path / "a.png", boxes, [2, 2, 2, 2], [1, -1, 1, 10 / 12])
    entry["gt_classes"] = np.array([2, 2, 0, 0])            # an object, a crowd, proposals
    assert object_rows(entry).tolist() == [0]
    assert object_rows(dict(entry, gt_overlaps=entry["gt_overlaps"].toarray())).tolist() == [0]
    prepare_roidb(fake_imdb([entry], str(tmp_path / "a.png")))
    with settings({"TRAIN.BBOX_NORMALIZE_TARGETS": False}):
        add_bbox_regression_targets([entry])
    assert entry["bbox_targets"][:, 0].tolist() == [2, 0, 2, 2]
    assert not entry["bbox_targets"][:3, 1:].any() and entry["bbox_targets"][3, 1:].any()
