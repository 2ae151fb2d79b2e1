"""The R-FCN nets of models/: published layers, mining by the annotator, boxes that all classes share."""
import csv

import caffe
import numpy as np
import pytest
from fast_rcnn.prototxt import find_bbox_pred, read_net, set_num_classes
from fast_rcnn.test import im_detect
from fast_rcnn.train import SolverWrapper, check_rpn_settings, check_settings
from google.protobuf import text_format
from support.reference import ROOT
from support.roidbs import random_entries
from support.settings import settings
from utils.errors import UserError

RESNET, DIGITS = ROOT / "models" / "pascal_voc" / "ResNet-50", ROOT / "models" / "digits" / "DigitNet"
PARTS = 9       # of DigitNet's score maps
PLAIN = {"TRAIN.HAS_RPN": True, "TRAIN.AGNOSTIC": True, "TRAIN.IMS_PER_BATCH": 1, "TRAIN.BG_THRESH_LO": 0.0,
         "TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED": True, "TRAIN.SCALES": (48,), "TRAIN.MAX_SIZE": 96,
         "TRAIN.BATCH_SIZE": 8, "TRAIN.RPN_MIN_SIZE": 4, "TRAIN.RPN_BATCHSIZE": 16, "TRAIN.RPN_POST_NMS_TOP_N": 30}
SETTINGS = {"rfcn_end2end": PLAIN, "rfcn_end2end_ohem": {**PLAIN, "TRAIN.USE_OHEM": True}}


@pytest.fixture(params=SETTINGS)
def method(request):
    with settings(SETTINGS[request.param]):
        yield request.param


def wrapper_of(folder, method, num_classes=3):
    """DigitNet's train net for num_classes classes; mining keeps the 5 hardest RoIs."""
    net = read_net(DIGITS / method / "train.prototxt")
    set_num_classes(net, num_classes)
    text = text_format.MessageToString(net).replace("roi_per_img: 128", "roi_per_img: 5")
    (folder / "train.prototxt").write_text(text)
    (folder / "solver.prototxt").write_text('train_net: "%s" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 display: 1 '
                                            'snapshot_prefix: "digit"' % (folder / "train.prototxt"))
    caffe.set_random_seed(3)
    np.random.seed(3)
    entries = random_entries(folder, 3, num_classes)
    return SolverWrapper(str(folder / "solver.prototxt"), entries, folder / "output")


def test_resnet50_has_the_published_layers():
    """Shapes of py-R-FCN's class-agnostic net; the stride stays 16 to the end, by holes in res5."""
    net = caffe.Net(str(RESNET / "rfcn_end2end_ohem" / "test.prototxt"), caffe.TEST)
    shapes = {name: [tuple(blob.shape) for blob in blobs] for name, blobs in net.params.items()}
    assert shapes["conv1"] == [(64, 3, 7, 7), (64,)] and shapes["scale_conv1"] == [(64,), (64,)]
    assert shapes["res2a_branch1"] == [(256, 64, 1, 1)] and shapes["bn5c_branch2c"] == [(2048,), (2048,), (1,)]
    assert shapes["res4f_branch2b"] == [(256, 256, 3, 3)] and shapes["res5a_branch1"] == [(2048, 1024, 1, 1)]
    assert shapes["rpn_conv/3x3"] == [(512, 1024, 3, 3), (512,)]
    assert shapes["conv_new_1"] == [(1024, 2048, 1, 1), (1024,)]
    assert shapes["rfcn_cls"] == [(1029, 1024, 1, 1), (1029,)] and shapes["rfcn_bbox"] == [(392, 1024, 1, 1), (392,)]
    assert sum(name.startswith("res") for name in shapes) == 52 and len(shapes) == 53 * 3 + 6
    assert net.blobs["res4f"].shape[2:] == net.blobs["res5c"].shape[2:] == (14, 14)


def test_resnet50_learns_from_res3_on():
    net = read_net(RESNET / "rfcn_end2end_ohem" / "train.prototxt")
    frozen = {layer.name for layer in net.layer if layer.param and not any(p.lr_mult for p in layer.param)}
    assert {"conv1", "res2a_branch1", "res2c_branch2c", "bn5c_branch2c", "scale5c_branch2c"} <= frozen
    assert not {"res3a_branch1", "res5c_branch2c", "conv_new_1", "rfcn_cls"} & frozen


def test_both_networks_teach_the_trunk(tmp_path, method):
    net = wrapper_of(tmp_path, method).solver.net
    losses = ("rpn_cls_loss", "rpn_loss_bbox", "loss_cls", "loss_bbox")
    net.forward()
    for name in losses:
        net.clear_param_diffs()
        for other in losses:
            net.blobs[other].diff[...] = other == name
        net.backward()
        assert np.abs(net.params["conv3"][0].diff).max() > 0
        assert (np.abs(net.params["rpn_cls_score"][0].diff).max() > 0) == (name == "rpn_cls_loss")
        assert (np.abs(net.params["rfcn_cls"][0].diff).max() > 0) == (name == "loss_cls")
        assert (np.abs(net.params["rfcn_bbox"][0].diff).max() > 0) == (name == "loss_bbox")


def test_the_hardest_rois_learn(tmp_path):
    with settings(SETTINGS["rfcn_end2end_ohem"]):
        net = wrapper_of(tmp_path, "rfcn_end2end_ohem").solver.net
        net.forward()
    loss, labels, kept = (net.blobs[name].data.ravel() for name in ("per_roi_loss", "labels", "labels_ohem"))
    assert len(loss) > 20 and set(np.flatnonzero(kept != -1)) == set(np.argsort(-loss, kind="stable")[:5])
    assert (kept[kept != -1] == labels[kept != -1]).all()
    scores = net.blobs["cls_score"].data.reshape(len(loss), 3)
    scores = scores - scores.max(axis=1, keepdims=True)
    cross_entropy = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(loss)), labels.astype(int)]
    assert net.blobs["loss_cls"].data == pytest.approx(cross_entropy[kept != -1].mean(), rel=1e-5)


def test_what_was_mined_is_in_the_log(tmp_path):
    with settings(SETTINGS["rfcn_end2end_ohem"]):
        wrapper = wrapper_of(tmp_path, "rfcn_end2end_ohem")
        wrapper.train_model(1)
    net = wrapper.solver.net
    loss, labels, kept = (net.blobs[name].data.ravel() for name in ("per_roi_loss", "labels", "labels_ohem"))
    with open(tmp_path / "output" / "metrics.csv", encoding="utf-8") as f:
        row, = csv.DictReader(f)
    assert float(row["mean_loss_all"]) == pytest.approx(loss.mean(), rel=1e-4)
    assert float(row["mean_loss_hard"]) == pytest.approx(np.sort(loss)[-5:].mean(), rel=1e-4)
    assert float(row["hard_fg"]) == (kept > 0).sum()
    assert 0 <= float(row["hard_gt"]) <= float(row["hard_fg"])


def test_all_classes_share_their_boxes(tmp_path, method):
    net = wrapper_of(tmp_path, method).solver.net
    net.forward()
    labels, weights = net.blobs["labels"].data.ravel(), net.blobs["bbox_inside_weights"].data
    assert set(labels) >= {0, 1} or set(labels) >= {0, 2}
    assert weights.shape[1] == 8 and np.array_equal(weights, np.outer(labels > 0, [0, 0, 0, 0, 1, 1, 1, 1]))


def test_snapshots_predict_boxes_in_pixels(tmp_path, method):
    """BBOX_NORMALIZE_STDS on the maps of all parts of a number."""
    wrapper = wrapper_of(tmp_path, method)
    raw = [blob.data.copy() for blob in wrapper.solver.net.params["rfcn_bbox"]]
    path = wrapper.snapshot()
    assert all(np.array_equal(a, blob.data) for a, blob in zip(raw, wrapper.solver.net.params["rfcn_bbox"]))
    test_net = read_net(DIGITS / method / "test.prototxt")
    set_num_classes(test_net, 3)
    (tmp_path / "test.prototxt").write_text(text_format.MessageToString(test_net))
    saved = caffe.Net(str(tmp_path / "test.prototxt"), path, caffe.TEST).params["rfcn_bbox"][0].data
    stds = np.tile([0.1, 0.1, 0.2, 0.2], 2).repeat(PARTS)
    np.testing.assert_allclose(saved, raw[0] * stds[:, None, None, None], rtol=1e-6)


def test_nets_follow_the_class_count():
    train, test = (read_net(DIGITS / "rfcn_end2end" / ("%s.prototxt" % name)) for name in ("train", "test"))
    for net in (train, test):
        assert set_num_classes(net, 4) and not set_num_classes(net, 4)
        layers = {layer.name: layer for layer in net.layer}
        assert layers["rfcn_cls"].convolution_param.num_output == 4 * PARTS
        assert layers["psroipooled_cls_rois"].psroi_pooling_param.output_dim == 4
        assert layers["rfcn_bbox"].convolution_param.num_output == 8 * PARTS
    assert find_bbox_pred(train, 8) == "rfcn_bbox"


def test_the_published_reshape_follows_too():
    net = read_net(DIGITS / "rfcn_end2end" / "test.prototxt")
    reshape = next(layer for layer in net.layer if layer.name == "cls_prob_reshape").reshape_param.shape
    reshape.dim[:] = [-1, 21]
    set_num_classes(net, 4)
    assert list(reshape.dim) == [-1, 4]


def test_detections_have_one_box_for_all_classes():
    net = caffe.Net(str(DIGITS / "rfcn_end2end" / "test.prototxt"), caffe.TEST)
    for blob in net.params["rfcn_bbox"]:
        blob.data[...] = np.random.default_rng(0).normal(0, 0.2, blob.shape)
    im = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    with settings({"TEST.HAS_RPN": True, "TEST.AGNOSTIC": True, "TEST.SCALES": (48,), "TEST.MAX_SIZE": 96,
                   "TEST.RPN_MIN_SIZE": 4}):
        scores, boxes = im_detect(net, im)
        rois = net.blobs["rois"].data[:, 1:] * 40 / 48
    assert scores.shape == (len(boxes), 11) and boxes.shape[1] == 44
    assert np.array_equal(boxes, np.tile(boxes[:, :4], 11)) and np.abs(boxes[:, :4] - rois).max() > 1


def test_a_net_that_mines_among_sampled_rois_is_told_of(capsys):
    with settings(PLAIN):
        check_settings(read_net(DIGITS / "rfcn_end2end_ohem" / "train.prototxt"))
    said = capsys.readouterr().out
    assert "mines (BoxAnnotatorOHEM), but TRAIN.USE_OHEM is False" in said and "rfcn_end2end_ohem.yml" in said


@pytest.mark.parametrize("net, changes, words", [
    ("rfcn_end2end", {"TRAIN.USE_OHEM": True}, "nothing would be mined"),
    ("fast_rcnn", {}, "ProposalTargetLayer")])
def test_settings_that_contradict_the_net(net, changes, words):
    net_param = read_net(DIGITS / net / "train.prototxt")
    with settings({**PLAIN, **changes}), pytest.raises(UserError, match=words):
        check_settings(net_param)
        check_rpn_settings(net_param)
