"""The other losses, and Accuracy: formulas, gradients, kinks, corners."""
import caffe
import numpy as np
import pytest
from caffe import CaffeError
from caffe.proto import caffe_pb2
from support.gradient import check_gradient
from support.nets import net_from_text
from support.one_layer import forward, forward_backward, make_layer

RANDOM = np.random.RandomState(0)
PRED, TARGET = RANDOM.randn(5, 4) * 2, RANDOM.randn(5, 4)
INSIDE, OUTSIDE = RANDOM.randint(0, 2, (5, 4)) * 1.5, RANDOM.rand(5, 4)
PROB = RANDOM.rand(5, 4) * 0.9 + 0.05
LABELS = np.array([0, 3, 1, 1, 2])


def test_euclidean():
    np.testing.assert_allclose(forward('type: "EuclideanLoss"', [PRED, TARGET])[0],
                               ((PRED - TARGET) ** 2).sum() / 10, rtol=1e-5)
    check_gradient('type: "EuclideanLoss"', [PRED, TARGET])
    check_gradient('type: "EuclideanLoss"', [PRED.reshape(5, 2, 2), TARGET])


# ---- SmoothL1Loss

def smooth_l1(d, sigma):
    return np.where(abs(d) < 1 / sigma ** 2, 0.5 * (sigma * d) ** 2, abs(d) - 0.5 / sigma ** 2)


@pytest.mark.parametrize("sigma", [1, 3, 0.5])
@pytest.mark.parametrize("weights", [[], [INSIDE, OUTSIDE]])
def test_smooth_l1(sigma, weights):
    settings = 'type: "SmoothL1Loss" smooth_l1_loss_param { sigma: %g }' % sigma
    inside, outside = weights or (1, 1)
    want = (outside * smooth_l1(inside * (PRED - TARGET), sigma)).sum() / 5
    np.testing.assert_allclose(forward(settings, [PRED, TARGET] + weights)[0], want, rtol=1e-5)
    check_gradient(settings, [PRED, TARGET] + weights, check=[0, 1])


def test_smooth_l1_divides_by_images_not_by_numbers():
    """(2, 4, 3, 3), as behind an RPN."""
    a = RANDOM.randn(2, 4, 3, 3)
    np.testing.assert_allclose(forward('type: "SmoothL1Loss"', [a, 0 * a])[0], smooth_l1(a, 1).sum() / 2, rtol=1e-5)


def test_smooth_l1_on_both_sides_of_the_kink():
    (_,), (diff, _), _ = forward_backward('type: "SmoothL1Loss"', [[[-2, -1, -0.5, 0, 0.5, 1, 2.0]], np.zeros((1, 7))],
                                          [np.float32(1)])
    np.testing.assert_allclose(diff, [[-1, -1, -0.5, 0, 0.5, 1, 1]])


def test_smooth_l1_weights_get_diff_zero():
    """force_backward reaches them (as the recorded vectors show), with nothing."""
    _, diffs, _ = forward_backward('type: "SmoothL1Loss"', [PRED, TARGET, INSIDE, OUTSIDE], [np.float32(1)])
    assert diffs[0].any() and not diffs[2].any() and not diffs[3].any()


def test_smooth_l1_bottoms_must_match():
    with pytest.raises(CaffeError, match=r"bottom 2 has shape \(5, 3\), bottom 0 \(5, 4\)"):
        make_layer('type: "SmoothL1Loss"', [PRED, TARGET, INSIDE[:, :3], OUTSIDE])
    with pytest.raises(CaffeError, match="expected 2 bottoms .* or 4 .*, got 3"):
        make_layer('type: "SmoothL1Loss"', [PRED, TARGET, INSIDE])


def test_smooth_l1_leaves_out_axes_of_size_one():
    """R-FCN's bbox_pred (R, 8, 1, 1) beside targets (R, 8)."""
    flat = forward_backward('type: "SmoothL1Loss"', [PRED, TARGET, INSIDE, OUTSIDE], [np.float32(1)])
    folded = forward_backward('type: "SmoothL1Loss"', [np.reshape(PRED, np.shape(PRED) + (1, 1)), TARGET, INSIDE, OUTSIDE],
                              [np.float32(1)])
    assert folded[0][0] == flat[0][0]
    np.testing.assert_array_equal(np.reshape(folded[1][0], np.shape(PRED)), flat[1][0])


@pytest.mark.parametrize("kind, bottoms", [
    ("EuclideanLoss", 2), ("SmoothL1Loss", 2), ("SmoothL1Loss", 4), ("HingeLoss", 0), ("MultinomialLogisticLoss", 0)])
def test_no_rows_cost_nothing(kind, bottoms):
    arrays = [np.zeros((0, 4))] * bottoms or [np.zeros((0, 4)), np.zeros(0)]
    (loss,), diffs, _ = forward_backward('type: "%s"' % kind, arrays, [np.float32(1)])
    assert loss == 0 and diffs[0].shape == (0, 4)


# ---- losses by label

def test_multinomial_logistic():
    np.testing.assert_allclose(forward('type: "MultinomialLogisticLoss"', [PROB, LABELS])[0],
                               -np.log(PROB[range(5), LABELS]).mean(), rtol=1e-5)
    check_gradient('type: "MultinomialLogisticLoss"', [PROB, LABELS])
    np.testing.assert_allclose(forward('type: "MultinomialLogisticLoss"', [[[0, 1]], [0]])[0], -np.log(1e-20), rtol=1e-6)


def test_infogain(tmp_path):
    gain, prob = RANDOM.rand(4, 4), PROB / PROB.sum(1, keepdims=True)
    scores = np.log(prob) + 3
    want = -(gain[LABELS] * np.log(prob)).sum() / 5
    np.testing.assert_allclose(forward('type: "InfogainLoss"', [scores, LABELS, gain])[0], want, rtol=1e-5)
    check_gradient('type: "InfogainLoss" loss_param { ignore_label: 2 }', [scores, LABELS, gain])
    source = tmp_path / "gain.binaryproto"
    source.write_bytes(caffe_pb2.BlobProto(data=gain.ravel(), shape={"dim": [1, 1, 4, 4]}).SerializeToString())
    settings = 'type: "InfogainLoss" infogain_loss_param { source: "%s" }' % source
    np.testing.assert_allclose(forward(settings, [scores, LABELS])[0], want, rtol=1e-5)


@pytest.mark.parametrize("between", ["", 'layer { type: "Flatten" name: "f" bottom: "p" top: "q" } '])
def test_infogain_takes_what_a_softmax_layer_makes_for_probabilities(between, capfd):
    """As nets for the Caffe of the Fast R-CNN family have it (tests/reference/golden/infogain.npz); also past a Split."""
    text = ('layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 1 dim: 3 } } }'
            'layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 1 } } }'
            'layer { type: "Input" name: "H" top: "H" input_param { shape { dim: 3 dim: 3 } } }'
            'layer { type: "Softmax" name: "p" bottom: "x" top: "p" }' + between +
            'layer { type: "Silence" name: "other reader" bottom: "p" }'
            'layer { type: "InfogainLoss" name: "loss" bottom: "%s" bottom: "label" bottom: "H" top: "loss" }'
            % ("q" if between else "p"))
    net = net_from_text(text, caffe.TEST)
    got = net.forward(x=[[1, 2, 3]], label=[2], H=np.eye(3))["loss"]
    assert got == pytest.approx(0.4076, abs=5e-5)               # not that of a second softmax, 0.8
    assert capfd.readouterr().err.count("Layer loss: a Softmax layer makes bottom 0") == 1


@pytest.mark.parametrize("settings, message", [("", "give H as a third bottom"),
                                               ('infogain_loss_param { source: "none" }', "'none': No such file")])
def test_infogain_needs_its_matrix(settings, message):
    with pytest.raises(CaffeError, match=message):
        make_layer('type: "InfogainLoss" ' + settings, [PROB, LABELS])
    with pytest.raises(CaffeError, match="H has 9 numbers; expected 4 x 4"):
        make_layer('type: "InfogainLoss"', [PROB, LABELS, np.zeros((3, 3))])


@pytest.mark.parametrize("norm, power", [("L1", 1), ("L2", 2)])
def test_hinge(norm, power):
    sign = np.where(np.arange(4) == LABELS[:, None], -1, 1)
    settings = 'type: "HingeLoss" hinge_loss_param { norm: %s }' % norm
    np.testing.assert_allclose(forward(settings, [PRED, LABELS])[0],
                               (np.maximum(0, 1 + sign * PRED) ** power).sum() / 5, rtol=1e-5)
    check_gradient(settings, [PRED, LABELS], kink=1)


@pytest.mark.parametrize("legacy", [False, True])
def test_contrastive(legacy):
    a, b, similar = PRED / 2, TARGET / 2, np.array([1, 0, 0, 1, 0])
    settings = 'type: "ContrastiveLoss" contrastive_loss_param { margin: 2.5 legacy_version: %s }' % str(legacy).lower()
    d = np.sqrt(((a - b) ** 2).sum(1))
    apart = np.maximum(0, 2.5 - d ** 2) if legacy else np.maximum(0, 2.5 - d) ** 2
    assert (apart[similar == 0] > 0).any()
    np.testing.assert_allclose(forward(settings, [a, b, similar])[0], np.where(similar, d ** 2, apart).sum() / 10,
                               rtol=1e-5)
    # Caffe's backward has d + 1e-4 where the derivative has d
    check_gradient(settings, [a, b, similar], threshold=1e-6 if legacy else 2e-4)


def test_contrastive_of_equal_vectors_has_a_finite_diff():
    _, diffs, _ = forward_backward('type: "ContrastiveLoss"', [[[1.0, 2]], [[1.0, 2]], [0]], [np.float32(1)])
    assert not diffs[0].any()


@pytest.mark.parametrize("kind, bottoms", [("HingeLoss", [PRED, LABELS]), ("MultinomialLogisticLoss", [PROB, LABELS]),
                                           ("InfogainLoss", [PROB, LABELS, np.ones((4, 4))])])
def test_labels_are_checked_and_have_no_diff(kind, bottoms):
    with pytest.raises(CaffeError, match="label 4 is outside 0 .. 3"):
        forward('type: "%s"' % kind, [bottoms[0], LABELS + 1] + bottoms[2:])
    layer, bottom, top = make_layer('type: "%s"' % kind, bottoms)
    layer.forward(bottom, top)
    with pytest.raises(CaffeError, match="bottom 1 holds labels"):
        layer.backward(top, [True] * len(bottoms), bottom)


# ---- Accuracy

SCORES = np.array([[1, 2, 2, 0], [3, 3, 3, 3], [0, 1, 1, 1.0]])


def accuracy(settings, scores, labels, tops=1):
    return forward('type: "Accuracy" accuracy_param { %s }' % settings, [scores, labels], tops)


@pytest.mark.parametrize("top_k, per_class, total", [(1, [0, 0, 0, 0], 0), (2, [0, 0, 1, 0], 1 / 3),
                                                     (3, [0, 0, 1, 1], 2 / 3)])
def test_accuracy_of_ties(top_k, per_class, total):
    """An equal score counts against the label (numbers of a C++ Caffe)."""
    got, each = accuracy("top_k: %d" % top_k, SCORES, [2, 0, 3], tops=2)
    np.testing.assert_allclose(got, total, rtol=1e-6)
    np.testing.assert_allclose(each, per_class)


@pytest.mark.parametrize("top_k", [1, 3])
def test_accuracy_with_spatial_labels_and_an_ignored_one(top_k):
    scores, labels = RANDOM.randn(3, 5, 2, 4), RANDOM.randint(0, 5, (3, 2, 4))
    highest = np.argsort(-scores, 1)[:, :top_k]
    right, valid = (highest == labels[:, None]).any(1), labels != 1
    got, each = accuracy("top_k: %d ignore_label: 1" % top_k, scores, labels, tops=2)
    np.testing.assert_allclose(got, right[valid].mean(), rtol=1e-6)
    np.testing.assert_allclose(each, [right[valid & (labels == c)].mean() if (valid & (labels == c)).any() else 0
                                      for c in range(5)], rtol=1e-6)
    moved = accuracy("top_k: %d ignore_label: 1 axis: -1" % top_k, np.moveaxis(scores, 1, -1), labels)
    np.testing.assert_allclose(moved[0], got)


def test_accuracy_without_labels():
    assert accuracy("ignore_label: 2", SCORES, [2, 2, 2])[0] == 0
    assert accuracy("", np.zeros((0, 4)), np.zeros(0))[0] == 0


def test_accuracy_mistakes():
    with pytest.raises(CaffeError, match="top_k 5 of 4 classes"):
        accuracy("top_k: 5", SCORES, [0, 0, 0])
    with pytest.raises(CaffeError, match="label 7 is outside 0 .. 3"):
        accuracy("", SCORES, [0, 7, 0])
    layer, bottom, top = make_layer('type: "Accuracy"', [SCORES, [0, 1, 2]])
    layer.forward(bottom, top)
    with pytest.raises(CaffeError, match="has no backward"):
        layer.backward(top, [True, False], bottom)


def test_which_losses_count_unasked():
    """All with weight 1, but for SmoothL1Loss, as in the faster-rcnn fork."""
    text = """layer { name: "x" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 3 } } }
              layer { name: "l" type: "%s" bottom: "a" bottom: "b" }"""
    for kind, weight in (("EuclideanLoss", 1), ("SmoothL1Loss", 0)):
        net = net_from_text(text % kind, caffe.TRAIN)
        assert net.outputs == [] and net.blob_loss_weights["(automatic)"] == weight
