"""Annotations in VOC's format: encodings, roots and namespaces, flags, coordinates of another kind."""
import numpy as np
import pytest
from datasets.check import check_imdb
from datasets.factory import get_imdb
from datasets.voc_eval import voc_eval
from support.voc_folder import make_voc_folder
from utils.errors import UserError

RED, GREEN = ("red", (21, 21, 61, 71)), ("green", (70, 25, 100, 56))
RED_BOX, GREEN_BOX = [20, 20, 60, 70], [69, 24, 99, 55]
DECLARATION = '<?xml version="1.0" encoding="%s"?>'


class Folder:
    """A VOC-layout folder of images of 120 x 100 pixels, whose files tests spoil."""

    def __init__(self, path, objects=(RED, GREEN), classes=("red", "green")):
        self.path = make_voc_folder(path, {"a": (120, 100, list(objects))}, classes=classes)
        self.xml = path / "Annotations" / "a.xml"

    def replace(self, old, new):
        text = self.xml.read_text()
        assert old in text
        self.xml.write_text(text.replace(old, new))

    def imdb(self):
        return get_imdb("voc:%s@trainval" % self.path)

    def only_problem(self, *words):
        """The check names one problem, with these words; no ground truth is made."""
        imdb = self.imdb()
        problem, = check_imdb(imdb)
        assert "\n" not in problem
        for word in ("a.xml", *words):
            assert word in problem, problem
        with pytest.raises(UserError):
            imdb.gt_roidb()


@pytest.fixture
def folder(own_root):
    return Folder(own_root / "toy")


# ---- encodings -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("encoding, name", [
    ("gb2312", "红"), ("GBK", "镕"), ("utf-16", "красный"), ("utf-16-le", "é"), ("cp1252", "œil"), ("windows-1251", "красный"),
    ("iso-8859-1", "rosé"), ("shift_jis", "赤"), ("big5", "紅"), ("euc-kr", "빨강"), ("utf-32", "红"), ("UTF-8", "红"),
    ("utf-8-sig", "红")])
def test_xml_is_read_in_the_encoding_that_it_declares(own_root, encoding, name):
    """The parser by itself knows no encoding of several bytes a character, and ended with a traceback."""
    folder = Folder(own_root / "toy", [(name, RED[1])], classes=None)
    text = DECLARATION % encoding.removesuffix("-sig") + folder.xml.read_text(encoding="utf-8")
    folder.xml.write_bytes(text.encode(encoding))
    imdb = folder.imdb()
    assert imdb.classes == ("__background__", name)
    np.testing.assert_array_equal(imdb.gt_roidb()[0]["boxes"], [RED_BOX])


def test_xml_without_a_declaration_may_have_a_byte_order_mark(folder):
    text = folder.xml.read_text()
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        folder.xml.write_bytes(text.encode(encoding))
        np.testing.assert_array_equal(folder.imdb().gt_roidb()[0]["boxes"], [RED_BOX, GREEN_BOX])


@pytest.mark.parametrize("encoding", ["klingon", "hex", "", "x" * 999])
def test_an_unknown_encoding_is_named(folder, encoding):
    folder.xml.write_text(DECLARATION % encoding + folder.xml.read_text())
    folder.only_problem("declares the encoding '%s', which is unknown" % encoding.strip(), "save it as UTF-8")


@pytest.mark.parametrize("declared, stored, words", [
    ("utf-8", "latin-1", "is not utf-8"), ("gb2312", "latin-1", "is not gb2312"), ("utf-16", "utf-8", "utf-16")])
def test_xml_in_another_encoding_than_it_declares_is_named(folder, declared, stored, words):
    folder.replace("red", "rosé")
    folder.xml.write_bytes((DECLARATION % declared + folder.xml.read_text()).encode(stored))
    folder.only_problem(words, "declare its actual encoding")


@pytest.mark.parametrize("name", ["classes.txt", "ImageSets/Main/trainval.txt"])
def test_a_nul_byte_in_a_list_is_named(folder, name):
    path = folder.path / name
    path.write_bytes(path.read_bytes() + b"b\0\n")
    with pytest.raises(UserError, match="%s, line %d: has a NUL byte.*UTF-8" % (name, len(path.read_text().splitlines()))):
        folder.imdb()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_lists_with_a_byte_order_mark_are_read(folder, encoding):
    """PowerShell writes UTF-16."""
    for name in ("classes.txt", "ImageSets/Main/trainval.txt"):
        path = folder.path / name
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    imdb = folder.imdb()
    assert imdb.classes == ("__background__", "red", "green") and imdb.image_index == ["a"]
    detections = folder.path / "det_red.txt"
    detections.write_text("a 0.5 21 21 61 71\n")
    annotations = str(folder.path / "Annotations" / "{:s}.xml")
    assert voc_eval(str(folder.path / "det_{:s}.txt"), annotations, str(folder.path / "ImageSets/Main/trainval.txt"), "red",
                    str(folder.path / "cache"))[2] == 1


def test_byte_order_marks_of_joined_lists_are_left_out(folder):
    folder.path.joinpath("classes.txt").write_text("\ufeffred\n\ufeffgreen\n", encoding="utf-8")
    assert folder.imdb().classes == ("__background__", "red", "green")


@pytest.mark.parametrize("name", ["a/b", "a\x07b", "__background__"])
def test_a_class_name_that_cannot_be_one_is_named(own_root, name):
    folder = Folder(own_root / "toy", [("x", RED[1])], classes=["red", "x"])
    path = folder.path / "classes.txt"
    path.write_text("red\n%s\n" % name.upper())
    with pytest.raises(UserError, match="classes.txt: class name .*; rename it"):
        folder.imdb()


# ---- roots and namespaces --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("old, new", [
    ("<annotation>", '<annotation xmlns="urn:x">'), ("<object>", '<object xmlns="urn:x">'),
    ("<annotation>", '<annotation xmlns:p="urn:p" xmlns="urn:x" p:version="1">')])
def test_namespaces_are_read_through(folder, old, new):
    folder.replace(old, new)
    np.testing.assert_array_equal(folder.imdb().gt_roidb()[0]["boxes"], [RED_BOX, GREEN_BOX])


def test_prefixed_tags_are_read_through(folder):
    text = folder.xml.read_text().replace("</", "</p:").replace("<", "<p:").replace("<p:/p:", "</p:")
    folder.xml.write_text(text.replace("<p:annotation>", '<p:annotation xmlns:p="urn:p">'))
    np.testing.assert_array_equal(folder.imdb().gt_roidb()[0]["boxes"], [RED_BOX, GREEN_BOX])


@pytest.mark.parametrize("around", ["annotations", "root", "Annotation"])
def test_another_root_is_named(folder, around):
    """CVAT's own format, one more element around all, another case."""
    folder.xml.write_text("<%s>%s</%s>" % (around, folder.xml.read_text(), around))
    folder.only_problem("its root element is <%s>, expected <annotation>" % around)


@pytest.mark.parametrize("around", ["annotation", "objects"])
def test_objects_in_another_element_are_named(folder, around):
    """Such a file looked like one without objects."""
    text = folder.xml.read_text()
    folder.xml.write_text(text.replace("<object>", "<%s><object>" % around, 1).replace(
        "</annotation>", "</%s></annotation>" % around))
    folder.only_problem("its <object> elements lie in <%s>, expected in <annotation>" % around)


# ---- flags -----------------------------------------------------------------------------------------------------------

def flagged(folder, text, tag="difficult"):
    """The first object's flag of this name becomes `text`, or is not there."""
    new = "" if text is None else "<%s>%s</%s>" % (tag, text, tag)
    folder.xml.write_text(folder.xml.read_text().replace("<difficult>0</difficult>", new, 1))
    return folder.imdb()


def score(imdb, path, classes=1):
    """Mean AP where of the first `classes` classes the first object is found."""
    boxes = [[[]], [[]], [[]]]
    for k, box in enumerate((RED_BOX, GREEN_BOX)[:classes]):
        boxes[k + 1] = [np.array([[*box, 0.9]], np.float32)]
    return imdb.evaluate_detections(boxes, str(path))


@pytest.mark.parametrize("text", ["Unspecified", "False", "no", "NO", "0.0", "N/A", "", " 0\n", None, "-0", "unknown"])
def test_an_object_whose_flag_is_not_set_is_trained_on_and_scored(folder, tmp_path, text):
    """All but 0 and empty dropped the object from training and scoring."""
    imdb = flagged(folder, text)
    np.testing.assert_array_equal(imdb.gt_roidb()[0]["boxes"], [RED_BOX, GREEN_BOX])
    assert score(imdb, tmp_path, classes=2) == 1


@pytest.mark.parametrize("text", ["1", "1.0", "True", "yes", " YES ", "1e0"])
def test_an_object_whose_flag_is_set_is_difficult(folder, tmp_path, text):
    imdb = flagged(folder, text)
    np.testing.assert_array_equal(imdb.gt_roidb()[0]["boxes"], [GREEN_BOX])
    assert score(imdb, tmp_path, classes=2) == 1
    assert np.isnan(np.load(tmp_path / "red_pr.npz")["ap"])


def test_one_of_two_objects_found_scores_one_half(own_root, tmp_path):
    """The one that was not found did not count: 1.0."""
    folder = Folder(own_root / "toy", [RED, ("red", (70, 25, 100, 56))])
    folder.xml.write_text(folder.xml.read_text().replace("<difficult>0<", "<difficult>Unspecified<"))
    assert score(folder.imdb(), tmp_path) == 0.5


def test_unknown_words_are_counted_and_named_once(own_root, capsys):
    folder = Folder(own_root / "toy", [RED, GREEN, RED], classes=None)
    text = folder.xml.read_text()
    for word in ("Unspecified", "N/A", "Unspecified"):
        text = text.replace("<difficult>0</difficult>", "<difficult>%s</difficult><occluded>No</occluded>" % word, 1)
    folder.xml.write_text(text)
    assert len(folder.imdb().gt_roidb()[0]["boxes"]) == 3
    line, = [line for line in capsys.readouterr().out.splitlines() if "unknown words" in line]
    assert line.startswith("toy_trainval: 3 flags") and "difficult 'Unspecified' (2), difficult 'N/A' (1);" in line


@pytest.mark.parametrize("text", ["2", "-1", "0.5", "nan", "inf", "1e400"])
@pytest.mark.parametrize("tag", ["difficult", "truncated", "occluded"])
def test_another_number_as_a_flag_is_a_problem_of_training_and_of_scoring(folder, tmp_path, tag, text):
    folder.replace("<difficult>0</difficult>", "<difficult>0</difficult><%s>%s</%s>" % (tag, text, tag))
    if tag == "difficult":
        folder.replace("<difficult>0</difficult>", "")
    problems = check_imdb(folder.imdb())
    assert len(problems) == 2 and "a.xml, object 1 (red): %s is '%s'; expected 0 or 1" % (tag, text) in problems[0]
    with pytest.raises(UserError, match="2 problems"):
        folder.imdb().gt_roidb()
    with pytest.raises(UserError, match="2 problems"):
        score(folder.imdb(), tmp_path)
    with pytest.raises(UserError, match="a.xml, object 1"):     # by itself, which has no check before
        voc_eval("", str(folder.path / "Annotations" / "{:s}.xml"), str(folder.path / "ImageSets/Main/trainval.txt"), "red",
                 str(tmp_path / "cache"))


@pytest.mark.parametrize("box, words", [((10, 10, 400, 20), "outside"), ((50, 10, 20, 20), "inverted")])
def test_a_bad_box_of_a_difficult_object_is_named(folder, box, words):
    """Training left it out unseen, scoring counted it."""
    folder.replace("<xmin>21</xmin><ymin>21</ymin><xmax>61</xmax><ymax>71</ymax>",
                   "<xmin>%d</xmin><ymin>%d</ymin><xmax>%d</xmax><ymax>%d</ymax>" % box)
    folder.xml.write_text(folder.xml.read_text().replace("<difficult>0", "<difficult>1", 1))
    folder.only_problem("object 1 (red)", words)


# ---- coordinates of another kind -------------------------------------------------------------------------------------

@pytest.mark.parametrize("box", [(0.17, 0.2, 0.5, 0.7), (0, 0, 1, 0.5), (-0.001, 0.5, 0.25, 1.002), (0, 0, 1, 1),
                                 (0.5, 0.5, 1, 1)])
def test_fractions_of_the_image_are_a_problem(own_root, box):
    """They became a box of one pixel at the corner."""
    folder = Folder(own_root / "toy", [GREEN, ("red", box)])
    folder.only_problem("object 2 (red)", " ".join("%g" % x for x in box) + " looks like fractions of the image",
                        "expected pixels", "multiply xmin and xmax by 120, ymin and ymax by 100")


@pytest.mark.parametrize("box, right", [
    ((1, 1, 1, 1), [0, 0, 0, 0]), ((0, 0, 0, 0), [0, 0, 0, 0]), ((1, 1, 2, 2), [0, 0, 1, 1]), ((0, 0, 1.5, 1.5), [0, 0, .5, .5]),
    ((0.5, 0.5, 20.5, 30), [0, 0, 19.5, 29])])
def test_small_boxes_at_the_corner_are_read(own_root, box, right):
    folder = Folder(own_root / "toy", [("red", box)])
    assert check_imdb(folder.imdb()) == []
    np.testing.assert_array_equal(folder.imdb().gt_roidb()[0]["boxes"], [right])
