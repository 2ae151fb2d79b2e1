"""R-FCN's mining: losses per RoI, the choice of the hardest RoIs, and both in the net of the published prototxts."""
import numpy as np
import pytest
from caffe import TRAIN, CaffeError
from support.gradient import check_gradient
from support.nets import net_from_text
from support.one_layer import forward, forward_backward, make_layer

RANDOM = np.random.RandomState(0)
SCORES, LABELS = RANDOM.randn(6, 4, 1, 1), np.array([0, 3, 1, -1, 2, 0.0]).reshape(6, 1, 1, 1)
PRED, TARGET = RANDOM.randn(6, 8, 1, 1) * 2, RANDOM.randn(6, 8, 1, 1)
WEIGHTS = RANDOM.randint(0, 2, (6, 8, 1, 1)).astype(float)


def smooth(d):
    return np.where(abs(d) < 1, 0.5 * d * d, abs(d) - 0.5)


# ---- SoftmaxWithLossOHEM

def test_softmax_gives_the_loss_of_every_label():
    text = 'type: "SoftmaxWithLossOHEM" loss_param { ignore_label: -1 normalization: PRE_FIXED pre_fixed_normalizer: 4 }'
    loss, prob, each = forward(text, [SCORES, LABELS], tops=3)
    plain, plain_prob = forward(text.replace("OHEM", ""), [SCORES, LABELS], tops=2)
    assert each.shape == LABELS.shape and each[3] == 0 and loss == plain
    np.testing.assert_array_equal(prob, plain_prob)
    picked = np.take_along_axis(prob, np.maximum(LABELS, 0).astype(int), 1)
    np.testing.assert_allclose(each, -np.log(picked) * (LABELS >= 0), rtol=1e-6)
    np.testing.assert_allclose(loss, each.sum() / 4, rtol=1e-6)
    check_gradient(text, [SCORES, LABELS], tops=3, weights=[1, 0, 0])
    assert forward(text, [SCORES.reshape(6, 4), LABELS.ravel()], tops=3)[2].shape == (6, 1, 1, 1)    # adds to SmoothL1's


def test_softmax_without_rows():
    loss, prob, each = forward('type: "SoftmaxWithLossOHEM"', [np.zeros((0, 4)), np.zeros(0)], tops=3)
    assert loss == 0 and prob.shape == (0, 4) and each.shape == (0, 1, 1, 1)


# ---- SmoothL1LossOHEM

@pytest.mark.parametrize("settings, divisor", [("", 6), ("normalization: FULL", 6), ("normalization: NONE", 1),
                                               ("normalization: BATCH_SIZE", 6), ("normalize: false", 6),
                                               ("normalization: PRE_FIXED pre_fixed_normalizer: 128", 128)])
def test_smooth_l1_loss_and_its_rows(settings, divisor):
    text = 'type: "SmoothL1LossOHEM" loss_param { %s }' % settings
    loss, each = forward(text, [PRED, TARGET, WEIGHTS], tops=2)
    want = smooth(WEIGHTS * (PRED - TARGET)).sum(1, keepdims=True)
    assert each.shape == (6, 1, 1, 1)
    np.testing.assert_allclose(each, want, rtol=1e-5)
    np.testing.assert_allclose(loss, want.sum() / divisor, rtol=1e-5)
    check_gradient(text, [PRED, TARGET, WEIGHTS], tops=2, weights=[1, 0], check=[0, 1])


def test_smooth_l1_divides_by_the_places_of_a_map():
    pred, target = RANDOM.randn(2, 3, 4, 5), RANDOM.randn(2, 3, 4, 5)
    loss, each = forward('type: "SmoothL1LossOHEM"', [pred, target], tops=2)
    assert each.shape == (2, 1, 4, 5)
    np.testing.assert_allclose(loss, smooth(pred - target).sum() / 40, rtol=1e-5)
    batch = forward('type: "SmoothL1LossOHEM" loss_param { normalization: BATCH_SIZE }', [pred, target])[0]
    np.testing.assert_allclose(batch, loss * 20, rtol=1e-5)


def test_smooth_l1_takes_flat_rows_beside_maps_and_no_rows():
    flat = forward('type: "SmoothL1LossOHEM"', [PRED, TARGET.reshape(6, 8), WEIGHTS.reshape(6, 8)], tops=2)
    np.testing.assert_array_equal(flat[1], forward('type: "SmoothL1LossOHEM"', [PRED, TARGET, WEIGHTS], tops=2)[1])
    loss, each = forward('type: "SmoothL1LossOHEM"', [np.zeros((0, 8))] * 3, tops=2)
    assert loss == 0 and each.shape == (0, 1, 1, 1)
    _, (diff, _, _), _ = forward_backward('type: "SmoothL1LossOHEM"', [PRED, TARGET.reshape(6, 8), WEIGHTS],
                                          [np.float32(1)], propagate_down=[True, False, False])
    assert diff.shape == PRED.shape
    with pytest.raises(CaffeError, match="bottom 1 has shape"):
        forward('type: "SmoothL1LossOHEM"', [PRED, TARGET[:, :4]])


def test_smooth_l1_counts_unasked_and_weights_have_no_diff():
    layer, bottom, top = make_layer('type: "SmoothL1LossOHEM"', [PRED, TARGET, WEIGHTS])
    assert layer.is_loss
    layer.forward(bottom, top)
    with pytest.raises(CaffeError, match="bottom 2 holds labels"):
        layer.backward(top, [True, False, True], bottom)


# ---- BoxAnnotatorOHEM

ANNOTATOR = 'type: "BoxAnnotatorOHEM" box_annotator_ohem_param { roi_per_img: %d }'


def naive_choice(images, loss, count):
    kept = np.zeros(len(loss), bool)
    for image in set(images):
        rows = [i for i in range(len(loss)) if images[i] == image]
        kept[sorted(rows, key=lambda i: -loss[i])[:count]] = True       # sorted is stable: the first of equals
    return kept


@pytest.mark.parametrize("count", [1, 3, 7, 100])
@pytest.mark.parametrize("images", [1, 2, 5])
def test_annotator_keeps_the_hardest_of_each_image(images, count):
    rois = RANDOM.rand(40, 5) * 100
    rois[:, 0] = RANDOM.randint(0, images, 40)
    loss = RANDOM.randint(0, 8, 40) / 4                                 # many ties
    labels, weights = RANDOM.randint(0, 21, 40), RANDOM.rand(40, 8) + 0.5
    kept = naive_choice(rois[:, 0].astype(int), loss, count)
    got_labels, got_weights = forward(ANNOTATOR % count, [rois, loss, labels, weights], tops=2)
    assert got_labels.shape == (40, 1, 1, 1) and got_weights.shape == (40, 8, 1, 1)
    np.testing.assert_array_equal(got_labels.ravel(), np.where(kept, labels, -1))
    np.testing.assert_array_equal(got_weights[:, :, 0, 0], np.where(kept[:, None], weights, 0).astype(np.float32))


def test_annotator_ignores_with_its_own_label_and_takes_no_rois():
    text = 'type: "BoxAnnotatorOHEM" box_annotator_ohem_param { roi_per_img: 1 ignore_label: 255 }'
    labels, _ = forward(text, [np.zeros((2, 5)), [0.5, 1], [3, 4], np.ones((2, 8))], tops=2)
    assert labels.ravel().tolist() == [255, 4]
    labels, weights = forward(text, [np.zeros((0, 5)), np.zeros(0), np.zeros(0), np.zeros((0, 8))], tops=2)
    assert labels.shape == (0, 1, 1, 1) and weights.shape == (0, 8, 1, 1)


def test_annotator_passes_nothing_backward():
    diffs = forward_backward(ANNOTATOR % 1, [np.zeros((2, 5)), [0.5, 1], [3, 4], np.ones((2, 8))],
                             [np.ones((2, 1, 1, 1)), np.ones((2, 8, 1, 1))], propagate_down=[True] * 4)[1]
    assert not any(d.any() for d in diffs)


def test_annotator_mistakes():
    with pytest.raises(CaffeError, match="roi_per_img 0"):
        make_layer(ANNOTATOR % 0, [np.zeros((2, 5)), [0.5, 1], [3, 4], np.ones((2, 8))], tops=2)
    with pytest.raises(CaffeError, match=r"bottom 1 has shape \(3,\); expected \(N, 1\)"):
        make_layer(ANNOTATOR % 1, [np.zeros((2, 5)), [0.5, 1, 2], [3, 4], np.ones((2, 8))], tops=2)


# ---- together, as R-FCN's prototxts join them

NET = """
layer { name: "in" type: "Input" top: "maps" top: "box_maps" top: "rois" top: "labels" top: "targets" top: "inside"
        input_param { shape { dim: 1 dim: 12 dim: 6 dim: 6 } shape { dim: 1 dim: 32 dim: 6 dim: 6 }
                      shape { dim: 5 dim: 5 } shape { dim: 5 dim: 1 dim: 1 dim: 1 } shape { dim: 5 dim: 8 dim: 1 dim: 1 }
                      shape { dim: 5 dim: 8 dim: 1 dim: 1 } } }
layer { name: "cls_conv" type: "Convolution" bottom: "maps" top: "rfcn_cls"
        convolution_param { num_output: 12 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "box_conv" type: "Convolution" bottom: "box_maps" top: "rfcn_bbox"
        convolution_param { num_output: 32 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "ps_cls" type: "PSROIPooling" bottom: "rfcn_cls" bottom: "rois" top: "ps_cls"
        psroi_pooling_param { spatial_scale: 0.0625 output_dim: 3 group_size: 2 } }
layer { name: "cls_score" type: "Pooling" bottom: "ps_cls" top: "cls_score" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "ps_box" type: "PSROIPooling" bottom: "rfcn_bbox" bottom: "rois" top: "ps_box"
        psroi_pooling_param { spatial_scale: 0.0625 output_dim: 8 group_size: 2 } }
layer { name: "bbox_pred" type: "Pooling" bottom: "ps_box" top: "bbox_pred" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "per_roi_loss_cls" type: "SoftmaxWithLossOHEM" bottom: "cls_score" bottom: "labels"
        top: "temp_loss_cls" top: "temp_prob_cls" top: "per_roi_loss_cls" loss_weight: 0 loss_weight: 0 loss_weight: 0
        propagate_down: false propagate_down: false }
layer { name: "per_roi_loss_bbox" type: "SmoothL1LossOHEM" bottom: "bbox_pred" bottom: "targets" bottom: "inside"
        top: "temp_loss_bbox" top: "per_roi_loss_bbox" loss_weight: 0 loss_weight: 0
        propagate_down: false propagate_down: false propagate_down: false }
layer { name: "per_roi_loss" type: "Eltwise" bottom: "per_roi_loss_cls" bottom: "per_roi_loss_bbox" top: "per_roi_loss"
        propagate_down: false propagate_down: false }
layer { name: "annotator" type: "BoxAnnotatorOHEM" bottom: "rois" bottom: "per_roi_loss" bottom: "labels" bottom: "inside"
        top: "labels_ohem" top: "weights_ohem" box_annotator_ohem_param { roi_per_img: 2 ignore_label: -1 }
        propagate_down: false propagate_down: false propagate_down: false propagate_down: false }
layer { name: "silence" type: "Silence" bottom: "temp_loss_cls" bottom: "temp_prob_cls" bottom: "temp_loss_bbox" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "cls_score" bottom: "labels_ohem" top: "loss_cls" loss_weight: 1
        loss_param { ignore_label: -1 } propagate_down: true propagate_down: false }
layer { name: "loss_bbox" type: "SmoothL1LossOHEM" bottom: "bbox_pred" bottom: "targets" bottom: "weights_ohem"
        top: "loss_bbox" loss_weight: 1 loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 2 }
        propagate_down: true propagate_down: false propagate_down: false }
"""


def test_the_published_net_learns_from_the_hardest_rois_alone():
    net = net_from_text(NET, TRAIN)
    for name in net.inputs:
        net.blobs[name].data[...] = RANDOM.randn(*net.blobs[name].shape)
    net.blobs["rois"].data[...] = [[0, 0, 0, 40, 40], [0, 9, 9, 90, 90], [0, 50, 1, 95, 60], [0, 3, 30, 60, 95], [0, 8, 8, 20, 20]]
    net.blobs["labels"].data[...] = np.array([0, 1, 2, 0, 1]).reshape(5, 1, 1, 1)
    net.blobs["inside"].data[...] = 1
    out = net.forward()
    net.backward()
    each = net.blobs["per_roi_loss_cls"].data.ravel() + net.blobs["per_roi_loss_bbox"].data.ravel()
    hardest = sorted(np.argsort(-each)[:2])
    assert np.flatnonzero(net.blobs["labels_ohem"].data.ravel() != -1).tolist() == hardest
    np.testing.assert_allclose(out["loss_cls"], net.blobs["per_roi_loss_cls"].data.ravel()[hardest].mean(), rtol=1e-5)
    np.testing.assert_allclose(out["loss_bbox"], net.blobs["per_roi_loss_bbox"].data.ravel()[hardest].sum() / 2, rtol=1e-5)
    for blob in ("ps_cls", "ps_box"):
        learning = abs(net.blobs[blob].diff).sum((1, 2, 3)) > 0
        assert np.flatnonzero(learning).tolist() == hardest
    assert net.params["cls_conv"][0].diff.any() and net.params["box_conv"][0].diff.any()
