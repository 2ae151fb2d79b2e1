"""The report's own reckoning: verdicts on detections, rankings of RoIs, curves."""
import hashlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import cv2
import matplotlib
import numpy as np
import pytest
import scipy.sparse
from run_report import charts, figures, pictures, rankings, verdicts
from run_report.analysis import Judged
from run_report.hard import group_means
from run_report.runs import Run, flatten, load_run, tell_apart
from run_report.style import COLOURS, bgr
from run_report.summary import as_json, as_table, summarise
from run_report.verdicts import BACKGROUND, IGNORED, MISPLACED, RIGHT, TWICE, WRONG_CLASS, Truth
from support.reference import ROOT
from support.roidbs import make_entry
from support.settings import settings
from support.voc_folder import make_voc_folder
from utils.errors import UserError

NONE = np.zeros((0, 5), np.float32)
BOX, NEAR, HALF, FAR = [10, 10, 29, 29], [12, 10, 31, 29], [20, 10, 39, 29], [60, 60, 79, 79]


def dets(*rows):
    return np.array([(*box, score) for box, score in rows], np.float32).reshape(-1, 5)


def truth(*objects):
    """Truth of objects (box, class[, ignored])."""
    return Truth(np.array([o[0] for o in objects], np.float32).reshape(-1, 4), np.array([o[1] for o in objects], int),
                 np.array([len(o) > 2 for o in objects], bool))


# ---- verdicts

@pytest.mark.parametrize("found, objects, kinds", [
    ([(NEAR, .9)], [(BOX, 1)], [RIGHT]),
    ([(NEAR, .4), (BOX, .9)], [(BOX, 1)], [RIGHT, TWICE]),             # by falling score
    ([(HALF, .9)], [(BOX, 1)], [MISPLACED]),                           # IoU 1/3
    ([(BOX, .9)], [(BOX, 2)], [WRONG_CLASS]),
    ([(BOX, .9)], [(HALF, 1), (BOX, 2)], [MISPLACED]),
    ([(FAR, .9)], [(BOX, 1)], [BACKGROUND]),
    ([(FAR, .9)], [], [BACKGROUND]),
    ([(BOX, .9), (NEAR, .8)], [(BOX, 1, "difficult")], [IGNORED, IGNORED])])
def test_kinds(found, objects, kinds):
    result = verdicts.judge([[NONE], [dets(*found)]], [truth(*objects)])
    assert result.kinds.tolist() == kinds
    assert (np.diff(result.rows[:, 6]) <= 0).all() and (result.rows[:, 1] == 1).all()


def test_scores_of_objects_and_choices():
    truths = [truth((BOX, 1), (FAR, 2)), truth((BOX, 1, "difficult"), (FAR, 2))]
    result = verdicts.judge([[NONE] * 2, [dets((BOX, .9), (FAR, .8)), NONE], [dets((FAR, .3)), dets((BOX, .2), (FAR, .1))]], truths)
    assert [scores.tolist() for scores in result.found][0] == pytest.approx([.9, .3])
    assert np.isnan(result.found[1][0]) and result.found[1][1] == pytest.approx(.1)
    assert [(image, k) for _, image, k in verdicts.most_missed(result, 2)] == [(1, 1), (0, 1)]
    assert result.rows[verdicts.best_right(result, 9), 6] == pytest.approx([.9, .3, .1])
    assert result.rows[verdicts.worst_wrong(result, 1), 6] == pytest.approx([.8])
    counts, objects = verdicts.kinds_at_the_top(result)
    assert objects == 3 and counts[RIGHT] == 2 and counts[WRONG_CLASS] == 1


def test_classes_take_turns_among_the_best():
    result = verdicts.judge([[NONE], [dets((BOX, .9), (FAR, .8))], [dets((HALF, .7))]], [truth((BOX, 1), (FAR, 1), (HALF, 2))])
    assert result.rows[verdicts.best_right(result, 3), 6] == pytest.approx([.9, .7, .8])


def test_right_ones_are_those_that_average_precision_counts(own_root):
    """The recall that voc_eval reaches, and its precision, follow from the verdicts; one cup in three is difficult."""
    rng = np.random.default_rng(1)
    images = {str(i): (140, 120, [("cup", (20, 20, 60, 60)) + (1,) * (i % 3 == 0), ("ball", (70, 70, 100, 100))]) for i in range(12)}
    folder = make_voc_folder(own_root / "cups", images, "test", ["cup", "ball"])
    imdb, truths = verdicts.load_truth("voc:%s@test" % folder)
    assert sum(t.ignored.sum() for t in truths) == 4
    base = np.array([[19, 19, 59, 59], [69, 69, 99, 99], [100, 10, 119, 29]])
    found = [[NONE] * 12] + [[np.column_stack([base[rng.integers(0, 3, 6)] + rng.integers(-9, 9, (6, 4)), rng.random(6)]).astype(np.float32)
                              for _ in range(12)] for _ in range(2)]
    result = verdicts.judge(found, truths)
    imdb.evaluate_detections(found, str(own_root / "scores"))
    for cls, name in enumerate(imdb.classes):
        if not cls:
            continue
        kinds = result.kinds[result.rows[:, 1] == cls]
        objects = sum(((t.classes == cls) & ~t.ignored).sum() for t in truths)
        with np.load(own_root / "scores" / (name + "_pr.npz")) as f:
            assert 0 < f["rec"][-1] == pytest.approx((kinds == RIGHT).sum() / objects)
            assert f["prec"][-1] == pytest.approx((kinds == RIGHT).sum() / (kinds != IGNORED).sum())
            assert len(f["rec"]) == len(kinds)
    assert len(set(result.kinds.tolist())) == 6


# ---- rankings

class FakeNet:
    """A test net of 3 classes that answers with given probabilities (R, 3) and boxes (R, 12)."""

    def __init__(self, prob, boxes):
        self.answer = {"cls_prob": np.array(prob, np.float32), "bbox_pred": boxes}
        self.blobs = {name: self for name in ("data", "rois")}

    def reshape(self, *shape):
        pass

    def forward(self, data, rois):
        return self.answer


@pytest.fixture
def entry(tmp_path):
    """An image of 40 x 60: two objects, a near background, two far ones; foreground comes first in the blobs."""
    return make_entry(tmp_path / "a.png", [[0, 0, 19, 19], [30, 20, 50, 40], [0, 0, 19, 40], [40, 0, 60, 10], [0, 42, 9, 47]],
                      [1, 2, 1, 0, 0], [1, 1, .48, 0, 0])


def test_losses_are_those_of_training(entry):
    """Predicted boxes are un-normalised in a snapshot, targets normalised in training: equal ones cost nothing."""
    means, stds = np.full(12, .3), np.full(12, .2)
    means[:4] = stds[:4] = 0
    boxes = np.tile(means, (5, 1)).astype(np.float32)                   # a target of 0
    boxes[1, 8] += .1                                                   # half a deviation off, in the class of the object
    prob = [[.1, .8, .1], [.1, .1, .8], [.5, .5, 0], [1, 0, 0], [.25, .5, .25]]
    entry["bbox_targets"] = np.array([[1, 0, 0, 0, 0], [2, 0, 0, 0, 0]] + [[0] * 5] * 3, np.float32)
    with settings({"TRAIN.SCALES": (48,), "TRAIN.BG_THRESH_LO": 0.0, "TRAIN.BATCH_SIZE": 4, "TRAIN.IMS_PER_BATCH": 2}):
        found = rankings.rank_image([FakeNet(prob, boxes), FakeNet(prob[::-1], boxes * 0)], entry, (means, stds))
    np.testing.assert_allclose(found.losses[0], [-np.log(.8), -np.log(.8) + .125, -np.log(.5), 0, -np.log(.25)], atol=1e-6)
    assert found.hard[0].tolist() == [4, 2]                             # BATCH_SIZE / IMS_PER_BATCH of them
    assert found.labels.tolist() == [1, 2, 0, 0, 0] and found.overlaps == pytest.approx([1, 1, .48, 0, 0])
    assert found.ranks(0) == pytest.approx([.25, .5, .75, 0, 1])
    assert found.picture.shape == (48, 72, 3) and found.picture.dtype == np.uint8


def ranking(losses, labels, overlaps, hard):
    rois = np.array([[20 * k, 0, 20 * k + 9, 9] for k in range(len(labels))], np.float32)
    return rankings.ImageRanking(np.zeros((20, 200, 3), np.uint8), rois, np.array(labels), np.array(overlaps), tuple(map(np.array, losses)), hard)


def test_sampling_without_mining():
    """A quarter foreground at most, all the rest from the background near objects, as far as it goes."""
    one = ranking(([0] * 8,) * 2, [1] * 4 + [0] * 4, [.6] * 4 + [.3, .2, .05, 0], ([0], [0]))
    with settings({"TRAIN.BATCH_SIZE": 8, "TRAIN.IMS_PER_BATCH": 1}):
        assert rankings.sampled_share(one).tolist() == [.5] * 4 + [1, 1, 0, 0]
    with settings({"TRAIN.BATCH_SIZE": 4, "TRAIN.IMS_PER_BATCH": 2}):
        assert rankings.sampled_share(one).tolist() == [0] * 4 + [1, 1, 0, 0]


def test_means_of_groups():
    one = ranking(([4, 0, 2, 2], [1, 3, 0, 0]), [1, 0, 0, 0], [.6, .2, 0, 0], ([0, 2], [1, 0]))
    with settings({"TRAIN.BATCH_SIZE": 4, "TRAIN.IMS_PER_BATCH": 1}):
        rows = dict(group_means([one]))
    assert rows["all RoIs"] == pytest.approx([4, 2, 1, 1, .25, .25, .5])
    assert rows["hard to the first"] == pytest.approx([2, 3, .5, .25, .5, 0, .5])
    assert rows["hard to the second"] == pytest.approx([2, 2, 2, 1, .5, .5, 0])
    assert rows["sampled without mining"] == pytest.approx([2, 2, 2, 1, .5, .5, 0])
    assert one.both == .5


def test_movers_are_apart():
    """The one that fell most, then the next that does not overlap it."""
    one = ranking(([5, 4, 3, 2, 1], [1, 2, 3, 4, 5]), [0] * 5, [0] * 5, ([0], [4]))
    one.rois[1] = one.rois[0]
    easier, harder = rankings.movers([one], 2)
    assert [k for _, k in easier] == [0, 2] and [k for _, k in harder] == [4, 3]


def test_spread():
    assert rankings.spread(list(range(10)), 3) == [0, 4, 9] and rankings.spread([1, 2], 3) == [1, 2]


def test_settings_come_from_the_record(tmp_path):
    record = {"config": {"TRAIN": {"FG_THRESH": .7, "GONE": 1}, "PIXEL_MEANS": [[[1., 2., 3.]]], "ROOT_DIR": "/elsewhere", "OLD": 2}}
    with settings() as cfg:
        rankings.use_settings(Run("a", tmp_path, record, tmp_path, {}, ""))
        assert cfg.TRAIN.FG_THRESH == .7 and cfg.PIXEL_MEANS.shape == (1, 1, 3) and cfg.ROOT_DIR != "/elsewhere"
        assert cfg.TRAIN.BG_THRESH_LO == 0


# ---- truth of COCO: crowds

def test_crowds_are_ignored(monkeypatch):
    class Crowded:
        config = {}

        def gt_roidb(self):
            return [{"boxes": np.array([BOX, FAR], np.float32), "gt_classes": np.array([1, 1]),
                     "gt_overlaps": scipy.sparse.csr_matrix([[0, 1], [-1, -1]])}]

    monkeypatch.setattr(verdicts, "load_imdb", lambda name: Crowded())
    assert verdicts.load_truth("coco")[1][0].ignored.tolist() == [False, True]


# ---- runs

def make_run(folder, name="thing_trainval", **record):
    (folder / name).mkdir(parents=True)
    (folder / name / "run.json").write_text(json.dumps({"model": "/gone/net_iter_4.caffemodel", **record}))
    return folder / name


def test_the_test_of_an_overwritten_net_of_the_same_name_is_not_this_nets(tmp_path):
    folder = make_run(tmp_path / "exp")
    (folder / "net_iter_4.caffemodel").write_bytes(b"new")
    results = tmp_path / "exp" / "a_test" / "net_iter_4"
    results.mkdir(parents=True)
    (results / "detections.npz").write_bytes(b"")
    for content, expected in ((b"old", None), (b"new", results)):
        record = {"caffemodel": "net_iter_4.caffemodel", "caffemodel_hash": hashlib.sha256(content).hexdigest()}
        (results / "run.json").write_text(json.dumps(record))
        assert load_run(folder).results == expected


def test_a_tree_that_moved_is_found_again(tmp_path):
    folder = make_run(tmp_path / "exp")
    run = load_run(folder)
    assert run.model == folder / "net_iter_4.caffemodel" and run.results is None and run.name == "exp"
    for number, test in enumerate(("a_test", "b_test")):
        results = tmp_path / "exp" / test / "net_iter_4"
        results.mkdir(parents=True)
        (results / "run.json").write_text(json.dumps({"caffemodel": "/gone/thing_trainval/net_iter_4.caffemodel"}))
        (results / "detections.npz").write_bytes(b"")
        os.utime(results / "detections.npz", (number, number))
    assert load_run(tmp_path / "exp").results.parent.name == "b_test"                       # the last one tested
    assert load_run(tmp_path / "exp" / "a_test" / "net_iter_4").results.parent.name == "a_test"
    (folder / "run.json").write_text("{}")                  # a training that goes on
    with pytest.raises(UserError, match="whose training has not finished"):
        load_run(tmp_path / "exp" / "a_test" / "net_iter_4")
    (folder / "run.json").unlink()
    with pytest.raises(UserError, match="left no run.json"):
        load_run(tmp_path / "exp" / "a_test" / "net_iter_4")


def test_names_of_two_runs_differ(tmp_path):
    one, other = (load_run(make_run(tmp_path / "exp", name)) for name in ("a", "b"))
    tell_apart([one, other])
    assert (one.name, other.name) == ("exp a", "exp b")
    twins = [load_run(tmp_path / "exp" / "a") for _ in range(2)]
    tell_apart(twins)
    assert [run.name[-2:] for run in twins] == [" 1", " 2"]
    assert flatten({"A": {"B": 1, "ROOT_DIR": 2}, "C": 3}) == {"A.B": 1, "C": 3}


# ---- summary

def test_what_is_not_known_is_none_in_the_summary(tmp_path):
    record = {"seconds": 2.5, "peak_rss_mb": 300, "iterations": 4, "seed": 3}
    run = Run("a run", tmp_path, record, tmp_path, {}, "")
    tested = Run("b", tmp_path, record, tmp_path, {}, "", tmp_path, {"seconds": 1}, {"cup": float("nan"), "ball": .5}, float("nan"))
    summary = json.loads(as_json(summarise([run, tested])))
    common = {"mAP": None, "training_seconds": 2.5, "peak_rss_mb": 300, "iterations": 4, "seed": 3}
    assert summary == [{"run": "a run", "AP": {}, "test_seconds": None, **common},
                       {"run": "b", "AP": {"cup": None, "ball": .5}, "test_seconds": 1, **common}]
    assert [line.split()[-3:] for line in as_table(summary).splitlines()[1:]] == [["-", "2.5", "300"]] * 2


# ---- charts

def parse(svg):
    """[(d, style)] of the paths, [(x, y, text)] of the texts."""
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg" and {node.tag for node in root} <= {"path", "text"}
    return ([(node.get("d"), node.get("style")) for node in root.iter("path")],
            [(float(node.get("x")), float(node.get("y")), node.text) for node in root.iter("text")])


def lines_of(svg, name):
    """The path data in a colour of page.css."""
    return [d for d, look in parse(svg)[0] if f"stroke: {COLOURS[name]}" in look]


def test_running_mean():
    values = [2, 4, np.nan, 6, 8]
    np.testing.assert_allclose(charts.running_mean(values, 2), [2, 3, np.nan, 6, 7])
    np.testing.assert_allclose(charts.running_mean([2, np.inf, 4, 6], 2), [2, np.nan, 4, 5])


def test_a_line_goes_through_its_points_and_is_broken_where_a_number_is_missing():
    height = 170 - charts.BOTTOM - charts.TOP
    right, floor = 210 - charts.RIGHT, 170 - charts.BOTTOM
    svg = charts.precision_recall([(np.array([.5, 1]), np.array([1, 0.]), "run1")], "cup")
    middle, top = charts.LEFT + (right - charts.LEFT) / 2, floor - height / 1.02
    assert lines_of(svg, "run1") == [f"M{middle:g} {top:.1f}L{right} {floor}"]
    svg = charts.curves([([0, 1, 2, 3, 4], [4, 4, np.nan, 2, 2], "run0")], "loss")
    (line,) = lines_of(svg, "run0")
    assert line.count("M") == 2 and line.startswith(f"M{charts.LEFT} ")


def test_axes_have_round_numbers_and_names():
    _, texts = parse(charts.curves([([0, 40000], [0, 1], "run0")], "loss"))
    names = [text for _, _, text in texts]
    assert names[:6] == ["0", "10k", "20k", "30k", "40k", "iteration"]
    assert names[6:] == ["0", "0.5", "1", "loss"]


@pytest.mark.parametrize("values, labels", [([.1, 1.8], ["0.1", "0.2", "0.5", "1"]),
                                            ([.001, 9], ["0.001", "0.01", "0.1", "1"])])
def test_logarithmic_axes(values, labels):
    _, texts = parse(charts.curves([([0, 1], values, "run0")], "loss", log=True))
    assert [text for x, _, text in texts if x < charts.LEFT] == labels


def test_zero_is_at_the_floor_of_a_logarithmic_axis():
    (line,) = lines_of(charts.curves([([0, 1, 2], [1, 0, .1], "run0")], "loss", log=True), "run0")
    assert float(line.split("L")[1].split()[1]) == 240 - charts.BOTTOM


def test_nothing_finite_is_no_plot():
    assert charts.curves([([0, 1], [np.nan, np.inf], "run0")], "loss") == ""
    assert charts.curves([([0, 1], [0, -1], "run0")], "loss", log=True) == ""


@pytest.mark.filterwarnings("error")
def test_a_single_point_and_equal_values_are_drawn():
    assert lines_of(charts.curves([([0], [0], "run0")], "loss"), "run0")
    assert lines_of(charts.curves([([5, 6], [0, 0], "run1 dashed")], "RoIs"), "run1")


def test_every_dot_is_drawn_below_and_above_the_diagonal():
    svg = charts.scatter([(np.array([.1, 2]), np.array([.2, 1]), "bg"), (np.zeros(0), np.zeros(0), "fg")], "a", "b")
    (dots,) = lines_of(svg, "bg")
    places = [tuple(map(float, dot.removesuffix("h0").split())) for dot in dots.split("M")[1:]]
    assert lines_of(svg, "fg") == [] and len(places) == 2
    for (x, y), above in zip(places, (True, False)):
        from_left, from_floor = x - charts.LEFT, 400 - charts.BOTTOM - y
        assert (from_floor / 346 > from_left / 366) == above       # of the plotted area's height and width


NASTY = "a < b & \"c\" $x_1$ $\\foo$ 日本\n\x1b[1m\udcff"


@pytest.mark.filterwarnings("error")
def test_any_name_is_escaped_text():
    svg = charts.scatter([(np.ones(1), np.ones(1), "fg")], NASTY, "b")
    shown = NASTY.replace("\n", " ").replace("\x1b", "\ufffd").replace("\udcff", "\ufffd")
    assert shown in [text for *_, text in parse(svg)[1]]
    assert ElementTree.fromstring(svg).get("aria-label") == "b against " + shown
    assert "日本" in svg and "<b" not in svg.replace("<path", "")


def test_the_same_numbers_give_the_same_bytes_whatever_matplotlib_is_set_to():
    def draw():
        series = [(np.arange(100), np.random.default_rng(0).random(100), "run0")]
        return charts.curves(series, "loss")
    first = draw()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path", "lines.marker": "o"}):
        before = dict(matplotlib.rcParams)
        assert draw() == first
        assert dict(matplotlib.rcParams) == before
    assert 'id=' not in first and "url(" not in first and "href" not in first and "http" not in first


def test_nothing_global_of_matplotlib_is_touched_or_loaded_before_it_is_needed():
    code = """if True:
        import sys, warnings
        from run_report import runs, summary
        assert "matplotlib" not in sys.modules
        import matplotlib
        backend, filters = dict.__getitem__(matplotlib.rcParams, "backend"), list(warnings.filters)
        from run_report import charts
        charts.curves([([0, 1], [0, 1], "run0")], "loss")
        assert "matplotlib.pyplot" not in sys.modules
        assert dict.__getitem__(matplotlib.rcParams, "backend") is backend and warnings.filters == filters"""
    folders = ROOT / "lib", ROOT / "caffe-fast-rcnn" / "python"
    subprocess.run([sys.executable, "-c", code], check=True,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))})


# ---- pictures

def marks(found, objects, thresh=.5):
    """[(kind, text)] of one image's detections [(box, class, score)]."""
    all_boxes = [[dets(*((box, score) for box, c, score in found if c == cls))] for cls in range(3)]
    one = truth(*objects)
    result = verdicts.judge(all_boxes, [one])
    shown = verdicts.image_marks(result, one, 0, ("__background__", "one", "two"), thresh)
    assert verdicts.mistakes(result, thresh).tolist() == [sum(kind != "right" for kind, *_ in shown)]
    return [(kind, text) for kind, _, text in shown]


def test_marks_are_right_wrong_and_missed():
    found = [(BOX, 1, .9), (NEAR, 1, .8), (FAR, 1, .7), (BOX, 1, .2)]
    assert marks(found, [(BOX, 1), (FAR, 2)]) == [
        ("right", "one 0.90"), ("wrong", "one 0.80"), ("wrong", "one 0.70"), ("missed", "two")]


def test_marks_of_little_overlap_of_low_scores_and_of_difficult_objects():
    assert marks([(HALF, 1, .9)], [(BOX, 1)]) == [("wrong", "one 0.90"), ("missed", "one")]
    assert marks([(BOX, 1, .4)], [(BOX, 1)]) == [("missed", "one")]
    assert marks([(BOX, 1, .9)], [(BOX, 1, "difficult")]) == []


def test_marks_of_images_without_objects_or_detections():
    assert marks([], []) == []
    assert marks([(BOX, 1, 1)], []) == [("wrong", "one 1.00")]


def test_chosen_images_are_those_that_differ():
    same, differing = np.zeros(11, int), np.zeros(11, int)
    differing[5] = 3
    assert figures.choose_images([same, differing], 1) == [5]
    assert figures.choose_images([differing], 1) == [5]
    many = np.arange(30)[::-1]
    assert figures.choose_images([many], 5) == [0, 6, 12, 18, 24]
    assert figures.choose_images([np.array([0, 1, 2])], 5) == [0, 1, 2]


def share(image, name):
    """Share of the pixels that have a colour of page.css."""
    return (np.abs(image.astype(int) - bgr(name)).max(axis=2) < 12).mean()


def test_detections_are_drawn_in_a_row_for_each_run(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 100, 3), np.uint8))
    imdb = SimpleNamespace(name="toy", classes=("__background__", "one"), image_path_at=lambda i: str(tmp_path / "a.png"))
    truths = [truth((BOX, 1))]
    judged = [Judged(k, Run(NASTY, tmp_path, {}, tmp_path, {}, ""), imdb, truths, verdicts.judge([[NONE], [found]], truths))
              for k, found in enumerate((dets((BOX, .9)), dets((FAR, .9))))]
    image = figures.draw_detections(judged)
    first, second = image[70:image.shape[0] // 2 + 35], image[image.shape[0] // 2 + 35:]        # below the legend
    assert share(first, "right") > .001 and share(first, "wrong") == share(first, "object") == 0
    assert share(second, "wrong") > .001 and share(second, "object") > .001 and share(second, "right") == 0
    np.testing.assert_array_equal(figures.draw_detections(judged), image)


def test_hard_rois_are_drawn_next_to_the_others():
    one = ranking(([0] * 4, [2, 0, 0, 1]), [1, 0, 0, 0], [.6, 0, 0, 0], ([1], [0, 3]))
    image = figures.draw_hard_rois(one)
    rows = slice(40, image.shape[0] - 50)       # between the titles and the legend
    left, right = np.split(image[rows, :image.shape[1] // 2 * 2], 2, axis=1)
    assert share(left, "easy") > .001 and share(left, "fg") == share(left, "bg") == 0
    assert share(right, "fg") > .001 and share(right, "bg") > 0 and share(right, "easy") == 0


@pytest.mark.parametrize("box", [[30, 30, 49, 49], [-20, 80, 5, 130], [0, 0, 99, 99]])
def test_a_crop_is_around_its_box(box):
    """Also at the border of the image; the box is drawn where the object is."""
    im = np.zeros((100, 100, 3), np.uint8)
    piece = pictures.crop(im, box, colour=(0, 0, 255), side=90)
    rows, columns = np.nonzero(piece[:, :, 2] > 230)
    x1, y1, x2, y2 = box
    assert piece.shape == (90, 90, 3)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(44.5, abs=1.5) and (rows.min() + rows.max()) / 2 == pytest.approx(44.5, abs=1.5)
    assert max(np.ptp(columns), np.ptp(rows)) == pytest.approx(90 / 1.8, abs=4)


