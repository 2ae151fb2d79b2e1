"""image_detections with several scales, a second stage and voting, on a small real net: against long-hand loops."""
import caffe
import numpy as np
import pytest
from fast_rcnn.nms_wrapper import nms
from fast_rcnn.prototxt import adapt_net
from fast_rcnn.test import im_detect, image_detections
from support.settings import settings
from support.tiny_net import write_tiny_net
from support.weights import write_random_weights
from utils.errors import UserError

RNG = np.random.default_rng(5)
IM = RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8)
CORNERS = RNG.uniform(0, 60, (40, 2))
BOXES = np.hstack((CORNERS, CORNERS + RNG.uniform(15, 40, (40, 2)))).astype(np.float32)
BASE = {"TEST.SCALES": (90,), "TEST.MAX_SIZE": 200, "DEDUP_BOXES": 0}
STAGES = {**BASE, "TEST.MULTI_STAGE": True, "TEST.MULTI_STAGE_THRESH": 0.3, "TEST.MULTI_STAGE_NMS": 0.6}


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    caffe.set_mode_cpu()
    prototxt = write_tiny_net(folder) / "fast_rcnn" / "test.prototxt"
    weights = write_random_weights(prototxt, folder / "net.caffemodel")
    net = caffe.Net(adapt_net(prototxt, 3, str(folder)), str(weights), caffe.TEST)
    net.params["cls_score"][0].data[...] *= 0.02      # scores far from 0 and 1, of every class
    net.params["cls_score"][1].data[...] = [-1.2, 0.5, 2]
    net.params["bbox_pred"][0].data[...] *= 0.002     # boxes move, but not far
    return net


@pytest.fixture
def started(net, monkeypatch):
    """The layers that the net's forward was started from; None for the first."""
    starts, forward = [], net.forward

    def spy(start=None, **inputs):
        starts.append(start)
        return forward(start=start, **inputs)
    monkeypatch.setattr(net, "forward", spy)
    return starts


def by_hand(scores, boxes, thresh):
    """{class: [[x1 y1 x2 y2 score], ...]} above thresh."""
    return {cls: [[*row[4 * cls:4 * cls + 4], score[cls]] for row, score in zip(boxes, scores) if score[cls] > thresh]
            for cls in (1, 2)}


def second_stage_by_hand(net, scores, boxes, thresh):
    """What a whole new forward pass of each class' best boxes gives that class."""
    found = {}
    for cls in (1, 2):
        high = np.array(by_hand(scores, boxes, 0.3)[cls], np.float32).reshape(-1, 5)
        again, moved = im_detect(net, IM, high[nms(high, 0.6)][:, :4])
        found[cls] = by_hand(again, moved, thresh)[cls]
    return found


def assert_candidates(net, pools, found, thresh):
    """`found` is NMS of the pooled rows of each class, best first."""
    for cls in (1, 2):
        rows = np.array([row for pool in pools for row in pool[cls]], np.float32)
        np.testing.assert_allclose(found[cls], rows[nms(rows, 0.3)], rtol=1e-4, atol=1e-3)
        assert len(found[cls]) > 1
    assert found[0].shape == (0, 5)


def test_second_stage_over_the_features_that_are_there(net, started):
    with settings(BASE):
        scores, boxes = im_detect(net, IM, BOXES)
        pools = [by_hand(scores, boxes, 0.2), second_stage_by_hand(net, scores, boxes, 0.2)]
    assert pools[1][1] and pools[1][2]
    del started[:]
    with settings(STAGES):
        found = image_detections(net, IM, BOXES, 0.2, 0)
    assert started == [None, "roi_pool5"]       # the trunk ran once
    assert_candidates(net, pools, found, 0.2)


def test_the_second_stage_finds_what_the_first_does_not(net):
    with settings(STAGES):
        both = image_detections(net, IM, BOXES, 0.2, 0)
        with settings({"TEST.MULTI_STAGE": False}):
            one = image_detections(net, IM, BOXES, 0.2, 0)
        with settings({"TEST.MULTI_STAGE_THRESH": 0.999}):
            none_high = image_detections(net, IM, BOXES, 0.2, 0)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(one, both))
    for a, b in zip(one, none_high):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stages", [False, True])
def test_all_scales_are_pooled_and_equal_ones_run_once(net, started, stages):
    """90 and 135 as they are; 180 and 200 both end at MAX_SIZE, a scale of 200 / 120."""
    pools = []
    for size in (90, 135, 180):
        with settings({**BASE, "TEST.SCALES": (size,)}):
            scores, boxes = im_detect(net, IM, BOXES)
            pools.append(by_hand(scores, boxes, 0.2))
            if stages:
                pools.append(second_stage_by_hand(net, scores, boxes, 0.2))
    del started[:]
    with settings({**STAGES, "TEST.MULTI_STAGE": stages, "TEST.SCALES": (90, 135, 180, 200), "TEST.SCALE_MODE": "all"}):
        found = image_detections(net, IM, BOXES, 0.2, 0)
        assert started == ([None, "roi_pool5"] * 3 if stages else [None] * 3)
        scores, boxes = im_detect(net, IM, BOXES)
    assert_candidates(net, pools, found, 0.2)
    assert scores.shape == (120, 3) and boxes.shape == (120, 12)


def test_the_originals_several_scales_stay_the_default(net, started):
    """One pass over a pyramid, one level for each RoI; a second stage picks levels anew."""
    with settings({**STAGES, "TEST.SCALES": (90, 135)}):
        scores, _ = im_detect(net, IM, BOXES)
        image_detections(net, IM, BOXES, 0.2, 0)
    assert scores.shape == (40, 3) and started == [None, None, "roi_pool5"]
    assert net.blobs["data"].shape[0] == 2


def test_voting_moves_boxes_and_leaves_scores(net):
    with settings({**STAGES, "TEST.BBOX_VOTE_THRESH": 0.4}):
        plain = image_detections(net, IM, BOXES, 0.2, 9)
        with settings({"TEST.BBOX_VOTE": True}):
            voted = image_detections(net, IM, BOXES, 0.2, 9)
    assert sum(len(dets) for dets in voted) == 9
    for a, b in zip(plain, voted):
        np.testing.assert_array_equal(a[:, 4], b[:, 4])
    assert (plain[1][:, :4] != voted[1][:, :4]).any()


def test_voters_are_the_pooled_boxes_of_both_stages(net):
    with settings(BASE):
        scores, boxes = im_detect(net, IM, BOXES)
        pools = [by_hand(scores, boxes, 0.2), second_stage_by_hand(net, scores, boxes, 0.2)]
    with settings({**STAGES, "TEST.BBOX_VOTE": True, "TEST.BBOX_VOTE_THRESH": 0.0}):  # all boxes of the class vote
        voted = image_detections(net, IM, BOXES, 0.2, 0)
    for cls in (1, 2):
        rows = np.array([row for pool in pools for row in pool[cls]])
        mean = rows[:, 4] @ rows[:, :4] / rows[:, 4].sum()
        np.testing.assert_allclose(voted[cls][:, :4], np.tile(mean, (len(voted[cls]), 1)), rtol=1e-4)


def test_no_proposals_and_no_detection(net):
    with settings({**STAGES, "TEST.BBOX_VOTE": True, "TEST.SCALES": (90, 135), "TEST.SCALE_MODE": "all"}):
        for boxes, thresh in ((BOXES[:0], 0.2), (BOXES, 1.0)):
            assert [dets.shape for dets in image_detections(net, IM, boxes, thresh, 100)] == [(0, 5)] * 3


@pytest.mark.parametrize("changes, words", [
    ({"TEST.SCALE_MODE": "every"}, "TEST.SCALE_MODE is 'every'; expected 'per_roi' or 'all'"),
    ({"TEST.BBOX_REG": False}, "TEST.MULTI_STAGE runs boxes again that were moved by regression; set TEST.BBOX_REG True"),
])
def test_settings_that_do_not_work(net, changes, words):
    with settings({**STAGES, **changes}), pytest.raises(UserError, match=words):
        image_detections(net, IM, BOXES, 0.2, 0)
