"""lib/rpn against the recorded vectors of the original, and the corners it falls over."""
from types import SimpleNamespace

import caffe
import numpy as np
import pytest
from rpn.anchor_target_layer import label_anchors, loss_weights
from rpn.anchors import shifted_anchors
from rpn.generate_anchors import generate_anchors
from rpn.proposal_layer import propose
from support.python_layers import layer_net, run_layer
from support.reference import lib_case
from support.settings import settings
from utils.errors import UserError
from utils.python_layer import phase_of

TARGET_TOPS = ("labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights")
ANCHOR_KEYS = ("RPN_NEGATIVE_OVERLAP", "RPN_POSITIVE_OVERLAP", "RPN_FG_FRACTION", "RPN_BATCHSIZE",
               "RPN_CLOBBER_POSITIVES", "RPN_POSITIVE_WEIGHT")
PROPOSAL_KEYS = ("RPN_PRE_NMS_TOP_N", "RPN_POST_NMS_TOP_N", "RPN_NMS_THRESH", "RPN_MIN_SIZE")
RPN = {"TRAIN.RPN_BATCHSIZE": 16, "TRAIN.RPN_MIN_SIZE": 4, "TEST.RPN_MIN_SIZE": 4}
SMALL = "{'feat_stride': 4, 'scales': [1]}"     # 3 anchors, 11 to 23 pixels


def with_types(keys, values, side="TRAIN"):
    """{setting: value}, whole numbers as int where the setting is one, the switch as bool."""
    types = {"RPN_BATCHSIZE": int, "RPN_CLOBBER_POSITIVES": bool, "RPN_PRE_NMS_TOP_N": int, "RPN_POST_NMS_TOP_N": int}
    return {"%s.%s" % (side, key): types.get(key, float)(value) for key, value in zip(keys, values)}


def anchor_targets(hw, gt_boxes, im_info, param_str, channels, images=1):
    bottoms = {"rpn_cls_score": np.zeros((images, channels, *hw), np.float32), "gt_boxes": np.asarray(gt_boxes, np.float32),
               "im_info": np.asarray(im_info, np.float32), "data": np.zeros((1, 1, 1, 1), np.float32)}
    return run_layer("rpn.anchor_target_layer", "AnchorTargetLayer", bottoms, TARGET_TOPS, param_str, caffe.TRAIN)


def proposals(fg_prob, deltas, im_info, param_str, phase=caffe.TEST):
    bottoms = {"prob": np.concatenate([1 - fg_prob, fg_prob], axis=1), "deltas": deltas,
               "im_info": np.asarray(im_info, np.float32)}
    return run_layer("rpn.proposal_layer", "ProposalLayer", bottoms, ("rois", "scores"), param_str, phase)


def proposal_targets(rois, gt_boxes, param_str="'num_classes': 21"):
    bottoms = {"rpn_rois": np.asarray(rois, np.float32), "gt_boxes": np.asarray(gt_boxes, np.float32)}
    return run_layer("rpn.proposal_target_layer", "ProposalTargetLayer", bottoms, ("rois",) + TARGET_TOPS, param_str,
                     caffe.TRAIN)


# ---- the recorded vectors

def test_anchors_are_the_originals():
    case = lib_case("c8_anchors.npz")
    assert np.array_equal(generate_anchors(), case["default"])
    for k in range(4):
        given = [case["g%d.%s" % (k, name)] for name in ("base_size", "ratios", "scales")]
        assert np.array_equal(generate_anchors(int(given[0]), *given[1:]), case["g%d.anchors" % k])


@pytest.mark.parametrize("name", "abcd")
def test_anchor_targets_are_the_originals(name):
    case = lib_case("c8_anchor_targets.npz")
    want = [case["%s.%s" % (name, top)] for top in TARGET_TOPS]
    np.random.seed(int(case[name + ".seed"]))
    with settings(with_types(ANCHOR_KEYS, case[name + ".cfg"])):
        got = anchor_targets(case[name + ".hw"], case[name + ".gt_boxes"], case[name + ".im_info"],
                             str(case[name + ".param_str"]), want[1].shape[1] // 2)
    assert np.array_equal(got[0], want[0])
    for ours, theirs in zip(got[1:], want[1:]):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.array_equal(np.random.rand(3), case[name + ".rng_after"])


@pytest.mark.parametrize("name", ["test38x50", "train19x25", "small_n", "scales", "stride8"])
def test_proposals_are_the_originals(name):
    case = lib_case("c8_proposals.npz")
    side = str(case[name + ".phase"])
    with settings(with_types(PROPOSAL_KEYS, case[name + ".cfg"], side)):
        rois, scores = proposals(case[name + ".rpn_fg_prob"], case[name + ".rpn_bbox_pred"], case[name + ".im_info"],
                                 str(case[name + ".param_str"]), getattr(caffe, side))
    assert np.array_equal(scores, case[name + ".scores"])
    np.testing.assert_allclose(rois, case[name + ".rois"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["a", "b", "c", "few"])
def test_proposal_targets_are_the_originals(name):
    case = lib_case("c8_proposal_targets.npz")
    keys = ("BATCH_SIZE", "FG_FRACTION", "FG_THRESH", "BG_THRESH_HI", "BG_THRESH_LO", "BBOX_NORMALIZE_TARGETS_PRECOMPUTED")
    values = case[name + ".cfg"].tolist()
    changes = {"TRAIN." + key: value for key, value in zip(keys, [int(values[0]), *values[1:5], bool(values[5])])}
    np.random.seed(int(case[name + ".seed"]))
    with settings(changes):
        got = proposal_targets(case[name + ".in_rois"], case[name + ".gt_boxes"])
    for ours, top in zip(got, ("rois",) + TARGET_TOPS):
        np.testing.assert_allclose(ours, case["%s.%s" % (name, top)], rtol=0, atol=1e-5)
    assert np.array_equal(np.random.rand(3), case[name + ".rng_after"])


# ---- corners

def test_param_str_of_old_prototxts_is_read():
    """The fork's layers find their settings in param_str_; ours fill both names."""
    net = layer_net("rpn.proposal_layer", "ProposalLayer", {"prob": np.zeros((1, 18, 2, 2)), "deltas": np.zeros((1, 36, 2, 2)),
                                                            "im_info": np.zeros((1, 3))}, ("rois",), "'feat_stride': 16", caffe.TEST)
    layer = net.layers[-1]
    assert layer.param_str_ == "'feat_stride': 16"
    del layer.param_str
    layer.setup([net.blobs[name] for name in ("prob", "deltas", "im_info")], [net.blobs["rois"]])


@pytest.mark.parametrize("module, class_name, channels, param_str, words", [
    ("rpn.proposal_layer", "ProposalLayer", 18, "'stride': 16", "param_str must be like 'feat_stride': 16"),
    ("rpn.proposal_layer", "ProposalLayer", 24, "'feat_stride': 16", "24 channels, expected 18 for the 9 anchors"),
    ("rpn.anchor_target_layer", "AnchorTargetLayer", 18, "{'feat_stride': 16, 'scales': [2, 4]}", "expected 12 for the 6"),
    ("rpn.proposal_target_layer", "ProposalTargetLayer", 18, "21", "param_str must be like 'num_classes': 21"),
    ("rpn.proposal_target_layer", "ProposalTargetLayer", 18, "'num_classes': 0", "num_classes in param_str is 0; expected"),
    ("rpn.proposal_layer", "ProposalLayer", 18, "'feat_stride': 0", "feat_stride in param_str is 0; expected a number above 0"),
    ("rpn.proposal_layer", "ProposalLayer", 18, "'feat_stride': .nan", "feat_stride in param_str is nan"),
    ("rpn.anchor_target_layer", "AnchorTargetLayer", 18, "{'feat_stride': 16, 'scales': [8, 16, -32]}", "scales in param_str"),
    ("rpn.anchor_target_layer", "AnchorTargetLayer", 18, "{'feat_stride': 16, 'scales': 8}", "expected a list of numbers"),
    ("rpn.anchor_target_layer", "AnchorTargetLayer", 18, "{'feat_stride': 16, 'allowed_border': no}", "allowed_border in"),
])
def test_mistakes_in_a_prototxt_are_named(module, class_name, channels, param_str, words):
    bottoms = {"a": np.zeros((1, channels, 2, 2)), "b": np.zeros((1, 2 * channels, 2, 2)), "c": np.zeros((1, 3))}
    with pytest.raises((UserError, caffe.CaffeError), match=words):
        layer_net(module, class_name, bottoms, TARGET_TOPS, param_str, caffe.TRAIN)


def test_an_image_smaller_than_every_anchor_has_no_targets():
    """The original takes the argmax of nothing there."""
    labels, targets, inside, outside = anchor_targets((2, 2), [[0, 0, 9, 9, 1]], [[32, 32, 1]], "'feat_stride': 16", 18)
    assert (labels == -1).all() and not targets.any() and not inside.any() and not outside.any()


def test_an_image_without_objects_is_all_background():
    with settings(RPN):
        labels, targets, inside, outside = anchor_targets((10, 10), np.zeros((0, 5)), [[40, 40, 1]], SMALL, 6)
    assert (labels == 1).sum() == 0 and (labels == 0).sum() == 16
    assert not targets.any() and not inside.any() and outside.sum() == pytest.approx(4)


def test_an_object_no_anchor_touches_makes_no_positives():
    """The original: all anchors tie for its best overlap, 0, and are all called objects."""
    assert label_anchors(np.zeros((4, 1)), 0.3, 0.7, False).tolist() == [0, 0, 0, 0]
    overlaps = np.array([[0.2, 0.0], [0.5, 0.0], [0.71, 0.1], [0.71, 0.0]])
    assert label_anchors(overlaps, 0.3, 0.7, False).tolist() == [0, -1, 1, 1]


def test_clobbered_positives_are_background():
    overlaps = np.array([[0.2], [0.1]])
    assert label_anchors(overlaps, 0.3, 0.7, False).tolist() == [1, 0]
    assert label_anchors(overlaps, 0.3, 0.7, True).tolist() == [0, 0]


def test_weights_without_positives():
    inside, outside = loss_weights(np.array([0, 0, -1], np.float32), (1, 1, 1, 1), 0.6)
    assert not inside.any() and outside[:, 0].tolist() == pytest.approx([0.2, 0.2, 0])


def test_each_image_of_a_batch_has_its_own_targets():
    gt = np.array([[2, 2, 17, 17, 1]])
    alone = [anchor_targets((10, 10), boxes, [info], SMALL, 6)
             for boxes, info in ((gt, (40, 40, 1)), (gt + [[8, 4, 8, 4, 0]], (36, 32, 1)))]
    both = np.vstack([np.append(gt, [[0]], axis=1), np.append(gt + [[8, 4, 8, 4, 0]], [[1]], axis=1)])
    together = anchor_targets((10, 10), both, [(40, 40, 1), (36, 32, 1)], SMALL, 6, images=2)
    for top, parts in zip(together, zip(*alone)):
        assert np.array_equal(top, np.concatenate(parts))


def test_proposals_of_a_batch_are_those_of_its_images():
    rng = np.random.default_rng(0)
    prob, deltas = rng.random((2, 3, 10, 10), np.float32), rng.normal(0, 0.2, (2, 12, 10, 10)).astype(np.float32)
    info = np.array([[40, 40, 1], [30, 36, 1]])
    with settings({**RPN, "TEST.RPN_POST_NMS_TOP_N": 20}):
        rois, scores = proposals(prob, deltas, info, SMALL)
        for i in range(2):
            alone, alone_scores = proposals(prob[i:i + 1], deltas[i:i + 1], info[i:i + 1], SMALL)
            assert np.array_equal(rois[rois[:, 0] == i, 1:], alone[:, 1:]) and len(alone) == 20
            assert np.array_equal(scores[rois[:, 0] == i], alone_scores)


def test_no_proposal_is_large_enough():
    with settings({"TEST.RPN_MIN_SIZE": 100}):
        rois, scores = proposals(np.full((1, 3, 4, 4), 0.5, np.float32), np.zeros((1, 12, 4, 4), np.float32), [[16, 16, 1]], SMALL)
    assert rois.shape == (0, 5) and scores.shape == (0, 1)


def test_proposals_against_a_naive_search():
    """The same from a plain loop: best score first, the later row on ties, dropped at IoU >= thresh."""
    rng = np.random.default_rng(1)
    anchors = shifted_anchors(generate_anchors(scales=[1]), 6, 7, 4)
    scores, deltas = rng.integers(0, 9, (3, 6, 7)).astype(np.float32), np.zeros((12, 6, 7), np.float32)
    boxes, kept_scores = propose(scores, deltas, anchors, (24, 28, 1), 4, 50, 12, 0.5)
    ends = np.array([27, 23, 27, 23])
    moved = np.clip(anchors + [0, 0, 1, 1], 0, ends)             # zero deltas grow a box by a pixel
    rows = [(scores[a, y, x], (y * 7 + x) * 3 + a) for a in range(3) for y in range(6) for x in range(7)]
    rows = sorted((row for row in rows if min(moved[row[1], 2:] - moved[row[1], :2] + 1) >= 4), reverse=True)
    kept = []
    for score, row in rows[:50]:
        box = moved[row]
        if all(overlap(box, other) < 0.5 for _, other in kept):
            kept.append((score, box))
    assert np.array_equal(boxes, [box for _, box in kept[:12]])
    assert kept_scores.tolist() == [score for score, _ in kept[:12]]


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    areas = [(x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)]
    return max(w, 0) * max(h, 0) / (sum(areas) - max(w, 0) * max(h, 0))


def test_no_objects_and_no_proposals_give_no_rois():
    rois, labels, *rest = proposal_targets(np.zeros((0, 5)), np.zeros((0, 5)))
    assert rois.shape == (0, 5) and labels.shape == (0,) and [a.shape for a in rest] == [(0, 84)] * 3


def test_proposals_without_objects_are_background():
    rois, labels, targets, inside, _ = with_low(0.0, np.column_stack([np.zeros(5), np.tile([0, 0, 9, 9], (5, 1))]), np.zeros((0, 5)))
    assert len(rois) == 5 and not labels.any() and not targets.any() and not inside.any()


def with_low(low, rois, gt_boxes, **changes):
    with settings({"TRAIN.BG_THRESH_LO": low, **{"TRAIN." + key: value for key, value in changes.items()}}):
        return proposal_targets(rois, gt_boxes)


def test_mining_gets_every_proposal_and_object_foreground_first():
    rois = np.array([[0, 40, 40, 59, 59], [0, 0, 0, 19, 18], [0, 0, 0, 5, 5]])
    got, labels, targets, *_ = with_low(0.0, rois, [[0, 0, 19, 19, 3]], USE_OHEM=True, BATCH_SIZE=2)
    assert got[:, 1:].tolist() == [[0, 0, 19, 18], [0, 0, 19, 19], [40, 40, 59, 59], [0, 0, 5, 5]]
    assert labels.tolist() == [3, 3, 0, 0] and targets[0, 12:16].any() and not targets[1].any()


def test_warm_up_gives_a_sample_until_its_iterations_are_done():
    rois = np.array([[0, i, i, i + 19, i + 19] for i in range(0, 200, 5)])
    bottoms = {"rpn_rois": rois.astype(np.float32), "gt_boxes": np.array([[0, 0, 19, 19, 3]], np.float32)}
    changes = {"TRAIN.USE_OHEM": True, "TRAIN.BATCH_SIZE": 8, "TRAIN.BG_THRESH_LO": 0.0, "TRAIN.OHEM_WARMUP_ITERS": 3}
    with settings(changes):
        net = layer_net("rpn.proposal_target_layer", "ProposalTargetLayer", bottoms, ("rois",) + TARGET_TOPS,
                        "'num_classes': 21", caffe.TRAIN)
        counts = []
        for iteration in (0, 2, 3):
            net.layers[-1].set_iteration(iteration)
            net.forward(**bottoms)
            counts.append(len(net.blobs["rois"].data))
    assert counts == [8, 8, 41]


def test_rois_of_a_batch_are_shared_out_among_its_images():
    rois = [[i, k, k, k + 19, k + 19] for i in (0, 1) for k in range(0, 100, 5)]
    got, labels, *_ = with_low(0.0, rois, [[0, 0, 19, 19, 3, 0], [40, 40, 59, 59, 5, 1]], BATCH_SIZE=16, FG_FRACTION=0.5)
    assert (got[:, 0] == 0).sum() == (got[:, 0] == 1).sum() == 8
    assert set(labels[got[:, 0] == 0]) == {0, 3} and set(labels[got[:, 0] == 1]) == {0, 5}


@pytest.mark.parametrize("phase, name", [(0, "TRAIN"), (1, "TEST"), ("TEST", "TEST"), (caffe.TRAIN, "TRAIN")])
def test_a_phase_may_be_a_number_or_text(phase, name):
    assert phase_of(SimpleNamespace(phase=phase)) == name
