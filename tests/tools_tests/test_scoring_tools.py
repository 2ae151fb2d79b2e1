"""reval.py with NMS and in competition mode, eval_recall.py: on made detections and proposals whose scores are known."""
import json

import numpy as np
import pytest
from fast_rcnn.detections import save_detections
from support.voc_folder import make_voc_folder

CUP = (60, 20, 100, 70)                     # of an image: 1-based, 41 x 51 pixels
SHIFTED = (64, 20, 104, 70)                 # IoU with it 37 / 45
APART = (81, 20, 121, 70)                   # IoU with it 20 / 62, with SHIFTED 24 / 58


def succeed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def boxes(*rows):
    """[ymin xmin ymax xmax], as a file of proposals has them, of 1-based [xmin ymin xmax ymax]."""
    return np.array([(y1, x1, y2, x2) for x1, y1, x2, y2 in rows], dtype=np.uint16)


@pytest.fixture
def folder(tmp_path):
    """Three images with one cup of 41 x 51, the last one also with a ball of 20 x 20; proposals find 2 of 4."""
    images = {name: (140, 100, [("cup", CUP)]) for name in ("one", "two", "three")}
    images["three"][2].append(("ball", (1, 1, 20, 20)))
    proposals = {"one": boxes((1, 1, 30, 30), CUP), "two": boxes(SHIFTED), "three": boxes(APART)}
    return make_voc_folder(tmp_path / "cups", images, "test", ["cup", "ball"], proposals)


class Cups:
    classes, image_index = ("__background__", "cup", "ball"), ["one", "two", "three"]
    image_hashes = lambda: [None] * 3  # noqa: E731


@pytest.fixture
def results(tmp_path):
    """In image `one` the cup, found twice; the second detection overlaps the first by 37 / 45."""
    found = [np.array([[*box, score] for box, score in ((CUP, .9), (SHIFTED, .8))], np.float32) - [1, 1, 1, 1, 0]]
    none = np.zeros((0, 5), np.float32)
    (tmp_path / "results").mkdir()
    save_detections(tmp_path / "results" / "detections.npz", [[none] * 3, found + [none] * 2, [none] * 3], Cups)
    return tmp_path / "results"


def precision(results):
    with np.load(results / "cup_pr.npz") as f:
        return f["prec"].tolist()


def test_reval_with_nms_drops_the_second_detection(run, results, folder):
    imdb = "voc:%s@test" % folder
    succeed(run("reval.py", results, "--imdb", imdb))
    assert precision(results) == [1, .5]
    said = succeed(run("reval.py", results, "--imdb", imdb, "--nms"))
    assert "Applying NMS at 0.3" in said and precision(results) == [1]
    said = succeed(run("reval.py", results, "--imdb", imdb, "--nms", "--set", "TEST.NMS", "0.9"))
    assert "Applying NMS at 0.9" in said and precision(results) == [1, .5]
    assert json.loads((results / "ap.json").read_text())["ap"]["cup"] == pytest.approx(1 / 3)


def test_competition_mode_keeps_the_result_files(run, results, folder):
    files = results / "results" / "cups" / "Main"
    succeed(run("reval.py", results, "--imdb", "voc:%s@test" % folder))
    assert list(files.iterdir()) == []
    succeed(run("reval.py", results, "--imdb", "voc:%s@test" % folder, "--comp"))
    assert sorted(path.name for path in files.iterdir()) == ["comp4_det_test_ball.txt", "comp4_det_test_cup.txt"]
    lines = [line.split() for line in (files / "comp4_det_test_cup.txt").read_text().splitlines()]
    assert [line[0] for line in lines] == ["one", "one"]
    assert [[float(x) for x in line[2:]] for line in lines] == [list(CUP), list(SHIFTED)]


def recalls(said):
    """{area: [objects, average, recall at .5, .6, .7, .8, .9]} of what eval_recall.py printed."""
    rows = [line.split() for line in said.splitlines()]
    first = next(k for k, row in enumerate(rows) if row[:2] == ["area", "objects"])
    assert rows[first][3:] == ["0.50", "0.60", "0.70", "0.80", "0.90"]
    return {row[0]: row[1:] for row in rows[first + 1:first + 9]}


def test_recall_by_iou_and_area(run, folder):
    found = recalls(succeed(run("eval_recall.py", "--imdb", "voc:%s@test" % folder)))
    assert found["all"] == ["4", "0.425", "0.500", "0.500", "0.500", "0.500", "0.250"]     # (7 * .5 + 3 * .25) / 10
    assert found["small"] == ["1", "0.000"] + ["0.000"] * 5
    assert found["medium"][:3] == ["3", "0.567", "0.667"]
    assert found["large"] == ["0", "-"] + ["-"] * 5


def test_recall_of_the_first_proposals(run, folder):
    found = recalls(succeed(run("eval_recall.py", "--imdb", "voc:%s@test" % folder, "--limit", "1")))
    assert found["all"][2:] == ["0.250", "0.250", "0.250", "0.250", "0.000"]


def test_recall_of_a_file_of_ones_own(run, folder, tmp_path):
    own = tmp_path / "own.json"
    rows = [[list(CUP)], [list(CUP)], [list(CUP), [1, 1, 20, 20]]]
    own.write_text(json.dumps({"order": "x1 y1 x2 y2", "first_pixel": 1, "boxes": dict(zip(Cups.image_index, rows))}))
    said = succeed(run("eval_recall.py", "--imdb", "voc:%s@test" % folder, "--method", "rpn", "--rpn-file", own))
    assert recalls(said)["all"] == ["4"] + ["1.000"] * 6 and "Method: rpn, 3 images" in said


def test_recall_of_the_ground_truth_itself(run, folder):
    said = succeed(run("eval_recall.py", "--imdb", "voc:%s@test" % folder, "--method", "gt"))
    assert recalls(said)["all"] == ["4"] + ["1.000"] * 6


@pytest.mark.parametrize("flags, words", [
    (["--method", "rpn"], "--rpn-file is missing"), (["--rpn-file", "nowhere.mat"], "nowhere.mat: no such file"),
    (["--method", "magic"], "magic"), (["--rpn-file", "x", "--method", "gt"], "read by --method rpn only")])
def test_mistakes_are_one_line(run, folder, flags, words):
    result = run("eval_recall.py", "--imdb", "voc:%s@test" % folder, *flags)
    assert result.returncode == 1 and result.stderr.startswith("error: ") and words in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1


def test_help_lists_the_originals_flags(run):
    said = succeed(run("eval_recall.py", "--help"))
    assert [flag for flag in ("--imdb", "--method", "--rpn-file") if flag not in said] == []
