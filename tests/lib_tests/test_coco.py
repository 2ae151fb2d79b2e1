"""MS COCO and COCO JSON files of one's own: loading, crowds, proposals, metrics, bad files."""
import json

import numpy as np
import pytest
from datasets.check import check_imdb, require_trainable, tell_images_without_objects
from datasets.factory import get_imdb, list_imdbs
from roi_data_layer.minibatch import get_allrois_minibatch, get_minibatch
from roi_data_layer.roidb import add_bbox_regression_targets, prepare_roidb
from scipy.io import savemat
from support.coco_files import edit_json, make_coco
from support.settings import settings
from support.voc_folder import write_proposals_mat
from utils.errors import UserError

CATEGORIES = {"zebra": 3, "traffic light": 1, "cup": 90}
CUP = {"name": "cup", "bbox": [10, 12, 30, 20]}
LIGHT = {"name": "traffic light", "bbox": [50.5, 5.25, 20, 40]}
CROWD = {"name": "zebra", "bbox": [40, 40, 40, 20], "iscrowd": 1, "area": 500}
IMAGES = {"first photo.jpg": (100, 80, [CUP, LIGHT, CROWD]), "sub/empty.png": (60, 50, []),
          "third.jpg": (64, 64, [{"name": "cup", "bbox": [0, 0, 64, 64]}])}
INSIDE_CROWD, HALF_INSIDE, FREE = [50, 45, 69, 56], [40, 25, 59, 54], [80, 2, 95, 20]


@pytest.fixture
def own(own_root):
    """imdb name of a JSON of one's own with three images and proposals for each."""
    name = make_coco(own_root / "mine", IMAGES, CATEGORIES)
    boxes = np.array([INSIDE_CROWD, HALF_INSIDE, FREE, [10, 12, 39, 35]])[:, (1, 0, 3, 2)] + 1
    write_proposals_mat(own_root / "mine" / "selective_search_data" / "mine_trainval.mat",
                        {"first photo": boxes, "sub/empty": np.array([[1, 1, 9, 9]]), "third": np.array([[1, 1, 60, 64]])})
    return name


def official(root, split="train2014", kind="instances"):
    """data/coco with images called as there; returns the annotation file."""
    whose = {"minival2014": "val2014", "valminusminival2014": "val2014", "test-dev2015": "test2015"}
    folder = "images/" + whose.get(split, split)
    images = {"COCO_%s_%012d.jpg" % (folder[7:], k): image for k, image in enumerate(IMAGES.values())}
    make_coco(root / "data" / "coco", images, CATEGORIES, "annotations/%s_%s.json" % (kind, split), folder)
    return root / "data" / "coco" / "annotations" / ("%s_%s.json" % (kind, split))


# ---- loading ---------------------------------------------------------------------------------------------------------

def test_ground_truth_of_a_json(own):
    imdb = get_imdb(own)
    assert imdb.name == "mine_trainval" and imdb.image_index == [10, 20, 30]
    assert imdb.classes == ("__background__", "traffic light", "zebra", "cup")     # by category id
    gt = imdb.gt_roidb()
    np.testing.assert_array_equal(gt[0]["boxes"], [[10, 12, 39, 31], [50.5, 5.25, 69.5, 44.25], [40, 40, 79, 59]])
    assert gt[0]["boxes"].dtype == np.float32       # the original cut coordinates to uint16
    assert gt[0]["gt_classes"].tolist() == [3, 1, 2] and gt[0]["seg_areas"].tolist() == [600, 800, 500]
    np.testing.assert_array_equal(gt[0]["gt_overlaps"].toarray(), [[0, 0, 0, 1], [0, 1, 0, 0], [-1, -1, -1, -1]])
    assert gt[1]["boxes"].shape == (0, 4) and gt[1]["gt_overlaps"].shape == (0, 4)
    assert [(e["width"], e["height"]) for e in gt] == [(100, 80), (60, 50), (64, 64)]
    assert imdb.image_path_at(1).endswith("mine/images/sub/empty.png")


def test_area_and_crowd_flag_may_be_missing(own_root, own):
    def strip(tree):
        for annotation in tree["annotations"]:
            del annotation["area"], annotation["iscrowd"], annotation["id"]
    edit_json(own_root / "mine" / "trainval.json", strip)
    assert get_imdb(own).gt_roidb()[0]["seg_areas"].tolist() == [600, 800, 800]


def test_a_folder_called_annotations_gives_its_parents_name(own_root):
    name = make_coco(own_root / "mine", IMAGES, CATEGORIES, "annotations/train.json")
    assert get_imdb(name).name == "mine_train"


def test_relative_paths_from_the_projects_root(own_root, own, monkeypatch):
    monkeypatch.chdir("/")
    assert get_imdb("coco:mine/trainval.json@mine/images").gt_roidb()[0]["width"] == 100


# ---- crowds: mended ----------------------------------------------------------------------------------------------------

def prepared(imdb):
    prepare_roidb(imdb)
    add_bbox_regression_targets(imdb.roidb)
    return imdb.roidb[0]


def test_what_a_crowd_covers_is_marked(own):
    entry = get_imdb(own).roidb[0]
    overlaps = entry["gt_overlaps"].toarray()
    assert (overlaps[3] == -1).all()                            # inside the crowd
    assert overlaps[4].min() == 0 and overlaps[5].any() == 0    # half inside, far away
    assert overlaps[6, 3] > 0.7 and (overlaps[6, :3] == 0).all()


def test_crowds_are_never_trained_on(own):
    """Neither sampled nor mined.  The original's mining took the crowd and what it covers for background."""
    entry = prepared(get_imdb(own))
    kept = {tuple(box) for box in entry["boxes"][[0, 1, 4, 5, 6]].tolist()}
    small = {"TRAIN.SCALES": (80,), "TRAIN.MAX_SIZE": 100, "TRAIN.BG_THRESH_LO": 0.0, "TRAIN.BATCH_SIZE": 64,
             "TRAIN.FG_FRACTION": 0.5}
    with settings(small):
        for make in (get_minibatch, get_allrois_minibatch):
            blobs = make([entry], 4)
            assert {tuple(box) for box in blobs["rois"][:, 1:].tolist()} == kept
            assert sorted(blobs["labels"].tolist()) == [0, 0, 1, 3, 3]


def test_a_crowd_is_no_object_to_overlap(own):
    """A proposal on a crowd's edge is not foreground of the crowd's class, as the original had it."""
    imdb = get_imdb(own)
    edge = np.array([[40, 30, 79, 59]])             # IoU 2/3 with the crowd, 2/3 of it inside
    entry = imdb.create_roidb_from_box_list([edge, [], []], imdb.gt_roidb())[0]
    assert entry["gt_overlaps"].toarray()[0, 2] == 0 and entry["gt_overlaps"].max() < 0.5


def test_recall_does_not_count_crowds(own):
    result = get_imdb(own).evaluate_recall([np.array([[10, 12, 39, 31]]), np.zeros((0, 4)), np.zeros((0, 4))])
    assert len(result["gt_overlaps"]) == 3 and result["recalls"][0] == pytest.approx(1 / 3)


def test_crowds_survive_cache_and_mirror(own):
    first = get_imdb(own).roidb
    imdb = get_imdb(own)
    imdb.append_flipped_images()
    for entry in (imdb.roidb[0], imdb.roidb[3]):
        np.testing.assert_array_equal(entry["gt_overlaps"].toarray(), first[0]["gt_overlaps"].toarray())


# ---- the official sets ---------------------------------------------------------------------------------------------------

def test_names():
    assert {"coco_2014_train", "coco_2017_val", "coco_2014_valminusminival", "coco_2015_test-dev"} < set(list_imdbs())


@pytest.mark.parametrize("split", ["minival", "valminusminival"])
def test_splits_of_val_have_ground_truth(own_root, split):
    """valminusminival had none in the original; both take their images from val."""
    official(own_root, split + "2014")
    imdb = get_imdb("coco_2014_" + split)
    assert len(imdb.gt_roidb()[0]["boxes"]) == 3 and "images/val2014/COCO_val2014_" in imdb.image_path_at(0)


def test_trainval_joins_two_files(own_root):
    official(own_root, "train2014")
    val = official(own_root, "val2014")
    with pytest.raises(UserError, match="two of its images have the id 10"):
        get_imdb("coco_2014_trainval")

    def renumber(tree):
        for image in tree["images"]:
            image["id"] += 100
        for annotation in tree["annotations"]:
            annotation["image_id"] += 100
    edit_json(val, renumber)
    imdb = get_imdb("coco_2014_trainval")
    assert [len(entry["boxes"]) for entry in imdb.gt_roidb()] == [3, 0, 1] * 2
    assert "train2014" in imdb.image_path_at(0) and "val2014" in imdb.image_path_at(3)


def test_empty_boxes_of_the_official_sets_are_left_out(own_root):
    path = official(own_root)
    edit_json(path, lambda tree: tree["annotations"].extend(
        {"image_id": 20, "category_id": 1, "bbox": bbox, "area": area, "iscrowd": 0, "id": 99}
        for bbox, area in (([5, 5, 0, 9], 0), ([70, 5, 9, 9], 81), ([50, 40, 30, 30], 900))))
    entry = get_imdb("coco_2014_train").gt_roidb()[1]
    np.testing.assert_array_equal(entry["boxes"], [[50, 40, 59, 49]])


def test_flags_and_categories_of_the_official_sets_are_checked(own_root):
    path = official(own_root)
    edit_json(path, lambda tree: tree["annotations"].extend(
        {"image_id": 20, "category_id": category, "bbox": [5, 5, 9, 9], "area": 81, "iscrowd": crowd, "id": 99}
        for category, crowd in ((1, 2), (55, 0))))
    flag, category = check_imdb(get_imdb("coco_2014_train"))
    assert "annotation 99: iscrowd is 2" in flag and "unknown category_id 55" in category


def test_missing_files_of_the_official_sets(own_root):
    with pytest.raises(UserError, match="instances_minival2014.json does not exist.*data/README.md"):
        get_imdb("coco_2014_minival")


@pytest.mark.parametrize("method, order", [("MCG", (1, 0, 3, 2)), ("selective_search", (0, 1, 2, 3)),
                                           ("edge_boxes_70", (0, 1, 2, 3)), ("edge_boxes_AR", (0, 1, 2, 3))])
def test_one_mat_an_image(own_root, method, order):
    """The layout of COCO_proposals: 1-based, a 0 taken for a 1; MCG has y first; the first top_k are used."""
    official(own_root)
    boxes = np.array([[10, 12, 39, 35], [0, 3, 50, 49], [0, 0, 20, 20], [7, 7, 9, 40]])
    for k in range(3):
        name = "COCO_train2014_%012d" % k
        path = own_root / "data" / "coco_proposals" / method / "mat" / name[:14] / name[:22] / (name + ".mat")
        path.parent.mkdir(parents=True, exist_ok=True)
        savemat(path, {"boxes": boxes[:, order] + 1.0 if k else boxes[:, order]})
    imdb = get_imdb("coco_2014_train")
    imdb.set_proposal_method(method)
    imdb.config["top_k"] = 3
    np.testing.assert_array_equal(imdb.roidb[1]["boxes"], boxes[:3])
    np.testing.assert_array_equal(imdb.roidb[0]["boxes"][3:], [[9, 11, 38, 34], [0, 2, 49, 48], [0, 0, 19, 19]])
    path.unlink()
    with pytest.raises(UserError, match="1 of 3 files of %s proposals do not exist.*%s" % (method, path.name)):
        imdb.roidb_handler()


def test_one_file_of_proposals_comes_first(own_root):
    official(own_root)
    (own_root / "data" / "coco_proposals" / "selective_search").mkdir(parents=True)
    path = own_root / "data" / "selective_search_data" / "coco_2014_train.json"
    path.parent.mkdir()
    names = ["COCO_train2014_%012d" % k for k in range(3)]
    path.write_text(json.dumps({"order": "x y w h", "boxes": {name: [[1, 2, 10, 10]] for name in names}}))
    np.testing.assert_array_equal(get_imdb("coco_2014_train").roidb[1]["boxes"], [[1, 2, 10, 11]])


# ---- metrics -----------------------------------------------------------------------------------------------------------

def perfect(imdb):
    """Every object detected, crowds aside, in the form of all_boxes."""
    rows = [[np.zeros((0, 5), np.float32) for _ in range(imdb.num_images)] for _ in range(imdb.num_classes)]
    for i, entry in enumerate(imdb.gt_roidb()):
        for box, cls, crowd in zip(entry["boxes"], entry["gt_classes"], entry["gt_overlaps"].toarray().min(axis=1) < 0):
            if not crowd:
                rows[cls][i] = np.vstack([rows[cls][i], [*box, 0.9]])
    return rows


def test_metrics_of_perfect_and_of_no_detections(own, tmp_path, capsys):
    imdb = get_imdb(own)
    assert imdb.evaluate_detections(perfect(imdb), str(tmp_path / "out")) == pytest.approx(1)
    printed = capsys.readouterr().out
    assert "AP@[0.50:0.95] for traffic light = 1.0000" in printed and "AP50 = 1.0000" in printed
    assert "AP@[0.50:0.95] for zebra = nan" in printed          # its only box is a crowd
    results = json.loads((tmp_path / "out" / "results" / "detections_trainval_results.json").read_text())
    assert results[0] == {"image_id": 10, "category_id": 1, "bbox": [50.5, 5.25, 20, 40], "score": pytest.approx(0.9)}
    scores = json.loads((tmp_path / "out" / "ap.json").read_text())
    assert scores["ap"] == {"traffic light": pytest.approx(1), "zebra": None, "cup": pytest.approx(1)}
    assert scores["coco"]["AP_medium"] == pytest.approx(1)
    assert imdb.evaluate_detections([[[]] * 3] * 4, str(tmp_path / "none")) == 0


def test_metrics_know_iou_and_crowds(own, tmp_path):
    """A box of IoU 0.72 counts at the 5 thresholds up to 0.70; a detection in a crowd is no mistake."""
    imdb = get_imdb(own)
    found = perfect(imdb)
    found[3][0] = np.array([[10, 12, 10 + 29, 12 + 14.4 - 1, 0.9]])       # 14.4 of 20 rows of the cup
    found[3][2] = np.zeros((0, 5))
    found[2][0] = np.array([[42, 42, 60, 55, 0.99]])
    imdb.evaluate_detections(found, str(tmp_path))
    scores = json.loads((tmp_path / "ap.json").read_text())["ap"]
    assert scores["cup"] == pytest.approx(0.5 * 51 / 101) and scores["zebra"] is None     # recall 1/2: 51 of 101 points


def test_first_annotation_counts(own_root, tmp_path):
    """pycocotools takes a matched annotation of id 0 for unmatched; ours are numbered anew."""
    name = make_coco(own_root / "one", {"a.jpg": (100, 80, [dict(CUP, id=0)])}, CATEGORIES)
    imdb = get_imdb(name)
    assert imdb.evaluate_detections(perfect(imdb), str(tmp_path)) == pytest.approx(1)


@pytest.mark.parametrize("split, year", [("test", "2014"), ("test-dev", "2015")])
def test_test_sets_are_not_scored(own_root, tmp_path, capsys, split, year):
    official(own_root, split + year, "image_info")
    imdb = get_imdb("coco_%s_%s" % (year, split))
    assert [len(entry["boxes"]) for entry in imdb.gt_roidb()] == [0, 0, 0]
    tell_images_without_objects(imdb, imdb.gt_roidb(), share=1)
    assert "have no object" not in capsys.readouterr().out
    assert imdb.evaluate_detections([[np.array([[1, 2, 3, 4, 0.5]])] * 3] * 4, str(tmp_path)) is None
    assert "no public annotations" in capsys.readouterr().out and not (tmp_path / "ap.json").exists()
    results = json.loads((tmp_path / "results" / ("detections_%s%s_results.json" % (split, year))).read_text())
    assert len(results) == 9 and results[0]["bbox"] == [1, 2, 3, 3]


def test_detections_of_another_data_set(own, tmp_path):
    with pytest.raises(UserError, match="2 classes.*4 classes"):
        get_imdb(own).evaluate_detections([[[]] * 3] * 2, str(tmp_path))


# ---- bad input -----------------------------------------------------------------------------------------------------------

BAD_BOXES = [[10, 10, 0, 5], [10, 10, -4, 5], [90, 10, 30, 5], [float("nan"), 1, 5, 5], [1, 2, 3], None, "box", [1, 2, 3, {}]]


@pytest.mark.parametrize("bbox", BAD_BOXES)
def test_bad_box_is_named(own_root, own, bbox):
    edit_json(own_root / "mine" / "trainval.json", lambda tree: tree["annotations"][1].update(bbox=bbox))
    with pytest.raises(UserError, match="trainval.json, annotation 1 of image first photo.jpg.*100 x 80"):
        get_imdb(own).gt_roidb()


def test_all_problems_at_once(own_root, own, capsys):
    """Boxes, categories, image ids, sizes, missing and broken images, and the missing file of proposals."""
    mine = own_root / "mine"

    def spoil(tree):
        tree["annotations"][0]["bbox"] = [10, 12, 300, 20]
        tree["annotations"][1]["category_id"] = 7
        tree["annotations"].append(dict(tree["annotations"][0], image_id=55))
        tree["images"][0]["width"] = 101
    edit_json(mine / "trainval.json", spoil)
    (mine / "images" / "sub" / "empty.png").unlink()
    whole = (mine / "images" / "third.jpg").read_bytes()
    (mine / "images" / "third.jpg").write_bytes(whole[:-20])
    (mine / "selective_search_data" / "mine_trainval.mat").unlink()
    words = ["mine_trainval.mat does not exist", "image_id 55", "101 x 80", "10 12 300 20", "unknown category_id 7; known: 1 t",
             "empty.png does not exist", "third.jpg is cut off"]
    with pytest.raises(UserError, match="mine_trainval has 7 problems"):
        require_trainable(get_imdb(own))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mine_trainval: ")]
    assert [word in line for word, line in zip(words, lines, strict=True)] == [True] * 7, lines


def test_sound_sets_are_checked_once(own, monkeypatch):
    imdb = get_imdb(own)
    assert check_imdb(imdb) == [] and not imdb.has_stored_gt()
    require_trainable(imdb)
    monkeypatch.setattr(type(imdb), "problems_at", None)
    imdb.gt_roidb()
    require_trainable(get_imdb(own))


@pytest.mark.parametrize("change, words", [
    (lambda tree: tree.pop("images"), "no list 'images'"), (lambda tree: tree.pop("categories"), "no list 'categories'"),
    (lambda tree: tree["images"][1].pop("file_name"), "item 1 of 'images' has no 'file_name'"),
    (lambda tree: tree["images"].append(tree["images"][0]), "two of its images have the id 10"),
    (lambda tree: tree.update(images=[]), "names no image"), (lambda tree: tree.update(categories=[]), "names no class"),
    (lambda tree: tree["annotations"][0].update(area="wide"), "annotation 0: area is 'wide'; expected a number"),
    (lambda tree: tree["categories"].append({"id": 5, "name": "Cup"}), "class names must differ")])
def test_bad_json_is_one_line(own_root, own, change, words):
    edit_json(own_root / "mine" / "trainval.json", change)
    with pytest.raises(UserError, match=words) as caught:
        get_imdb(own)
    assert "trainval.json" in str(caught.value) and "\n" not in str(caught.value)


def test_numbers_as_names_and_no_area(own_root, own):
    """As some tools write them."""
    def change(tree):
        tree["annotations"][0]["area"] = None
        tree["categories"][0]["name"] = 7

    edit_json(own_root / "mine" / "trainval.json", change)
    imdb = get_imdb(own)
    assert "7" in imdb.classes and imdb.gt_roidb()


def test_no_json(own_root, own):
    (own_root / "mine" / "trainval.json").write_text("{")
    with pytest.raises(UserError, match="trainval.json cannot be read as JSON"):
        get_imdb(own)
    with pytest.raises(UserError, match="expected coco:ANNOTATIONS.json@IMAGES"):
        get_imdb("coco:mine.json")
