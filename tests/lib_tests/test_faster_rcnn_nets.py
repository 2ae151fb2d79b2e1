"""The Faster R-CNN nets of models/: published weights load, both losses teach the trunk, training resumes exactly."""
import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from fast_rcnn.prototxt import find_bbox_pred, read_net, set_num_classes
from fast_rcnn.test import im_detect
from fast_rcnn.train import SolverWrapper, check_rpn_settings, train_net
from google.protobuf import text_format
from rpn.generate import im_proposals
from support.nets import net_from_text
from support.reference import ROOT
from support.roidbs import random_entries
from support.settings import settings
from utils.errors import UserError

VOC, DIGITS = ROOT / "models" / "pascal_voc", ROOT / "models" / "digits" / "DigitNet"
# py-faster-rcnn's layers with weights (name, output channels, input numbers of one output), of its alternating nets.
ZF = [("conv1", 96, (3, 7, 7)), ("conv2", 256, (96, 5, 5)), ("conv3", 384, (256, 3, 3)), ("conv4", 384, (384, 3, 3)),
      ("conv5", 256, (384, 3, 3)), ("rpn_conv1", 256, (256, 3, 3)), ("rpn_cls_score", 18, (256, 1, 1)),
      ("rpn_bbox_pred", 36, (256, 1, 1)), ("fc6", 4096, (9216,)), ("fc7", 4096, (4096,)), ("cls_score", 21, (4096,)),
      ("bbox_pred", 84, (4096,))]
VGG16_WIDTHS = {1: (3, 64, 64), 2: (64, 128, 128), 3: (128, 256, 256, 256), 4: (256, 512, 512, 512), 5: (512, 512, 512, 512)}
VGG16 = [("conv%d_%d" % (block, i + 1), widths[i + 1], (widths[i], 3, 3))
         for block, widths in VGG16_WIDTHS.items() for i in range(len(widths) - 1)] + [
    ("rpn_conv/3x3", 512, (512, 3, 3)), ("rpn_cls_score", 18, (512, 1, 1)), ("rpn_bbox_pred", 36, (512, 1, 1)),
    ("fc6", 4096, (25088,)), ("fc7", 4096, (4096,)), ("cls_score", 21, (4096,)), ("bbox_pred", 84, (4096,))]
END_TO_END = {"TRAIN.HAS_RPN": True, "TRAIN.IMS_PER_BATCH": 1, "TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED": True,
              "TRAIN.BG_THRESH_LO": 0.0, "TRAIN.SCALES": (48,), "TRAIN.MAX_SIZE": 96, "TRAIN.BATCH_SIZE": 8,
              "TRAIN.RPN_MIN_SIZE": 4, "TRAIN.RPN_BATCHSIZE": 16, "TRAIN.RPN_POST_NMS_TOP_N": 30, "TRAIN.USE_OHEM": False}
OHEM = {**END_TO_END, "TRAIN.USE_OHEM": True, "TRAIN.OHEM_WARMUP_ITERS": 3}


def shapes_of(net):
    return {name: [tuple(blob.shape) for blob in blobs] for name, blobs in net.params.items()}


@pytest.mark.parametrize("folder, published", [
    ("ZF/faster_rcnn_alt_opt/faster_rcnn_test.pt", ZF), ("VGG16/faster_rcnn_alt_opt/faster_rcnn_test.pt", VGG16),
    ("VGG16/faster_rcnn_end2end/test.prototxt", VGG16),
    ("ZF/faster_rcnn_end2end/test.prototxt", [("rpn_conv/3x3" if name == "rpn_conv1" else name, *rest) for name, *rest in ZF])])
def test_nets_have_the_published_layers(folder, published):
    net = read_net(VOC / folder)
    for layer in net.layer:     # a net without its big matrices, whose shapes follow from what is left
        layer.inner_product_param.ClearField("weight_filler")
    assert shapes_of(caffe.Net(net, caffe.TEST)) == {name: [(out, *inner), (out,)] for name, out, inner in published}


def test_published_weights_of_zf_load(tmp_path):
    path, layers = str(tmp_path / "ZF_faster_rcnn_final.caffemodel"), []
    for name, out, inner in ZF:
        body = ("convolution_param { num_output: %d kernel_size: %d }" % (out, inner[1]) if len(inner) == 3
                else "inner_product_param { num_output: %d }" % out)
        layers.append('layer { name: "in_%s" type: "Input" top: "in_%s" input_param { shape { dim: 1 %s } } } '
                      'layer { name: "%s" type: "%s" bottom: "in_%s" top: "out_%s" %s }'
                      % (name, name, " ".join("dim: %d" % d for d in inner), name,
                         "Convolution" if len(inner) == 3 else "InnerProduct", name, name, body))
    written = net_from_text(" ".join(layers))
    for k, (weights, bias) in enumerate(written.params.values()):
        weights.data[...] = k + 1
        bias.data[...] = np.arange(bias.count)
    written.save(path)
    read = caffe.Net(str(VOC / "ZF/faster_rcnn_alt_opt/faster_rcnn_test.pt"), path, caffe.TEST)
    for name, (weights, bias) in written.params.items():
        assert (read.params[name][0].data == weights.data.flat[0]).all()
        assert np.array_equal(read.params[name][1].data, np.arange(bias.count))


def test_dropout_of_zf_scales_at_test_as_its_weights_expect():
    net = read_net(VOC / "ZF/faster_rcnn_alt_opt/faster_rcnn_test.pt")
    assert [layer.dropout_param.scale_train for layer in net.layer if layer.type == "Dropout"] == [False, False]


@pytest.mark.parametrize("net", ["VGG16", "SqueezeNet"])
@pytest.mark.parametrize("method", ["faster_rcnn_alt_opt", "faster_rcnn_alt_opt_ohem"])
def test_second_stages_learn_one_half_and_carry_the_other_on(net, method):
    own = {"fast_rcnn": {"fc6", "fc7", "cls_score", "bbox_pred"}, "rpn": {"rpn_conv/3x3", "rpn_cls_score", "rpn_bbox_pred"}}
    for kind in own:
        layers = read_net(VOC / net / method / ("stage2_%s_train.pt" % kind)).layer
        learning = {layer.name for layer in layers if any(param.lr_mult and param.HasField("lr_mult") for param in layer.param)}
        assert learning == own[kind]
        assert {layer.name for layer in layers} >= {"rpn_cls_score", "rpn_bbox_pred", "fc6", "fc7"}


def solver_of(folder, method, num_classes=3):
    """A copy of DigitNet's solver and train net, for num_classes classes, that displays every iteration."""
    net = read_net(DIGITS / method / "train.prototxt")
    set_num_classes(net, num_classes)
    (folder / "train.prototxt").write_text(text_format.MessageToString(net))
    (folder / "solver.prototxt").write_text('train_net: "%s" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 display: 1 '
                                            'iter_size: 2 snapshot_prefix: "digit"' % (folder / "train.prototxt"))
    return str(folder / "solver.prototxt")


def train(folder, method, iters, resume=None, **changes):
    folder.mkdir(exist_ok=True)
    caffe.set_random_seed(3)
    np.random.seed(3)
    with settings({**(OHEM if method.endswith("ohem") else END_TO_END), **changes}):
        return train_net(solver_of(folder, method), random_entries(folder, 3), folder / "output", None, iters, resume)[-1]


def layers_of(caffemodel):
    net = caffe_pb2.NetParameter()
    with open(caffemodel, "rb") as f:
        net.ParseFromString(f.read())
    return {layer.name: [np.array(blob.data) for blob in layer.blobs] for layer in net.layer if layer.blobs}


@pytest.mark.parametrize("method, at", [("faster_rcnn_end2end", 2), ("faster_rcnn_end2end_ohem", 2), ("faster_rcnn_end2end_ohem", 4)])
def test_end_to_end_training_resumes_bit_for_bit(tmp_path, method, at):
    """Before and after the warm-up of 3 iterations has ended."""
    whole = layers_of(train(tmp_path / "whole", method, 5))
    part = train(tmp_path / "part", method, at)
    resumed = layers_of(train(tmp_path / "part", method, 5, resume=part.replace(".caffemodel", ".solverstate")))
    assert whole.keys() == resumed.keys() and {"rpn_cls_score", "fc6", "bbox_pred"} <= whole.keys()
    assert all(np.array_equal(a, b) for name in whole for a, b in zip(whole[name], resumed[name]))


def test_mining_starts_when_the_warm_up_is_over(tmp_path):
    """Without one the very first step differs; with one it is that of plain sampling."""
    first = {warm_up: layers_of(train(tmp_path / str(warm_up), "faster_rcnn_end2end_ohem", 1, **{"TRAIN.OHEM_WARMUP_ITERS": warm_up}))
             for warm_up in (0, 1)}
    plain = layers_of(train(tmp_path / "plain", "faster_rcnn_end2end", 1))
    differ = {warm_up: max(np.abs(a - b).max() for a, b in zip(layers["cls_score"], plain["cls_score"]))
              for warm_up, layers in first.items()}
    assert differ[1] == 0 < differ[0]


def test_snapshots_predict_boxes_in_pixels(tmp_path):
    """Un-normalised by BBOX_NORMALIZE_STDS, in place of statistics that no roidb has."""
    with settings(END_TO_END):
        wrapper = SolverWrapper(solver_of(tmp_path, "faster_rcnn_end2end"), random_entries(tmp_path, 3), tmp_path / "output")
        raw = wrapper.solver.net.params["bbox_pred"][0].data.copy()
        saved = layers_of(wrapper.snapshot())["bbox_pred"][0].reshape(raw.shape)
    np.testing.assert_allclose(saved, raw * np.tile([0.1, 0.1, 0.2, 0.2], 3)[:, None], rtol=1e-6)


def test_both_networks_teach_the_trunk(tmp_path):
    """conv3 gets a gradient from the RPN's losses alone and from the RoI network's alone."""
    with settings(OHEM):
        wrapper = SolverWrapper(solver_of(tmp_path, "faster_rcnn_end2end_ohem"), random_entries(tmp_path, 3), tmp_path / "output")
        net = wrapper.solver.net
        net.forward()
        for names in (("rpn_cls_loss", "rpn_loss_bbox"), ("loss_cls", "loss_bbox")):
            net.clear_param_diffs()
            for name in ("rpn_cls_loss", "rpn_loss_bbox", "loss_cls", "loss_bbox"):
                net.blobs[name].diff[...] = name in names
            net.backward()
            assert np.abs(net.params["conv3"][0].diff).max() > 0
            assert (np.abs(net.params["rpn_cls_score"][0].diff).max() > 0) == ("rpn_cls_loss" in names)
            assert (np.abs(net.params["cls_score"][0].diff).max() > 0) == ("loss_cls" in names)


def test_py_faster_rcnns_own_prototxt_learns_the_same(tmp_path):
    """It stops no gradient at the proposals: the Python layers are asked for one, and give none."""
    grads = []
    for folder, as_published in ((tmp_path / "ours", False), (tmp_path / "theirs", True)):
        folder.mkdir()
        caffe.set_random_seed(3)
        np.random.seed(3)
        with settings(END_TO_END):
            solver = solver_of(folder, "faster_rcnn_end2end")
            net = read_net(folder / "train.prototxt")
            for layer in net.layer if as_published else []:
                if layer.type != "SoftmaxWithLoss":
                    layer.ClearField("propagate_down")
            (folder / "train.prototxt").write_text(text_format.MessageToString(net))
            wrapper = SolverWrapper(solver, random_entries(folder, 3), folder / "output")
            wrapper.solver.net.forward()
            wrapper.solver.net.backward()
            grads.append({name: blobs[0].diff.copy() for name, blobs in wrapper.solver.net.params.items()})
    assert grads[0].keys() == grads[1].keys() and all(grads[0][name].any() for name in ("conv2", "rpn_cls_score", "fc6"))
    for name in grads[0]:
        np.testing.assert_allclose(grads[1][name], grads[0][name], rtol=1e-5, atol=1e-7 * np.abs(grads[0][name]).max())


def test_two_images_at_a_time(tmp_path):
    """Anchors, proposals and RoIs of each image by themselves; the last minibatch of an epoch has one image."""
    with settings({**OHEM, "TRAIN.IMS_PER_BATCH": 2, "TRAIN.OHEM_WARMUP_ITERS": 0}):
        wrapper = SolverWrapper(solver_of(tmp_path, "faster_rcnn_end2end_ohem"), random_entries(tmp_path, 3), tmp_path / "output")
        net = wrapper.solver.net
        net.forward()
        info, gt_boxes, rois = (net.blobs[name].data.copy() for name in ("im_info", "gt_boxes", "rois"))
        assert info.shape == (2, 3) and gt_boxes.shape == (2, 6) and gt_boxes[:, 5].tolist() == [0, 1]
        assert (info[:, :2].max(axis=0) == net.blobs["data"].shape[2:]).all()
        for i in range(2):
            of_image = rois[rois[:, 0] == i, 1:]
            assert len(of_image) > 1 and (of_image[:, 2:].max(axis=0) <= info[i, 1::-1] - 1).all()
        net.backward()
        net.forward()
        assert net.blobs["im_info"].shape[0] == 1 and set(net.blobs["rois"].data[:, 0]) == {0}


@pytest.mark.parametrize("num_classes", [3, 9])
def test_the_box_predictor_is_not_that_of_the_anchors(num_classes):
    """With 9 classes both have 36 outputs."""
    net = read_net(VOC / "VGG16/faster_rcnn_end2end/train.prototxt")
    set_num_classes(net, num_classes)
    assert find_bbox_pred(net, 4 * num_classes) == "bbox_pred"


@pytest.mark.parametrize("method, changes, words", [
    ("faster_rcnn_end2end", {"TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED": False}, "BBOX_NORMALIZE_TARGETS_PRECOMPUTED True"),
    ("faster_rcnn_end2end", {"TRAIN.BBOX_REG": False}, "BBOX_REG True"),
    ("faster_rcnn_end2end", {"TRAIN.OHEM_WARMUP_ITERS": 5}, "does not mine its own proposals"),
    ("fast_rcnn_ohem", {"TRAIN.USE_OHEM": True, "TRAIN.OHEM_WARMUP_ITERS": 5}, "does not mine its own proposals")])
def test_settings_that_contradict_the_net(method, changes, words):
    with settings({**END_TO_END, **changes}), pytest.raises(UserError, match=words):
        check_rpn_settings(read_net(DIGITS / method / "train.prototxt"))


@pytest.fixture
def small_test():
    with settings({"TEST.HAS_RPN": True, "TEST.SCALES": (48,), "TEST.MAX_SIZE": 96, "TEST.RPN_MIN_SIZE": 4}):
        yield


def test_detection_without_a_proposal_has_no_rows(small_test):
    net = caffe.Net(str(DIGITS / "faster_rcnn_end2end" / "test.prototxt"), caffe.TEST)
    im = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    scores, boxes = im_detect(net, im)
    assert 0 < len(scores) == len(boxes) <= 300 and scores.shape[1] == 11
    with settings({"TEST.RPN_MIN_SIZE": 1000}):
        scores, boxes = im_detect(net, im)
    assert scores.shape == (0, 11) and boxes.shape == (0, 44)


def test_proposals_are_in_pixels_of_the_image(small_test):
    """At half the size the same proposals: the net sees the image at 48 pixels either way."""
    net = caffe.Net(str(DIGITS / "faster_rcnn_alt_opt" / "rpn_test.pt"), caffe.TEST)
    im = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (48, 60, 3), np.uint8), 2, axis=0), 2, axis=1)
    with settings({"TEST.RPN_MIN_SIZE": 0}):
        (large, scores), (small, same) = im_proposals(net, im), im_proposals(net, im[::2, ::2])
    assert np.array_equal(scores, same) and (np.diff(scores) <= 0).all()
    last = np.array([59, 47, 59, 47])       # of the small image; twice that is one less than the large one's last pixel
    np.testing.assert_allclose(np.minimum(large, 2 * last), 2 * small, atol=1e-3)
    assert large[:, 2].max() > 60 >= small[:, 2].max()
