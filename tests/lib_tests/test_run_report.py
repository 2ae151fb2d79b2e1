"""The report's own reckoning: verdicts on detections, rankings of RoIs, curves."""
import hashlib
import json
import os

import numpy as np
import pytest
import scipy.sparse
from run_report import charts, pictures, rankings, verdicts
from run_report.hard import group_means
from run_report.runs import Run, flatten, load_run, tell_apart
from run_report.verdicts import BACKGROUND, IGNORED, MISPLACED, RIGHT, TWICE, WRONG_CLASS, Truth
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

    monkeypatch.setattr(verdicts, "get_imdb", lambda name: Crowded())
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


# ---- charts and pictures

def test_running_mean():
    np.testing.assert_allclose(charts.running_mean([2, 4, np.nan, 6, 8], 2), [2, 3, np.nan, 6, 7])


@pytest.mark.parametrize("low, high, ticks", [(0, 1, [0, .2, .4, .6, .8, 1]), (0, 40000, [0, 10000, 20000, 30000, 40000]), (.13, .52, [.2, .3, .4, .5])])
def test_round_values(low, high, ticks):
    assert charts.round_values(low, high, 5 if high < 2 else 4) == pytest.approx(ticks)


def test_powers():
    assert charts.powers(-1.05, .3) == pytest.approx([.1, .2, .5, 1]) and charts.powers(-3, 1) == pytest.approx([.001, .01, .1, 1, 10])


def test_a_line_goes_through_its_points():
    axes = charts.Axes(100 + charts.LEFT + charts.RIGHT, 100 + charts.BOTTOM + charts.TOP, (0, 10), (0, 2))
    axes.line([0, 5, 10], [0, np.nan, 2], "run0")
    assert 'd="M%.1f %.1fM%.1f %.1f"' % (charts.LEFT, 100 + charts.TOP, charts.LEFT + 100, charts.TOP) in axes.svg("a < b")
    assert "a &lt; b" in axes.svg("a < b")


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


