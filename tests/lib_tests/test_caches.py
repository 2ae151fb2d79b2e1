"""Caches of ground truth, proposals and scores go by what files hold: not by their names, places and times."""
import os
import shutil

import cv2
import numpy as np
import pytest
from datasets.factory import get_imdb
from datasets.proposals import save_proposals
from support.coco_files import edit_json, make_coco
from support.voc_folder import make_voc_folder, write_proposals_mat
from utils.errors import UserError

LEFT, RIGHT = ("red", (21, 21, 61, 71)), ("red", (51, 21, 91, 71))
DATE = (315532800,) * 2         # of files that Python's zipfile writes


def voc(root, objects=(LEFT,)):
    path = make_voc_folder(root / "toy", {"a": (120, 100, list(objects)), "b": (120, 100, [])}, "test", ["red", "green"])
    for file in path.rglob("*.*"):
        os.utime(file, DATE)
    return "voc:%s@test" % path


def coco(root, bbox=(20, 20, 41, 51)):
    name = make_coco(root / "toy", {"a.png": (120, 100, [{"name": "red", "bbox": list(bbox)}])}, {"red": 1})
    os.utime(root / "toy" / "trainval.json", DATE)
    return name


def score(imdb_name, out):
    """AP of finding LEFT."""
    imdb = get_imdb(imdb_name)
    found = [[np.zeros((0, 5), np.float32)] * imdb.num_images for _ in imdb.classes]
    found[1][0] = np.array([[20, 20, 60, 70, .9]], np.float32)
    return imdb.evaluate_detections(found, str(out))


@pytest.mark.parametrize("layout", ["voc", "coco"])
def test_annotations_replaced_by_others_of_the_same_size_and_date(own_root, layout):
    """AP was 0.0, and the boxes were the old ones."""
    make = {"voc": lambda at: voc(own_root, [LEFT if at == 20 else RIGHT]),
            "coco": lambda at: coco(own_root, (at, 20, 41, 51))}[layout]
    assert score(make(50), own_root / "out") == 0
    assert get_imdb(make(50)).gt_roidb()[0]["boxes"].tolist() == [[50, 20, 90, 70]]
    assert score(make(20), own_root / "out") == pytest.approx(1)
    assert get_imdb(make(20)).gt_roidb()[0]["boxes"].tolist() == [[20, 20, 60, 70]]


def test_proposals_replaced_by_others_of_the_same_size_and_date(own_root):
    for box in ([5, 5, 30, 30], [6, 6, 31, 31]):
        imdb = get_imdb(voc(own_root))
        mat = own_root / "toy" / "selective_search_data" / "toy_test.mat"
        write_proposals_mat(mat, {name: np.array([box], np.uint16) for name in "ab"})
        with open(mat, "r+b") as f:     # the time of writing stands in the header
            f.write(b" " * 116)
        os.utime(mat, DATE)
        assert imdb.roidb[1]["boxes"].tolist() == [[box[0] - 1, box[0] - 1, box[2] - 1, box[2] - 1]]


def test_an_image_replaced_by_another_of_the_same_size_and_date(own_root):
    """Bitmaps of 120 x 100 and 100 x 120 have the same number of bytes."""
    for width, height in ((120, 100), (100, 120)):
        name, image = voc(own_root), own_root / "toy" / "JPEGImages" / "b.jpg"
        cv2.imwrite(str(image.with_suffix(".bmp")), np.zeros((height, width, 3), np.uint8))
        image.with_suffix(".bmp").rename(image)
        os.utime(image, DATE)
        assert [get_imdb(name).gt_roidb()[1][key] for key in ("width", "height")] == [width, height]


def test_an_image_set_of_the_same_size_and_date(own_root):
    name = voc(own_root)
    assert [len(entry["boxes"]) for entry in get_imdb(name).gt_roidb()] == [1, 0]
    listed = own_root / "toy" / "ImageSets" / "Main" / "test.txt"
    listed.write_text("b\na\n")
    os.utime(listed, DATE)
    assert [len(entry["boxes"]) for entry in get_imdb(name).gt_roidb()] == [0, 1]


@pytest.mark.parametrize("change", ["touched", "moved", "renamed", "copied"])
def test_the_same_content_is_not_processed_again(own_root, monkeypatch, change):
    name, path = voc(own_root), own_root / "toy"
    get_imdb(name).roidb  # noqa: B018
    if change == "touched":
        for file in path.rglob("*.*"):
            os.utime(file)
    else:
        (own_root / "new").mkdir()
        new = own_root / "new" / ("other" if change == "renamed" else "toy")
        (shutil.copytree if change == "copied" else shutil.move)(path, new)
        proposals = new / "selective_search_data"
        (proposals / "toy_test.mat").rename(proposals / ("%s_test.mat" % new.name))
        name = "voc:%s@test" % new
    monkeypatch.setattr("datasets.pascal_voc.read_annotation", None)
    monkeypatch.setattr("datasets.file_imdb.load_proposals", None)
    assert get_imdb(name).roidb[0]["boxes"][0].tolist() == [20, 20, 60, 70]


def test_files_that_change_while_they_are_read_are_not_stored(own_root, monkeypatch):
    imdb = get_imdb(voc(own_root))
    read = imdb._read_annotation

    def slow(index):
        entry = read(index)
        xml = own_root / "toy" / "Annotations" / "a.xml"
        xml.write_text(xml.read_text().replace("61", "62"))
        return entry

    monkeypatch.setattr(imdb, "_read_annotation", slow)
    with pytest.raises(UserError, match="toy_test: its files changed while they were read; run it again"):
        imdb.gt_roidb()
    assert get_imdb("voc:%s@test" % (own_root / "toy")).gt_roidb()[0]["boxes"].tolist() == [[20, 20, 61, 70]]


# ---- proposals of an RPN ---------------------------------------------------------------------------------------------

@pytest.fixture
def rpn_file(own_root):
    imdb = get_imdb(voc(own_root))
    path = str(own_root / "rpn.npz")
    save_proposals(path, imdb, [np.array([[0, 0, 20, 20]], np.float32)] * 2)
    return path


def rpn_roidb(name, path):
    imdb = get_imdb(name)
    imdb.config["rpn_file"] = path
    return imdb.rpn_roidb()


def test_proposals_of_an_rpn_know_their_images(own_root, rpn_file):
    name = "voc:%s@test" % (own_root / "toy")
    assert len(rpn_roidb(name, rpn_file)) == 2
    image = str(own_root / "toy" / "JPEGImages" / "b.jpg")
    cv2.imwrite(image, cv2.imread(image)[::-1])
    with pytest.raises(UserError, match="rpn.npz: 1 of 2 images were replaced since .* the first is b; .*rpn_generate.py"):
        rpn_roidb(name, rpn_file)


def test_proposals_of_an_rpn_are_not_those_of_another_set(own_root, rpn_file):
    (own_root / "toy" / "ImageSets" / "Main" / "test.txt").write_text("b\na\n")
    with pytest.raises(UserError, match="rpn.npz: its image 1 is a, the image set's is b"):
        rpn_roidb("voc:%s@test" % (own_root / "toy"), rpn_file)


def test_a_coco_file_replaced_after_it_was_read_is_not_stored_under_its_hash(own_root):
    imdb = get_imdb(coco(own_root))
    edit_json(own_root / "toy" / "trainval.json", lambda tree: tree["annotations"][0].update(bbox=[50, 20, 41, 51]))
    assert imdb.gt_roidb()[0]["boxes"].tolist() == [[20, 20, 60, 70]]
    again = get_imdb("coco:%s@%s" % (own_root / "toy" / "trainval.json", own_root / "toy" / "images"))
    assert again.gt_roidb()[0]["boxes"].tolist() == [[50, 20, 90, 70]]
