"""Softmax, SoftmaxWithLoss and SigmoidCrossEntropyLoss: formulas, gradients, normalisation, ignored and wrong labels."""
import math

import numpy as np
import pytest
from caffe import CaffeError
from support.gradient import check_gradient
from support.one_layer import forward, forward_backward, make_layer


def softmax(x, axis=1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def text(settings="", kind="SoftmaxWithLoss"):
    return 'type: "%s" %s' % (kind, settings)


@pytest.mark.parametrize("shape, axis", [((4, 5), 1), ((2, 5, 3, 4), 1), ((2, 5, 3), 2), ((2, 3), -2), ((6,), 0),
                                         ((1, 1), 1), ((0, 4), 1)])
def test_softmax(shape, axis):
    x = np.random.RandomState(0).randn(*shape) * 3
    (y,) = forward('type: "Softmax" softmax_param { axis: %d }' % axis, [x])
    np.testing.assert_allclose(y, softmax(x, axis) if x.size else x, rtol=1e-5)
    check_gradient('type: "Softmax" softmax_param { axis: %d }' % axis, [x])


def test_softmax_of_huge_scores():
    (y,) = forward('type: "Softmax"', [[[1000.0, 1000.0, -1000.0]]])
    np.testing.assert_allclose(y, [[0.5, 0.5, 0]])


# ---- SoftmaxWithLoss

SPATIAL = np.random.RandomState(1).randn(3, 4, 2, 5)
LABELS = np.random.RandomState(2).randint(0, 4, (3, 1, 2, 5))
NORMALIZERS = [     # (loss_param, divisor with nothing ignored, divisor with label 2 ignored)
    ("", 30, (LABELS != 2).sum()), ("normalization: VALID", 30, (LABELS != 2).sum()), ("normalization: FULL", 30, 30),
    ("normalization: BATCH_SIZE", 3, 3), ("normalization: NONE", 1, 1),
    ("normalization: PRE_FIXED pre_fixed_normalizer: 7", 7, 7), ("normalize: true", 30, (LABELS != 2).sum()),
    ("normalize: false", 3, 3), ("normalize: false normalization: FULL", 30, 30)]


@pytest.mark.parametrize("settings, divisor, divisor_ignoring", NORMALIZERS)
def test_softmax_loss_is_divided_as_loss_param_says(settings, divisor, divisor_ignoring):
    cost = -np.log(np.take_along_axis(softmax(SPATIAL), LABELS, 1))
    for ignore, n in (("", divisor), ("ignore_label: 2", divisor_ignoring)):
        full = text("loss_param { %s %s }" % (settings, ignore))
        loss, prob = forward(full, [SPATIAL, LABELS], tops=2)
        assert loss.shape == () and n < 31
        np.testing.assert_allclose(loss, (cost * (LABELS != 2) if ignore else cost).sum() / n, rtol=1e-5)
        np.testing.assert_allclose(prob, softmax(SPATIAL), rtol=1e-5)
        check_gradient(full, [SPATIAL, LABELS])


def test_ignored_labels_may_lie_outside_the_classes():
    x, labels = np.random.RandomState(3).randn(4, 3), [0, 255, 2, 255]
    settings = text("loss_param { ignore_label: 255 }")
    np.testing.assert_allclose(forward(settings, [x, labels])[0],
                               -np.log(softmax(x)[[0, 2], [0, 2]]).mean(), rtol=1e-5)
    check_gradient(settings, [x, labels])


@pytest.mark.parametrize("axis", [0, 2])
def test_softmax_loss_along_another_axis(axis):
    x = np.random.RandomState(4).randn(3, 2, 4)
    labels = np.random.RandomState(5).randint(0, x.shape[axis], np.delete(x.shape, axis))
    cost = -np.log(np.take_along_axis(softmax(x, axis), np.expand_dims(labels, axis), axis))
    settings = text("softmax_param { axis: %d }" % axis)
    np.testing.assert_allclose(forward(settings, [x, labels])[0], cost.mean(), rtol=1e-5)
    check_gradient(settings, [x, labels])


def test_a_probability_counts_as_at_least_flt_min():
    """-log(1.18e-38) = 87.34, the number known from diverged trainings; backward still says p - 1."""
    (loss,), (diff, _), _ = forward_backward(text(), [[[0.0, 500.0]], [0]], [np.float32(1)])
    np.testing.assert_allclose(loss, -math.log(np.finfo("f").tiny), rtol=1e-6)
    np.testing.assert_array_equal(diff, [[-1, 1]])


@pytest.mark.parametrize("x, labels", [(np.zeros((0, 3)), np.zeros(0)), (np.ones((2, 3)), [1, 1])])
def test_no_rows_and_all_ignored_cost_nothing(x, labels):
    (loss,), (diff, _), _ = forward_backward(text("loss_param { ignore_label: 1 }"), [x, labels], [np.float32(1)])
    assert loss == 0 and not diff.any() and diff.shape == x.shape


def test_the_loss_weight_scales_the_diff():
    x, labels = np.random.RandomState(6).randn(2, 3), [0, 2]
    one, ten = (forward_backward(text(), [x, labels], [np.float32(w)])[1][0] for w in (1, 10))
    np.testing.assert_allclose(ten, 10 * one, rtol=1e-6)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_outside_the_classes_is_named(label):
    with pytest.raises(CaffeError, match=r"layer l \(SoftmaxWithLoss\): label %d is outside 0 .. 2" % label):
        forward(text(), [np.zeros((2, 3)), [0, label]])


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "SigmoidCrossEntropyLoss"])
def test_labels_have_no_diff(kind):
    layer, bottom, top = make_layer(text(kind=kind), [np.zeros((2, 1)), [0, 0]])
    assert [layer.allow_force_backward(i) for i in (0, 1)] == [True, False]
    layer.forward(bottom, top)
    with pytest.raises(CaffeError, match="bottom 1 holds labels"):
        layer.backward(top, [True, True], bottom)


def test_a_wrong_count_of_labels_is_refused():
    with pytest.raises(CaffeError, match=r"want 2 labels .* got labels of shape \(3,\)"):
        make_layer(text(), [np.zeros((2, 3)), np.zeros(3)])


# ---- SigmoidCrossEntropyLoss

@pytest.mark.parametrize("settings, divisor", [
    ("", 3), ("normalize: true", 6), ("normalize: false", 3), ("normalization: VALID ignore_label: -1", 4),
    ("normalization: FULL ignore_label: -1", 6), ("ignore_label: -1", 3)])
def test_sigmoid_cross_entropy(settings, divisor):
    x = np.random.RandomState(7).randn(3, 2) * 2
    target = np.array([[0, 1], [-1, 0.25], [1, -1]]) if "ignore" in settings else np.random.RandomState(8).rand(3, 2)
    valid = target >= 0
    s = 1 / (1 + np.exp(-x))
    cost = -(target * np.log(s) + (1 - target) * np.log(1 - s))
    full = text("loss_param { %s }" % settings, "SigmoidCrossEntropyLoss")
    np.testing.assert_allclose(forward(full, [x, target])[0], cost[valid].sum() / divisor, rtol=1e-5)
    check_gradient(full, [x, target])


def test_sigmoid_cross_entropy_of_huge_scores_and_of_nothing():
    kind = text(kind="SigmoidCrossEntropyLoss")
    np.testing.assert_allclose(forward(kind, [[[500.0, -500.0]], [[0.0, 1.0]]])[0], 1000)
    assert forward(kind, [np.zeros((0, 4)), np.zeros((0, 4))])[0] == 0
