"""The report's rankings of RoIs by loss."""

import numpy as np
import pytest
from run_report import rankings
from run_report.hard import group_means
from run_report.runs import Run
from support.judged import ranking
from support.roidbs import make_entry
from support.settings import settings


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
