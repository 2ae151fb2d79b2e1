"""Proposal files, duplicates and small boxes, and what is said about files that do not fit."""
import json
import pickle

import numpy as np
import pytest
from datasets.ds_utils import filter_small_boxes, unique_boxes
from datasets.factory import get_imdb
from datasets.proposals import load_proposals
from datasets.proposals_mat import load_mat, save_mat
from scipy.io import savemat
from support.settings import settings
from support.voc_folder import make_voc_folder, write_proposals_mat
from utils.errors import UserError

IMAGES = {"a": (80, 60, [("cat", (10, 12, 40, 50))]), "b": (50, 40, [])}


@pytest.fixture
def imdb(own_root):
    """Two images; the proposal file is the test's to write."""
    imdb = get_imdb("voc:%s@trainval" % make_voc_folder(own_root / "toy", IMAGES, classes=["cat"]))
    imdb.mat = own_root / "toy" / "selective_search_data" / "toy_trainval.mat"
    return imdb


def naive_unique(boxes):
    seen, keep = set(), []
    for i, box in enumerate(np.round(boxes).tolist()):
        if tuple(box) not in seen:
            keep.append(i)
            seen.add(tuple(box))
    return keep


def test_unique_boxes_keeps_first_occurrences():
    boxes = np.random.default_rng(0).integers(0, 3, (200, 4)).astype(np.float32) + np.float32(.25)
    np.testing.assert_array_equal(unique_boxes(boxes), naive_unique(boxes))
    assert len(unique_boxes(np.zeros((0, 4)))) == 0


def test_unique_boxes_with_large_coordinates():
    """The original's hash, base 1000, took these two for one."""
    boxes = np.array([[1000, 0, 1200, 50], [0, 1, 1200, 50]], dtype=np.float32)
    assert boxes[0] @ [1, 1e3, 1e6, 1e9] == boxes[1] @ [1, 1e3, 1e6, 1e9]
    np.testing.assert_array_equal(unique_boxes(boxes), [0, 1])


def test_small_boxes_are_judged_as_the_original_did():
    """Width 2 stays, height 2 goes."""
    boxes = np.array([[0, 0, 2, 3], [0, 0, 3, 2], [0, 0, 1, 9], [0, 0, 9, 9]], dtype=np.float32)
    np.testing.assert_array_equal(filter_small_boxes(boxes, 2), [0, 3])


def test_mat_coordinates(imdb):
    """1-based [ymin xmin ymax xmax] in uint8, whose 0 must not wrap, clipped by a pixel."""
    write_proposals_mat(imdb.mat, {"a": np.array([[0, 3, 20, 30]], np.uint8), "b": np.array([[5, 6, 40, 50]], np.uint8)})
    np.testing.assert_array_equal(imdb.roidb[0]["boxes"], [[9, 11, 39, 49], [2, 0, 29, 19]])
    np.testing.assert_array_equal(imdb.roidb[1]["boxes"], [[5, 4, 49, 39]])


@pytest.mark.parametrize("names", ["a", "abc"])
def test_wrong_number_of_images(imdb, names):
    write_proposals_mat(imdb.mat, {name: np.array([[1, 1, 9, 9]]) for name in names})
    with pytest.raises(UserError, match="%d images, the image set has 2 images" % len(names)):
        imdb.selective_search_roidb()


def test_images_in_another_order(imdb):
    write_proposals_mat(imdb.mat, {name: np.array([[1, 1, 9, 9]]) for name in "ba"})
    with pytest.raises(UserError, match="its image 1 is b, the image set's is a"):
        imdb.selective_search_roidb()


def test_other_images(imdb):
    write_proposals_mat(imdb.mat, {name: np.array([[1, 1, 9, 9]]) for name in ("a", "old")})
    with pytest.raises(UserError, match="its image 2 is old, the image set's is b"):
        imdb.selective_search_roidb()


def test_names_may_be_paths(imdb):
    write_proposals_mat(imdb.mat, {"VOC2007/JPEGImages/%s.jpg" % name: np.array([[1, 1, 9, 9]]) for name in "ab"})
    assert len(imdb.selective_search_roidb()) == 2


def test_boxes_in_another_column_order(imdb):
    """x and y taken for each other show in a wide image."""
    write_proposals_mat(imdb.mat, {"a": np.array([[1, 1, 9, 9], [1, 1, 80, 60]]), "b": np.zeros((0, 4))})
    with pytest.raises(UserError, match=r"toy_trainval.mat, image a: 1 of 2 boxes .* 80 x 60 .*\[ymin xmin ymax xmax\]"):
        imdb.selective_search_roidb()


@pytest.mark.parametrize("content", [b"", b"not a mat file at all, but long enough to have a header" * 9])
def test_broken_mat(imdb, content):
    imdb.mat.write_bytes(content)
    with pytest.raises(UserError, match="toy_trainval.mat cannot be read"):
        imdb.selective_search_roidb()


def test_other_mats(imdb):
    imdb.mat.unlink()
    with pytest.raises(UserError, match="toy_trainval.mat does not exist.*data/README.md"):
        imdb.selective_search_roidb()
    savemat(imdb.mat, {"bboxes": np.zeros(3)})
    with pytest.raises(UserError, match="no cell array 'boxes'; it has: bboxes"):
        imdb.selective_search_roidb()
    write_proposals_mat(imdb.mat, {"a": np.zeros((3, 5)), "b": np.zeros((0, 4))})
    with pytest.raises(UserError, match=r"image 1: expected boxes of shape \(n, 4\), got \(3, 5\)"):
        imdb.selective_search_roidb()


def test_rpn_file(imdb, tmp_path):
    imdb.set_proposal_method("rpn")
    with pytest.raises(UserError, match="rpn_file"):
        imdb.rpn_roidb()
    imdb.config["rpn_file"] = str(tmp_path / "rpn.npz")
    boxes = np.array([[0, 0, 20, 20.5], [1, 1, 49, 39]], dtype=np.float32)
    np.savez(imdb.config["rpn_file"], boxes=boxes, counts=np.array([0, 2]))
    assert [len(entry["boxes"]) for entry in imdb.roidb] == [1, 2]
    np.testing.assert_array_equal(imdb.roidb[1]["boxes"], boxes)
    np.savez(imdb.config["rpn_file"], boxes=boxes, counts=np.array([0, 3]))
    with pytest.raises(UserError, match="sum of counts"):
        imdb.rpn_roidb()


class Bomb:
    """Unpickling it raises."""
    def __reduce__(self):
        return exec, ("raise SystemExit('code of a stranger ran')",)


def test_pickles_are_read_only_when_trusted(imdb, tmp_path):
    path = tmp_path / "proposals.pkl"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="runs whatever code its maker put in.*--set TRUST_PICKLE True"):
        load_proposals(str(path), ["a"])
    np.savez(tmp_path / "proposals.npz", boxes=np.array([None]), counts=np.array([1]))
    with pytest.raises(UserError, match="expected an npz with boxes and counts"):
        load_proposals(str(tmp_path / "proposals.npz"), ["a"])
    imdb.mat.unlink()
    rows = [np.array([[0, 1, 20, 30, 0.9]]), np.zeros((0, 5))]
    imdb.mat.with_suffix(".pkl").write_bytes(pickle.dumps(rows, protocol=2))
    with pytest.raises(UserError, match="TRUST_PICKLE"):
        imdb.selective_search_roidb()
    with settings({"TRUST_PICKLE": True}):
        np.testing.assert_array_equal(imdb.roidb[0]["boxes"][1:], [[0, 1, 20, 30]])
    (tmp_path / "half.pkl").write_bytes(pickle.dumps(rows)[:30])
    with pytest.raises(UserError, match="expected a pickled list"):
        load_proposals(str(tmp_path / "half.pkl"), ["a", "b"], trust_pickle=True)


# ---- declared orders -------------------------------------------------------------------------------------------------

DECLARED = [("x1 y1 x2 y2", 0, [9, 11, 39, 49]), ("x1 y1 x2 y2", 1, [10, 12, 40, 50]), ("y1 x1 y2 x2", 1, [12, 10, 50, 40]),
            ("x y w h", 0, [9, 11, 31, 39]), ("x y w h", 1, [10, 12, 31, 39])]


@pytest.mark.parametrize("order, first_pixel, box", DECLARED)
def test_declared_orders(imdb, order, first_pixel, box):
    """One box, [9 11 39 49] 0-based, in every order of the two formats that declare one."""
    imdb.mat.unlink()
    npz, text = imdb.mat.with_suffix(".npz"), imdb.mat.with_suffix(".json")
    np.savez(npz, boxes=np.array([box]), counts=np.array([1, 0]), order=order, first_pixel=first_pixel)
    by_npz = load_proposals(str(npz), ["a", "b"])
    text.write_text(json.dumps({"order": order, "first_pixel": first_pixel, "boxes": {"b": [], "a": [box], "more": []}}))
    by_json = load_proposals(str(text), ["a", "b"])
    for box_list in (by_npz, by_json):
        assert [len(boxes) for boxes in box_list] == [1, 0] and box_list[0].dtype == np.float32
        np.testing.assert_array_equal(box_list[0], [[9, 11, 39, 49]])
    with pytest.raises(UserError, match="toy_trainval.npz and .*toy_trainval.json; keep one"):
        imdb.selective_search_roidb()
    npz.unlink()
    np.testing.assert_array_equal(imdb.roidb[0]["boxes"], [[9, 11, 39, 49]] * 2)


@pytest.mark.parametrize("text, words", [
    ('{"boxes": {"a": []}}', "KeyError: 'order'"), ("not json", "expected"), ("[]", "expected"),
    ('{"order": "xyxy", "boxes": {"a": []}}', "order must be one of .*got 'xyxy'"),
    ('{"order": "x y w h", "first_pixel": 2, "boxes": {"a": []}}', "first_pixel 0 or 1"),
    ('{"order": "x y w h", "boxes": {"a": [[1, 2, 3]]}}', "expected"),
    ('{"order": "x y w h", "boxes": {"c": []}}', "no boxes of 1 of 1 images, the first is a")])
def test_bad_json(tmp_path, text, words):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        load_proposals(str(tmp_path / "p.json"), ["a"])
    assert "p.json" in str(caught.value)


@pytest.mark.parametrize("order, first_pixel", [("x1 y1 x2 y2", 0), ("y1 x1 y2 x2", 1), ("x y w h", 0), ("x y w h", 1)])
def test_proposals_as_fractions_of_the_image_are_named(imdb, order, first_pixel):
    """They were clipped to one pixel at the corner, and left out as small."""
    imdb.mat.unlink()
    boxes = {"a": [[.1, .1, .9, .8], [0, 0, 1, 1]], "b": [[5, 5, 30, 30]]}
    text = json.dumps({"order": order, "first_pixel": first_pixel, "boxes": boxes})
    imdb.mat.with_suffix(".json").write_bytes(text.encode("utf-8-sig"))
    with pytest.raises(UserError, match="json, image a: its boxes look like fractions.*multiply x by 80 and y by 60"):
        imdb.roidb  # noqa: B018


def test_proposals_of_whole_pixels_at_the_corner_are_read(imdb):
    write_proposals_mat(imdb.mat, {"a": np.array([[1, 1, 1, 1], [1, 1, 2, 2]]), "b": np.array([[1, 1, 30, 30]])})
    assert [len(entry["boxes"]) for entry in imdb.roidb] == [1, 1]      # those of a are small


def test_a_mat_file_has_the_same_bytes_whenever_it_is_written(tmp_path, monkeypatch):
    """Else proposals made again would be others to a run that is to be resumed."""
    boxes, written = np.array([[0, 1, 20, 30]], np.uint16), []
    for now in ("Thu Nov 26 02:00:00 2026", "Fri Nov 27 13:00:00 2026"):
        monkeypatch.setattr("time.asctime", lambda now=now: now)
        save_mat(str(tmp_path / "p.mat"), ["a"], [boxes], ["0" * 64], "fast 500")
        written.append((tmp_path / "p.mat").read_bytes())
    assert written[0] == written[1]
    assert load_mat(str(tmp_path / "p.mat")).box_list[0].tolist() == [[2, 1, 31, 21]]
