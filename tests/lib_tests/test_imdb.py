"""The image database's own work: merging, proposals' overlaps, recall; and its cache."""
import os

import numpy as np
import pytest
from datasets.cache import cached_arrays, pack_roidb, unpack_roidb
from datasets.factory import get_imdb
from datasets.imdb import imdb as base_imdb
from support.voc_folder import make_voc_folder
from utils.cython_bbox import bbox_overlaps
from utils.errors import UserError

IMAGES = {"a": (80, 60, [("cat", (10, 12, 40, 50)), ("dog", (10, 12, 40, 50)), ("dog", (50, 5, 70, 40))]), "b": (50, 40, []),
          "c": (64, 64, [("cat", (5, 5, 30, 30))])}


@pytest.fixture
def toy(own_root):
    return make_voc_folder(own_root / "toy", IMAGES, classes=["cat", "dog"])


def load(path):
    return get_imdb("voc:%s@trainval" % path)


def assert_same_roidb(one, other):
    for x, y in zip(one, other, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            a, b = (v[key].toarray() if key == "gt_overlaps" else v[key] for v in (x, y))
            np.testing.assert_array_equal(a, b)
            assert np.asarray(a).dtype == np.asarray(b).dtype


def test_overlaps_belong_to_the_best_ground_truth_box(toy):
    """One column at most; of two objects in one place the first counts."""
    entry = load(toy).roidb[0]
    overlaps, want = entry["gt_overlaps"].toarray(), np.zeros((len(entry["boxes"]), 3))
    for r, row in enumerate(bbox_overlaps(entry["boxes"], entry["boxes"][:3])):
        want[r, [1, 2, 2][int(row.argmax())]] = row.max()
    np.testing.assert_allclose(overlaps[3:], want[3:], atol=1e-6)
    np.testing.assert_array_equal(overlaps[:3], np.eye(3)[[1, 2, 2]])
    assert overlaps[3:, 1].max() > .5 and (overlaps[3:] > 0).sum(axis=1).max() == 1


def test_merge_leaves_its_arguments_alone(toy):
    imdb = load(toy)
    gt = imdb.gt_roidb()
    merged = imdb.merge_roidbs(gt, gt)
    assert [len(e["boxes"]) for e in gt] == [3, 0, 1] and [len(e["boxes"]) for e in merged] == [6, 0, 2]
    assert merged[1]["gt_overlaps"].shape == (0, 3)
    np.testing.assert_array_equal(merged[2]["gt_overlaps"].toarray(), [[0, 1, 0], [0, 1, 0]])


def test_proposals_without_ground_truth(toy):
    imdb = load(toy)
    roidb = imdb.create_roidb_from_box_list([np.zeros((0, 4)), np.array([[0, 0, 9, 9]]), []], None)
    assert [e["gt_overlaps"].shape for e in roidb] == [(0, 3), (1, 3), (0, 3)]
    assert [e["gt_overlaps"].nnz for e in roidb] == [0, 0, 0]
    assert [(e["width"], e["height"]) for e in roidb] == [(80, 60), (50, 40), (64, 64)]
    with pytest.raises(UserError, match="2 lists of proposals for 3 images"):
        imdb.create_roidb_from_box_list([[], []], None)


def test_memory_of_a_roidb(toy):
    """2000 proposals an image must stay small: 10,000 images of them fit in 2 GB (a dense (R, 21) would take 1.7 GB more)."""
    imdb = load(toy)
    boxes = np.random.default_rng(0).uniform(0, 39, (2000, 2, 2)).astype(np.float32)
    boxes = np.sort(boxes, axis=1).reshape(-1, 4)
    roidb = imdb.create_roidb_from_box_list([boxes] * 3, imdb.gt_roidb())
    for entry in roidb:
        csr = entry["gt_overlaps"]
        arrays = [csr.data, csr.indices, csr.indptr] + [v for v in entry.values() if isinstance(v, np.ndarray)]
        assert sum(a.nbytes for a in arrays) <= 2001 * 50


def test_recall(toy):
    imdb = load(toy)
    candidates = [np.array([[9, 11, 39, 49], [49, 4, 69, 21]]), np.zeros((0, 4)), np.zeros((0, 4))]
    result = imdb.evaluate_recall(candidates, thresholds=np.array([.3, .5, .9]))
    # of the two objects in one place one is found exactly, (50..70, 5..40) by half: IoU 18 / 36; the others are not
    np.testing.assert_allclose(result["gt_overlaps"], [0, 0, .5, 1])
    np.testing.assert_allclose(result["recalls"], [.5, .5, .25])
    assert result["ar"] == pytest.approx(1.25 / 3)
    assert imdb.evaluate_recall(candidates, limit=1)["gt_overlaps"].tolist() == [0, 0, 0, 1]
    assert np.isnan(imdb.evaluate_recall(candidates, area="512-inf")["ar"])
    with pytest.raises(UserError, match="area range 'huge' is unknown; known: all, small"):
        imdb.evaluate_recall(candidates, area="huge")


def test_flipping_an_inverted_box_is_refused(toy):
    imdb = load(toy)
    imdb.roidb_handler = lambda: imdb.create_roidb_from_box_list([[[9, 0, 3, 5]], [], []], None)
    with pytest.raises(UserError, match="a.jpg has a box with x2 < x1"):
        imdb.append_flipped_images()


def test_base_needs_a_handler():
    with pytest.raises(NotImplementedError, match="set roidb_handler"):
        base_imdb("bare").roidb  # noqa: B018


# ---- cache -----------------------------------------------------------------------------------------------------------

def cache_files(root):
    return sorted((root / "data" / "cache").glob("*.npz"))


def test_packing_keeps_everything(toy):
    roidb = load(toy).roidb
    assert_same_roidb(roidb, unpack_roidb(pack_roidb(roidb), 3))
    assert unpack_roidb(pack_roidb([]), 3) == []


def test_second_time_comes_from_the_cache(own_root, toy, monkeypatch):
    first = load(toy).roidb
    assert len(cache_files(own_root)) == 2
    monkeypatch.setattr("datasets.pascal_voc.read_annotation", None)
    monkeypatch.setattr("datasets.file_imdb.load_proposals", None)
    assert_same_roidb(first, load(toy).roidb)


@pytest.mark.parametrize("change", ["annotation", "proposals", "min_size", "image_set"])
def test_changed_content_is_not_taken_from_the_cache(own_root, toy, change):
    """The original's caches were found by name alone."""
    before = [len(e["boxes"]) for e in load(toy).roidb]
    if change == "annotation":
        xml = toy / "Annotations" / "b.xml"
        xml.write_text((toy / "Annotations" / "c.xml").read_text().replace("64", "0"))      # it says no size
    elif change == "image_set":
        (toy / "ImageSets" / "Main" / "trainval.txt").write_text("a\nb\nc\n\n")       # blank lines change nothing
        assert [len(e["boxes"]) for e in load(toy).roidb] == before
        (toy / "ImageSets" / "Main" / "trainval.txt").write_text("a\nb\n")
    elif change == "proposals":
        make_voc_folder(toy, IMAGES, classes=["cat", "dog"], proposals=9)
    imdb = load(toy)
    if change == "min_size":
        imdb.config["min_size"] = 10
    if change == "image_set":
        with pytest.raises(UserError, match="3 images, the image set has 2"):
            imdb.selective_search_roidb()
    else:
        assert [len(e["boxes"]) for e in imdb.roidb] != before


def test_corrupt_cache_is_made_again(own_root, toy, capsys):
    first = load(toy).roidb
    for damage in (lambda data: data[:len(data) // 2], lambda data: b"", lambda data: b"x" * len(data)):
        for file in cache_files(own_root):
            file.write_bytes(damage(file.read_bytes()))
        assert_same_roidb(first, load(toy).roidb)
        assert capsys.readouterr().out.count("cannot be read") == 2
    assert not list((own_root / "data" / "cache").glob("*.part"))


def test_no_pickle_is_read_from_the_cache(tmp_path, capsys):
    path = str(tmp_path / "cache.npz")
    np.savez(path, boxes=np.array([{"pickled": 1}]))
    assert cached_arrays(path, lambda: {"boxes": np.ones(2)})["boxes"].tolist() == [1, 1]
    assert "making it again" in capsys.readouterr().out
    assert np.load(path, allow_pickle=False)["boxes"].tolist() == [1, 1]


def test_unwritable_cache_is_done_without(tmp_path, capsys):
    path = os.path.join(str(tmp_path), "missing", "cache.npz")
    assert cached_arrays(path, lambda: {"n": np.ones(1)})["n"] == 1
    assert "cannot be written" in capsys.readouterr().out
