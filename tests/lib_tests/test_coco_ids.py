"""Ids, names, flags and numbers of COCO JSON files: read where their meaning is sure, named where it is not."""
import json

import numpy as np
import pytest
from datasets.check import check_imdb, require_trainable
from datasets.factory import get_imdb
from support.coco_files import edit_json, make_coco
from utils.errors import UserError

RED = {"name": "red", "bbox": [20, 20, 41, 51]}
GREEN = {"name": "green", "bbox": [69, 24, 31, 32]}
BOXES = [[20, 20, 60, 70], [69, 24, 99, 55]]
IMAGES = {"a.jpg": (120, 100, [RED, GREEN]), "b.jpg": (120, 100, [RED])}


@pytest.fixture
def json_file(own_root):
    make_coco(own_root / "mine", IMAGES, {"red": 1, "green": 2})
    return own_root / "mine" / "trainval.json"


def load(json_file, change=None):
    if change:
        edit_json(json_file, change)
    return get_imdb("coco:%s@%s" % (json_file, json_file.parent / "images"))


def set_of(what, k, **values):
    """A change of item k of a list of the tree."""
    return lambda tree: tree[what][k].update(values)


def found(imdb, *misses):
    """all_boxes with every object but those of `misses`, (image, row) pairs."""
    rows = [[np.zeros((0, 5), np.float32) for _ in range(imdb.num_images)] for _ in range(imdb.num_classes)]
    for i, boxes in enumerate([BOXES, BOXES[:1]]):
        for k, box in enumerate(boxes):
            if (i, k) not in misses:
                rows[k + 1][i] = np.array([[*box, 0.9]], np.float32)
    return rows


def require_one_line(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in ("trainval.json", *words):
        assert word in message, message


# ---- flags -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("value, crowd", [
    ("0", 0), ("false", 0), (False, 0), ("No", 0), ("", 0), (None, 0), (0.0, 0), (" 0.0 ", 0), ("1", 1), ("TRUE", 1),
    (True, 1), (1.0, 1), ("yes", 1), (1, 1)])
def test_iscrowd_is_read_as_a_flag(json_file, tmp_path, capsys, value, crowd):
    """Any text, "0" too, made a crowd of a perfectly detected object: AP nan."""
    imdb = load(json_file, lambda tree: [a.update(iscrowd=value) for a in tree["annotations"]])
    assert (imdb.gt_roidb()[0]["gt_overlaps"].toarray() < 0).all() == bool(crowd)
    score = imdb.evaluate_detections(found(imdb), str(tmp_path))
    assert np.isnan(score) if crowd else score == pytest.approx(1)
    assert "unknown words" not in capsys.readouterr().out


def test_unknown_words_are_no_crowds_and_are_named_once(json_file, tmp_path, capsys):
    imdb = load(json_file, lambda tree: [a.update(iscrowd=word) for a, word in zip(tree["annotations"], ["N/A", "N/A", "?"])])
    assert imdb.evaluate_detections(found(imdb), str(tmp_path)) == pytest.approx(1)
    line, = [line for line in capsys.readouterr().out.splitlines() if "unknown words" in line]
    assert line.startswith("mine_trainval: 3 flags") and "iscrowd 'N/A' (2), iscrowd '?' (1)" in line


@pytest.mark.parametrize("value", [2, -1, 0.5, float("nan"), float("inf"), "2", "-1", "nan", [1], {}])
def test_another_number_as_a_flag_is_a_problem_of_training_and_of_scoring(json_file, tmp_path, value):
    imdb = load(json_file, set_of("annotations", 1, iscrowd=value))
    problem, = check_imdb(imdb)
    for word in ("trainval.json", "annotation 1", "iscrowd is %r" % value, "expected 0 or 1", "correct it"):
        assert word in problem
    require_one_line(imdb.gt_roidb, problem)
    require_one_line(lambda: imdb.evaluate_detections(found(imdb), str(tmp_path)), problem)


# ---- numbers ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("area", [1e12, -3, 0, float("nan"), float("inf"), 12001, "1e12", 10 ** 400])
def test_an_area_that_cannot_be_is_that_of_the_box(json_file, tmp_path, capsys, area):
    """It left the object out of all of COCO's ranges of areas: AP nan."""
    imdb = load(json_file, lambda tree: [a.update(area=area) for a in tree["annotations"][:2]])
    assert imdb.gt_roidb()[0]["seg_areas"].tolist() == [41 * 51, 31 * 32]
    assert imdb.evaluate_detections(found(imdb), str(tmp_path)) == pytest.approx(1)
    lines = [line for line in capsys.readouterr().out.splitlines() if "areas of their boxes" in line]
    assert len(lines) == 1 and lines[0].startswith("mine_trainval: 2 areas")


def test_areas_are_held_against_the_file_where_the_json_has_no_size(json_file, capsys):
    def change(tree):
        for image in tree["images"]:
            del image["width"], image["height"]
        tree["annotations"][0]["area"] = 12001
        tree["annotations"][1]["area"] = 12000
    assert load(json_file, change).gt_roidb()[0]["seg_areas"].tolist() == [41 * 51, 12000]
    assert "mine_trainval: 1 areas" in capsys.readouterr().out


def test_possible_areas_stay_without_a_word(json_file, capsys):
    def change(tree):
        for annotation, area in zip(tree["annotations"], (700.5, "800", None)):
            annotation["area"] = area
        tree["annotations"].append({**tree["annotations"][-1], "id": 99, "area": " "})
    areas = [entry["seg_areas"].tolist() for entry in load(json_file, change).gt_roidb()]
    assert areas == [[700.5, 800], [41 * 51, 41 * 51]] and "areas" not in capsys.readouterr().out


def test_numbers_that_are_text_are_read(json_file, tmp_path):
    """The check said: 120 x 100 pixels, the file has 120 x 100."""
    def change(tree):
        for image in tree["images"]:
            image.update(width="120", height="100.0")
        for annotation in tree["annotations"]:
            annotation.update(bbox=[str(x) for x in annotation["bbox"]], area=str(annotation["area"]))
    imdb = load(json_file, change)
    require_trainable_but_for_proposals(imdb)
    np.testing.assert_array_equal(imdb.gt_roidb()[0]["boxes"], BOXES)
    assert imdb.evaluate_detections(found(imdb), str(tmp_path)) == pytest.approx(1)


def test_a_blank_size_is_a_missing_one(json_file):
    """As in XML."""
    np.testing.assert_array_equal(load(json_file, set_of("images", 0, width="", height=" ")).gt_roidb()[0]["boxes"], BOXES)


def require_trainable_but_for_proposals(imdb):
    imdb.set_proposal_method("gt")
    require_trainable(imdb)


@pytest.mark.parametrize("width", ["wide", [120], float("nan"), "130"])
def test_another_width_is_named(json_file, width):
    require_one_line(load(json_file, set_of("images", 0, width=width)).gt_roidb, "it says", "the file has 120 x 100")


@pytest.mark.parametrize("bbox", ["1234", [True, 1, 5, 5], [10 ** 400, 1, 5, 5], {"1": 0, "2": 0, "3": 0, "4": 0},
                                  [1e999, 1, 5, 5], ["one", 1, 5, 5]])
def test_a_box_that_is_not_four_numbers_is_named(json_file, bbox):
    """The text "1234" was a box of 3 x 4 pixels."""
    require_one_line(load(json_file, set_of("annotations", 1, bbox=bbox)).gt_roidb, "annotation 1 of image a.jpg", "bbox",
                     "120 x 100")


# ---- ids and names ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("what", ["images", "categories"])
@pytest.mark.parametrize("id_", [None, [1], {}, True, 1.5, float("nan"), float("inf"), "", "a\0"])
def test_an_id_that_is_none_is_named_before_any_work(json_file, what, id_):
    require_one_line(lambda: load(json_file, set_of(what, 1, id=id_)), "item 1 of '%s': id is %r" % (what, id_), "expected")


@pytest.mark.parametrize("what", ["images", "categories"])
def test_ids_of_two_kinds_are_named_before_any_work(json_file, what):
    """It was a TypeError, for images after all testing was done."""
    require_one_line(lambda: load(json_file, set_of(what, 1, id="2")), "numbers, such as 1", "text, such as '2'", what)


@pytest.mark.parametrize("convert", [str, float, lambda id_: -id_])
def test_ids_of_one_kind_are_used_as_they_are(json_file, tmp_path, convert):
    def change(tree):
        for item in tree["images"] + tree["categories"]:
            item["id"] = convert(item["id"])
        for annotation in tree["annotations"]:
            annotation.update({key: convert(annotation[key]) for key in ("image_id", "category_id")})
    imdb = load(json_file, change)
    order = sorted(range(2), key=lambda k: convert(k + 1))
    assert imdb.classes[1:] == tuple(np.array(["red", "green"])[order])
    all_boxes = found(imdb)
    all_boxes[1:] = [all_boxes[1:][k] for k in order]
    assert imdb.evaluate_detections(all_boxes, str(tmp_path)) == pytest.approx(1)
    results = json.loads((tmp_path / "results" / "detections_trainval_results.json").read_text())
    assert {r["image_id"] for r in results} == {convert(10), convert(20)}


@pytest.mark.parametrize("id_", ["10", None, [10], {}, True, 55])
def test_an_image_id_of_no_image_is_a_problem(json_file, id_):
    """Numbers and text that look alike are told apart."""
    problem, = check_imdb(load(json_file, set_of("annotations", 2, image_id=id_)))
    assert "annotation 2: its image_id %r is not among the images" % id_ in problem


@pytest.mark.parametrize("id_", ["2", None, [2], {}, True, 55])
def test_a_category_id_of_no_category_is_a_problem(json_file, id_):
    problem, = check_imdb(load(json_file, set_of("annotations", 1, category_id=id_)))
    assert "annotation 1 of image a.jpg: unknown category_id %r; known: 1 red, 2 green" % id_ in problem


@pytest.mark.parametrize("name", [5, None, "", " ", "a\0.jpg", ["a.jpg"], "\ud800.jpg"])
def test_a_file_name_that_is_none_is_named_before_any_work(json_file, name):
    require_one_line(lambda: load(json_file, set_of("images", 0, file_name=name)), "item 0 of 'images': file_name is")


@pytest.mark.parametrize("name", [None, "", True, ["red"], "re\0d", "re\nd"])
def test_a_category_name_that_is_none_is_named_before_any_work(json_file, name):
    """null was a class called None."""
    require_one_line(lambda: load(json_file, set_of("categories", 0, name=name)), "item 0 of 'categories': name is")


def test_category_names_are_read_without_blanks_around(json_file):
    assert load(json_file, set_of("categories", 0, name=" red ")).classes[1:] == ("red", "green")


def test_all_ids_and_names_that_are_none_are_listed(json_file, capsys):
    def change(tree):
        tree["images"][0]["file_name"] = 5
        tree["images"][1]["id"] = None
        tree["categories"][0]["name"] = None
    require_one_line(lambda: load(json_file, change), "mine_trainval has 3 problems")
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("mine_trainval: ")]) == 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_may_begin_with_a_byte_order_mark(json_file, encoding):
    text = json_file.read_text().replace("green", "grün")
    json_file.write_bytes(text.encode(encoding))
    assert load(json_file).classes == ("__background__", "red", "grün")


# ---- categories that are no classes ----------------------------------------------------------------------------------

ROOT = {"id": 0, "name": "Red", "supercategory": "none"}


@pytest.mark.parametrize("root, parents", [
    (ROOT, ["red", "red"]), (dict(ROOT, supercategory=None), [None, None]), ({"id": 0, "name": "red"}, ["red", "red"]),
    (dict(ROOT, name="__background__"), ["a", "b"]), (dict(ROOT, id=9), ["Red", "Red"])])
def test_a_root_category_that_bears_a_classs_name_is_left_out(json_file, tmp_path, capsys, root, parents):
    """Roboflow's exports begin with one, and were refused."""
    def change(tree):
        for category, parent in zip(tree["categories"], parents):
            category.update({"supercategory": parent} if parent else {})
        tree["categories"].insert(0, root)
    imdb = load(json_file, change)
    assert imdb.classes == ("__background__", "red", "green")
    lines = [line for line in capsys.readouterr().out.splitlines() if "is left out" in line]
    assert len(lines) == 1 and "mine_trainval: category %d '%s' is left out" % (root["id"], root["name"]) in lines[0]
    assert imdb.evaluate_detections(found(imdb), str(tmp_path)) == pytest.approx(1)
    results = json.loads((tmp_path / "results" / "detections_trainval_results.json").read_text())
    assert {r["category_id"] for r in results} == {1, 2}


def test_a_root_category_is_left_out_of_a_file_without_annotations(json_file):
    def change(tree):
        tree["categories"] = [{"id": 0, "name": "red", "supercategory": "none"},
                              {"id": 1, "name": "red", "supercategory": "red"}]
        tree["annotations"] = []
    imdb = load(json_file, change)
    assert imdb.classes == ("__background__", "red") and list(imdb._categories) == [1]


@pytest.mark.parametrize("more", [[{"id": 3, "name": "Red"}], [dict(ROOT, name="x"), dict(ROOT, id=7, name="x")]])
def test_equal_names_without_a_root_are_refused(json_file, more):
    require_one_line(lambda: load(json_file, lambda tree: tree["categories"].extend(more)), "class names must differ")


def test_a_root_category_that_has_annotations_is_refused(json_file):
    def change(tree):
        tree["categories"].insert(0, ROOT)
        tree["annotations"][0]["category_id"] = 0
    require_one_line(lambda: load(json_file, change), "class names must differ")


# ---- coordinates of another kind -------------------------------------------------------------------------------------

@pytest.mark.parametrize("bbox", [[.2, .2, .3, .3], [0, 0, 1, .5], ["0.2", "0.2", "0.8", "0.8"], [.5, .25, .502, .75]])
def test_fractions_of_the_image_are_a_problem(json_file, bbox):
    """They became a box of one pixel at the corner."""
    imdb = load(json_file, set_of("annotations", 1, bbox=bbox))
    problem, = check_imdb(imdb)
    for word in ("annotation 1 of image a.jpg (green)", "%g %g %g %g looks like fractions" % tuple(map(float, bbox)),
                 "expected pixels", "multiply x and width by 120, y and height by 100"):
        assert word in problem, problem
    require_one_line(imdb.gt_roidb, problem)


@pytest.mark.parametrize("bbox, right", [([0, 0, 1, 1], [0, 0, 0, 0]), ([0, 0, 2, 2], [0, 0, 1, 1]),
                                         ([0.5, 0.5, 3, 3.5], [.5, .5, 2.5, 3]), ([10.5, 10.5, .5, .5], [10.5] * 4)])
def test_small_boxes_are_read(json_file, bbox, right):
    imdb = load(json_file, set_of("annotations", 1, bbox=bbox))
    assert check_imdb(imdb) == []
    np.testing.assert_array_equal(imdb.gt_roidb()[0]["boxes"][1], right)
