"""Result files, scores and the archive for the server."""
import json
import tarfile

import numpy as np
import pytest
from datasets.factory import get_imdb
from datasets.voc_eval import voc_eval
from datasets.voc_xml import parse_rec
from support.voc_folder import make_voc_folder
from utils.errors import UserError

IMAGES = {"a": (80, 60, [("Cat", (11, 13, 41, 51)), ("dog", (31, 6, 71, 46))]), "b b": (50, 40, [("cat", (5, 5, 30, 30), 1)])}
CLASSES = ["Cat", "dog", "cow"]
NONE = np.zeros((0, 5), np.float32)


def det(box, score):
    """One detection of a 1-based box."""
    return np.array([[*(np.array(box) - 1), score]], dtype=np.float32)


@pytest.fixture
def imdb(own_root):
    return get_imdb("voc:%s@test" % make_voc_folder(own_root / "toy", IMAGES, split="test", classes=CLASSES))


def detections(cat, dog=((), ()), cow=((), ())):
    return [[[], []], list(cat), list(dog), list(cow)]


def test_scores_files_and_table(imdb, tmp_path, capsys):
    found = detections(cat=(np.vstack((det((11, 13, 41, 51), .5), det((1, 1, 9, 9), .9))), NONE),
                       dog=(det((31, 6, 71, 46), .7), []))
    assert imdb.evaluate_detections(found, str(tmp_path / "out")) == pytest.approx(.75)
    printed = capsys.readouterr().out
    for line in ("VOC07 metric? No", "AP for Cat = 0.5000", "AP for dog = 1.0000", "AP for cow = nan", "Mean AP = 0.7500"):
        assert line in printed.splitlines()
    assert json.loads((tmp_path / "out" / "ap.json").read_text()) == {
        "imdb": "toy_test", "ovthresh": .5, "use_07_metric": False, "mean_ap": .75, "ap": {"Cat": .5, "dog": 1, "cow": None}}
    curve = np.load(tmp_path / "out" / "Cat_pr.npz", allow_pickle=False)
    assert curve["rec"].tolist() == [0, 1] and curve["prec"].tolist() == [0, .5] and curve["ap"] == .5


def test_class_without_detections_has_ap_0(imdb, tmp_path):
    """The original ended with IndexError; numpy 2 on its `dets == []` with ValueError."""
    assert imdb.evaluate_detections(detections(cat=(NONE, [])), str(tmp_path)) == 0


def test_detections_of_a_difficult_object_count_neither_way(imdb, tmp_path):
    found = detections(cat=(det((11, 13, 41, 51), .5), np.vstack([det((5, 5, 30, 30), .9)] * 3)))
    imdb.evaluate_detections(found, str(tmp_path))
    curve = np.load(tmp_path / "Cat_pr.npz")
    assert curve["ap"] == 1 and curve["prec"].tolist() == [0, 0, 0, 1]


def test_second_detection_of_an_object_is_wrong(imdb, tmp_path):
    imdb.evaluate_detections(detections(cat=(np.vstack([det((11, 13, 41, 51), .5)] * 2), [])), str(tmp_path))
    assert np.load(tmp_path / "Cat_pr.npz")["prec"].tolist() == [1, .5]


def test_scores_keep_their_digits(imdb, tmp_path):
    """With 3 decimals these two tie, and the wrong one, first in the file, would come first."""
    found = detections(cat=(np.vstack((det((1, 1, 9, 9), .9001), det((11, 13, 41, 51), .9002))), []))
    imdb.competition_mode(True)
    imdb.evaluate_detections(found, str(tmp_path))
    assert np.load(tmp_path / "Cat_pr.npz")["ap"] == 1
    line = (tmp_path / "results" / "toy" / "Main" / "comp4_det_test_Cat.txt").read_text().splitlines()[0].split()
    assert np.float32(line[1]) == np.float32(.9001) and line[2:] == ["1", "1", "9", "9"]


def test_competition_mode_keeps_official_names(imdb, tmp_path):
    main = tmp_path / "results" / "toy" / "Main"
    imdb.evaluate_detections(detections(cat=([], [])), str(tmp_path))
    assert list(main.iterdir()) == []                      # scored and cleaned up
    imdb.competition_mode(True)
    imdb.evaluate_detections(detections(cat=([], [])), str(tmp_path))
    assert sorted(f.name for f in main.iterdir()) == ["comp4_det_test_%s.txt" % name for name in sorted(CLASSES)]
    imdb.competition_mode(False)
    imdb.config["cleanup"] = False
    imdb.evaluate_detections(detections(cat=([], [])), str(tmp_path))
    assert len(list(main.glob("comp4-*_det_test_*.txt"))) == 3


def test_files_score_as_the_detections_they_were_written_from(imdb, own_root, tmp_path):
    """Several objects and many detections an image, among them ties, doubles and boxes on two objects."""
    folder, names, rng = own_root / "many", ["m%d" % k for k in range(12)], np.random.default_rng(0)
    objects = {name: (80, 60, [(CLASSES[rng.integers(2)], random_box(rng), int(rng.integers(4) == 0)) for _ in range(4)])
               for name in names}
    many = get_imdb("voc:%s@test" % make_voc_folder(folder, objects, split="test", classes=CLASSES))
    found = detections(*([near_objects(rng, objects[name][2]) for name in names] for _ in CLASSES))
    many.competition_mode(True)
    many.evaluate_detections(found, str(tmp_path))
    for name in CLASSES:
        rec, prec, ap = voc_eval(str(tmp_path / "results" / "many" / "Main" / "comp4_det_test_{:s}.txt"),
                                 str(folder / "Annotations" / "{:s}.xml"), str(folder / "ImageSets" / "Main" / "test.txt"), name,
                                 str(tmp_path / "cache"))
        scored = np.load(tmp_path / (name + "_pr.npz"))
        assert np.array_equal(scored["rec"], rec, equal_nan=True) and np.array_equal(scored["prec"], prec)
        assert np.array_equal(scored["ap"], ap, equal_nan=True)


def random_box(rng):
    x, y = np.sort(rng.integers(1, 80, 2)), np.sort(rng.integers(1, 60, 2))
    return int(x[0]), int(y[0]), int(x[1]), int(y[1])


def near_objects(rng, objects):
    """Boxes a pixel or two off the objects, twice each, with scores of one decimal."""
    boxes = np.repeat([box for _, box, _ in objects], 4, axis=0) + rng.integers(-2, 3, (4 * len(objects), 4))
    return np.column_stack([boxes, rng.integers(0, 10, len(boxes)) / 10]).astype(np.float32)


def test_the_data_folder_is_not_written_to(imdb, own_root, tmp_path):
    """The original wrote results into the devkit."""
    before = sorted((own_root / "toy").rglob("*"))
    imdb.competition_mode(True)
    imdb.evaluate_detections(detections(cat=([], [])), str(tmp_path / "out"))
    assert sorted((own_root / "toy").rglob("*")) == before


def test_detections_of_another_data_set(imdb, tmp_path):
    with pytest.raises(UserError, match=r"4 classes and \[1\] images, toy_test has 4 classes and 2 images"):
        imdb.evaluate_detections([[[]]] * 4, str(tmp_path))
    with pytest.raises(UserError, match="3 classes"):
        imdb.evaluate_detections([[[], []]] * 3, str(tmp_path))


def test_voc12_test_writes_the_archive(own_root, tmp_path, capsys):
    """Its annotations are not public; the original tried to score it and failed after hours of testing."""
    folder = make_voc_folder(own_root / "data" / "VOCdevkit2012" / "VOC2012", {"x": (80, 60, [])}, split="test")
    (folder / "Annotations" / "x.xml").unlink()
    imdb = get_imdb("voc_2012_test")
    assert [len(entry["boxes"]) for entry in imdb.gt_roidb()] == [0]
    found = [[[]]] * 8 + [[det((1, 1, 9, 9), .5)]] + [[[]]] * 12
    (folder / "JPEGImages" / "x.jpg").unlink()                      # an archive of stored detections needs no image
    assert get_imdb("voc_2012_test").evaluate_detections(found, str(tmp_path / "out")) is None
    assert "no public annotations" in capsys.readouterr().out
    with tarfile.open(tmp_path / "out" / "voc_2012_test_comp4.tar.gz") as archive:
        names = archive.getnames()
        text = archive.extractfile("results/VOC2012/Main/comp4_det_test_cat.txt").read()
    assert len(names) == 20 and text == b"x 0.5 1 1 9 9\n"
    assert not (tmp_path / "out" / "ap.json").exists()


@pytest.mark.parametrize("year, metric", [("2007", "Yes"), ("2010", "No"), ("2012", "No")])
def test_metric_of_the_year(own_root, tmp_path, capsys, year, metric):
    make_voc_folder(own_root / "data" / ("VOCdevkit" + year) / ("VOC" + year), {"x": (80, 60, [])}, split="val")
    assert np.isnan(get_imdb("voc_%s_val" % year).evaluate_detections([[[]]] * 21, str(tmp_path)))
    assert "VOC07 metric? " + metric in capsys.readouterr().out


# ---- voc_eval by itself ----------------------------------------------------------------------------------------------

@pytest.fixture
def files(imdb, own_root, tmp_path):
    toy = own_root / "toy"

    def evaluate(text, classname="cat", **kwargs):
        (tmp_path / ("det_%s.txt" % classname)).write_text(text)
        return voc_eval(str(tmp_path / "det_{:s}.txt"), str(toy / "Annotations" / "{:s}.xml"),
                        str(toy / "ImageSets" / "Main" / "test.txt"), classname, str(tmp_path / "cache"), **kwargs)
    return evaluate


def test_names_are_compared_without_case(files):
    """The original trained on ' Cat' and evaluated it to 0."""
    assert files("a 0.5 11 13 41 51\n", classname="CAT")[2] == 1


def test_overlap_must_exceed_the_threshold(files):
    half = "a 0.5 11 13 41 31.5\n"                       # 19.5 of 39 rows: IoU exactly .5
    assert files(half)[2] == 0 and files(half, ovthresh=.499)[2] == 1


def test_earlier_line_first_on_ties(files):
    wrong, right = "a 0.5 1 1 9 9\n", "a 0.5 11 13 41 51\n"
    assert files(wrong + right)[2] == .5 and files(right + wrong)[2] == 1


def test_of_two_objects_the_one_overlapped_most_and_of_equals_the_first(files, own_root):
    """Boxes around a cat and its difficult copy, one row lower: which object a detection finds decides what it counts."""
    make_voc_folder(own_root / "toy", {"a": (80, 60, [("cat", (1, 1, 20, 20), 1), ("cat", (1, 3, 20, 22))]), "b b": (50, 40, [])},
                    split="test", classes=CLASSES)
    first, second, between = "a 0.5 1 1 20 20\n", "a 0.5 1 3 20 22\n", "a 0.5 1 2 20 21\n"
    assert files(first)[0].tolist() == [0] and files(second)[0].tolist() == [1] and files(between)[0].tolist() == [0]


def test_class_without_objects(files):
    rec, prec, ap = files("a 0.5 1 1 9 9\n", classname="cow")
    assert np.isnan(ap) and np.isnan(rec).all() and prec.tolist() == [0]


def test_annotation_cache_follows_the_content(files, own_root):
    """The original's annots.pkl was kept whatever changed."""
    assert files("a 0.5 11 13 41 51\n")[2] == 1
    xml = own_root / "toy" / "Annotations" / "b b.xml"
    xml.write_text(xml.read_text().replace("<difficult>1", "<difficult>0"))
    assert files("a 0.5 11 13 41 51\n")[2] == .5


@pytest.mark.parametrize("line", ["z 0.5 1 1 9 9", "a 0.5 1 1 9", "a b"])
def test_bad_result_line_is_named(files, line):
    with pytest.raises(UserError, match="det_cat.txt, line 2"):
        files("a 0.5 11 13 41 51\n%s\n" % line)


def test_parse_rec(own_root, imdb):
    first = parse_rec(str(own_root / "toy" / "Annotations" / "a.xml"))[0]
    assert first == {"name": "cat", "pose": "Unspecified", "truncated": 0, "difficult": 0, "bbox": [11, 13, 41, 51]}
