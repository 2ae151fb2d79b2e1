"""The report's verdicts on detections."""

import numpy as np
import pytest
import scipy.sparse
from run_report import verdicts
from run_report.verdicts import BACKGROUND, IGNORED, MISPLACED, RIGHT, TWICE, WRONG_CLASS
from support.judged import BOX, FAR, HALF, NEAR, NONE, dets, truth
from support.voc_folder import make_voc_folder


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


def test_crowds_are_ignored(monkeypatch):
    class Crowded:
        config = {}

        def gt_roidb(self):
            return [{"boxes": np.array([BOX, FAR], np.float32), "gt_classes": np.array([1, 1]),
                     "gt_overlaps": scipy.sparse.csr_matrix([[0, 1], [-1, -1]])}]

    monkeypatch.setattr(verdicts, "load_imdb", lambda name: Crowded())
    assert verdicts.load_truth("coco")[1][0].ignored.tolist() == [False, True]
