"""What the VOC loader does otherwise than the original, and what it says about bad files."""
import os

import cv2
import numpy as np
import pytest
from datasets.check import check_imdb
from datasets.factory import get_imdb, list_imdbs
from datasets.pascal_voc import pascal_voc
from fast_rcnn.config import cfg
from PIL import Image
from support.voc_folder import make_voc_folder, write_proposals_mat
from utils.errors import UserError

CAT, DOG = ("cat", (10, 12, 40, 50)), ("dog", (30, 5, 70, 45))


def folder_imdb(path, images, **kwargs):
    """imdb of a folder path/toy made of `images`."""
    return get_imdb("voc:%s@trainval" % make_voc_folder(path / "toy", images, **kwargs))


def one_line_error(call, *words):
    """call() must raise a UserError of one line that holds all words."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message


# ---- mended: boxes -------------------------------------------------------------------------------------------------

def test_boxes_are_float32_and_keep_fractions(own_root):
    """The original cut coordinates to uint16."""
    entry = folder_imdb(own_root, {"a": (80, 60, [("cat", (10.5, 12.25, 40.75, 50))])}).roidb[0]
    assert entry["boxes"].dtype == np.float32
    np.testing.assert_array_equal(entry["boxes"][0], [9.5, 11.25, 39.75, 49])


def test_off_by_one_boxes_are_clipped_and_counted(own_root, capsys):
    """The original's uint16 wrapped: xmin 0 to 65535, and a flipped x2 = width."""
    imdb = folder_imdb(own_root, {"a": (80, 60, [("cat", (0, 0, 40, 50)), ("dog", (5, 5, 81, 61)), CAT])},
                       classes=["cat", "dog"])
    np.testing.assert_array_equal(imdb.gt_roidb()[0]["boxes"][:2], [[0, 0, 39, 49], [4, 4, 79, 59]])
    assert "2 ground-truth boxes reached one pixel beyond" in capsys.readouterr().out
    imdb.append_flipped_images()
    np.testing.assert_array_equal(imdb.roidb[1]["boxes"][:2], [[40, 0, 79, 49], [0, 4, 75, 59]])


@pytest.mark.parametrize("box", [(10, 10, 82, 50), (-1, 10, 20, 30), (40, 10, 20, 30), (10, 30, 20, 10), (10, 62, 20, 63),
                                 (float("nan"), 1, 5, 5), (1, 1, float("inf"), 5)])
def test_box_outside_the_image_is_named(own_root, box):
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT, ("dog", box)])}, classes=["cat", "dog"])
    one_line_error(imdb.gt_roidb, "a.xml", "object 2", "dog", "80 x 60")


@pytest.mark.parametrize("old", ["<xmin>10</xmin>", "<xmin>10<", "<bndbox>"])
def test_missing_or_unreadable_coordinate_is_named(own_root, old):
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT])}, classes=["cat"])
    xml = own_root / "toy" / "Annotations" / "a.xml"
    new = {"<xmin>10</xmin>": "", "<xmin>10<": "<xmin>ten<", "<bndbox>": "<other/><bndbox>"}[old]
    text = xml.read_text().replace(old, new)
    xml.write_text(text.replace("bndbox", "box") if old == "<bndbox>" else text)
    one_line_error(imdb.gt_roidb, "a.xml", "object 1", "nan")


# ---- mended: tags, names, empty images -------------------------------------------------------------------------------

def test_missing_tags_are_fine(own_root):
    """The folder maker writes neither pose nor truncated; without difficult the object counts."""
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT])}, classes=["cat"])
    xml = own_root / "toy" / "Annotations" / "a.xml"
    xml.write_text(xml.read_text().replace("<difficult>0</difficult>", ""))
    assert len(imdb.gt_roidb()[0]["boxes"]) == 1


def test_class_names_without_case_and_blanks(own_root):
    imdb = folder_imdb(own_root, {"a": (80, 60, [(" CAT\n", CAT[1]), ("Dog", DOG[1])])}, classes=["Cat", "dog"])
    assert imdb.classes == ("__background__", "Cat", "dog")
    np.testing.assert_array_equal(imdb.gt_roidb()[0]["gt_classes"], [1, 2])


def test_classes_are_collected_from_the_annotations(own_root):
    """From all of them, also those of other sets, so that train and test agree; in the spelling that is most frequent."""
    others = [(name, CAT[1]) for name in ("Zebra", "DOG", "Dog", "Dog")]
    make_voc_folder(own_root / "toy", {"b": (80, 60, others)}, split="test")
    imdb = folder_imdb(own_root, {"a": (80, 60, [DOG, CAT])})
    assert imdb.classes == ("__background__", "cat", "Dog", "Zebra")
    assert imdb.gt_roidb()[0]["gt_classes"].tolist() == [2, 1]


def test_difficult_objects(own_root):
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT, DOG + (1,)])}, classes=["cat", "dog"])
    assert len(imdb.gt_roidb()[0]["boxes"]) == 1
    imdb.config["use_diff"] = True            # another setting, another cache file
    assert len(imdb.gt_roidb()[0]["boxes"]) == 2


def test_images_without_objects_and_without_proposals(own_root):
    images = {"full": (80, 60, [CAT]), "no_object": (50, 40, []), "nothing": (30, 30, [])}
    none = np.zeros((0, 0), np.uint16)          # what an empty cell becomes in a .mat
    imdb = folder_imdb(own_root, images, classes=["cat"],
                       proposals={"full": none, "no_object": np.array([[1, 1, 20, 20]]), "nothing": none})
    imdb.append_flipped_images()
    assert [len(entry["boxes"]) for entry in imdb.roidb] == [1, 1, 0] * 2
    for entry in imdb.roidb:
        assert entry["gt_overlaps"].shape == (len(entry["boxes"]), 2) and entry["gt_overlaps"].format == "csr"
        assert entry["boxes"].shape[1] == 4 and len(entry["seg_areas"]) == len(entry["gt_classes"]) == len(entry["boxes"])
    assert imdb.evaluate_recall()["recalls"][0] == 0


def test_flipped_entries_carry_everything(own_root):
    """The original dropped seg_areas."""
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT])}, classes=["cat"])
    imdb.append_flipped_images()
    plain, mirrored = imdb.roidb
    assert plain.keys() == mirrored.keys() and (mirrored["width"], mirrored["height"]) == (80, 60)
    np.testing.assert_array_equal(plain["seg_areas"], mirrored["seg_areas"])
    np.testing.assert_array_equal(plain["boxes"][0], [9, 11, 39, 49])
    np.testing.assert_array_equal(mirrored["boxes"][0], [40, 11, 70, 49])


def turned_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif}


@pytest.mark.parametrize("form, how", [
    ("JPEG", turned_by_exif()), ("PNG", turned_by_exif()), ("TIFF", {}), ("JPEG", {}),
    ("JPEG", {"xmp": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'})])
def test_size_is_what_cv2_reads(own_root, form, how):
    """A photograph turned by its EXIF tag is read turned."""
    imdb = folder_imdb(own_root, {"a": (80, 60, [])}, classes=["cat"])
    Image.new("RGB", (80, 60)).save(imdb.image_path_at(0), form, **how)
    entry = imdb.gt_roidb()[0]
    assert cv2.imread(imdb.image_path_at(0)).shape[:2] == (entry["height"], entry["width"])
    assert (entry["height"] == 80) == ("exif" in how)


def test_a_very_large_image_has_a_size(own_root):
    """Pillow takes it for an attack."""
    imdb = folder_imdb(own_root, {"a": (80, 60, [])}, classes=["cat"])
    Image.new("1", (14000, 14000)).save(imdb.image_path_at(0), "PNG")
    assert imdb.gt_roidb()[0]["width"] == 14000


def test_lists_that_are_not_utf8_are_named(own_root):
    folder_imdb(own_root, {"a": (80, 60, [CAT])}, classes=["cat"])
    (own_root / "toy" / "classes.txt").write_bytes(b"caf\xe9\n")
    one_line_error(lambda: get_imdb("voc:%s@trainval" % (own_root / "toy")), "classes.txt", "not UTF-8")


def test_lists_may_begin_with_a_byte_order_mark(own_root):
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT])}, classes=["cat"])
    for name in ("classes.txt", "ImageSets/Main/trainval.txt"):
        path = own_root / "toy" / name
        if path.exists():
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    again = get_imdb("voc:%s@trainval" % (own_root / "toy"))
    assert again.classes == imdb.classes and again.image_index == ["a"]


def test_png_images(own_root):
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT])}, classes=["cat"])
    jpg = own_root / "toy" / "JPEGImages" / "a.jpg"
    cv2.imwrite(str(jpg.with_suffix(".png")), cv2.imread(str(jpg)))
    jpg.unlink()
    assert imdb.image_path_at(0).endswith("a.png") and imdb.gt_roidb()[0]["width"] == 80


# ---- bad input: files ------------------------------------------------------------------------------------------------

def test_all_problems_are_listed(own_root, capsys):
    images = {"a": (80, 60, [CAT, ("dog", (1, 1, 99, 99))]), "b": (80, 60, [("cow", CAT[1])]), "c": (80, 60, []),
              "d": (80, 60, []), "e": (80, 60, []), "f": (80, 60, [CAT])}
    imdb = folder_imdb(own_root, images, classes=["cat", "dog"])
    toy = own_root / "toy"
    (toy / "JPEGImages" / "c.jpg").unlink()
    (toy / "Annotations" / "d.xml").unlink()
    (toy / "JPEGImages" / "e.jpg").write_bytes(b"no image")
    problems = check_imdb(imdb)
    for problem, words in zip(problems, (["a.xml", "object 2"], ["b.xml", "object 1", "cow", "cat, dog"],
                                         ["c.jpg", "does not exist"], ["d.xml", "does not exist"],
                                         ["e.jpg", "cannot be read"]), strict=True):
        assert all(word in problem for word in words)
    one_line_error(imdb.gt_roidb, "5 problems", problems[0])
    printed = capsys.readouterr().err
    assert all(problem in printed for problem in problems)


def test_sound_folder_has_no_problems(own_root):
    assert check_imdb(folder_imdb(own_root, {"a": (80, 60, [CAT])}, classes=["cat"])) == []


def test_unknown_class_is_named(own_root):
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT, ("cow", DOG[1])])}, classes=["cat", "dog"])
    one_line_error(imdb.gt_roidb, "a.xml", "object 2", "cow", "cat, dog")


def test_broken_xml(own_root):
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT])}, classes=["cat"])
    (own_root / "toy" / "Annotations" / "a.xml").write_text("<annotation><object>")
    one_line_error(imdb.gt_roidb, "a.xml", "not valid XML")


def test_missing_devkit_and_split(own_root):
    one_line_error(lambda: get_imdb("voc_2007_trainval"), "voc_2007_trainval", cfg.DATA_DIR, "data/README.md")
    path = make_voc_folder(own_root / "toy", {"a": (80, 60, [CAT])})
    one_line_error(lambda: get_imdb("voc:%s@tset" % path), "tset.txt", "sets there: trainval")
    one_line_error(lambda: get_imdb("voc:%s@trainval" % (own_root / "none")), own_root / "none", "JPEGImages")


def test_empty_split_and_empty_class_list(own_root):
    path = make_voc_folder(own_root / "toy", {}, classes=["cat"])
    one_line_error(lambda: get_imdb("voc:%s@trainval" % path), "trainval.txt", "empty")
    path = make_voc_folder(own_root / "bare", {"a": (80, 60, [])})
    one_line_error(lambda: get_imdb("voc:%s@trainval" % path), "classes.txt")
    path = make_voc_folder(own_root / "twice", {"a": (80, 60, [])}, classes=["cat", "Cat"])
    one_line_error(lambda: get_imdb("voc:%s@trainval" % path), "classes.txt", "cat, Cat")


# ---- factory ---------------------------------------------------------------------------------------------------------

def test_unknown_name_tells_the_nearest():
    one_line_error(lambda: get_imdb("voc_2007_trainvall"), "voc_2007_trainvall", "voc_2007_trainval", "voc:PATH@SPLIT")
    one_line_error(lambda: get_imdb("voc:data/digits"), "voc:PATH@SPLIT")
    assert len(list_imdbs()) == 33 and "voc_2012_test" in list_imdbs()


def test_folder_names_and_relative_paths(own_root, monkeypatch):
    make_voc_folder(own_root / "data" / "toy", {"a": (80, 60, [CAT])})
    monkeypatch.chdir("/")
    imdb = get_imdb("voc:data/toy@trainval")              # found below the project's root
    assert imdb.name == "toy_trainval" and os.path.isabs(imdb.image_path_at(0))
    monkeypatch.chdir(own_root / "data")
    assert get_imdb("voc:toy/@trainval").name == "toy_trainval"


def test_unknown_proposal_method(own_root):
    imdb = folder_imdb(own_root, {"a": (80, 60, [CAT])})
    imdb.set_proposal_method("gt")
    assert len(imdb.roidb[0]["boxes"]) == 1
    one_line_error(lambda: imdb.set_proposal_method("selectiv_search"), "selectiv_search", "gt", "rpn", "selective_search")


def test_devkit_name_and_classes(own_root):
    """An official devkit: same loader, the 20 classes, proposals by the imdb's name in data/selective_search_data."""
    devkit = make_voc_folder(own_root / "data" / "VOCdevkit2012" / "VOC2012", {"a": (80, 60, [CAT])}, split="val")
    write_proposals_mat(own_root / "data" / "selective_search_data" / "voc_2012_val.mat", {"a": np.array([[1, 1, 9, 9]])})
    for imdb in (get_imdb("voc_2012_val"), pascal_voc("val", 2012, str(devkit.parent))):
        assert imdb.name == "voc_2012_val" and imdb.num_classes == 21 and imdb.classes[8] == "cat"
        np.testing.assert_array_equal(imdb.roidb[0]["boxes"], [[9, 11, 39, 49], [0, 0, 8, 8]])
