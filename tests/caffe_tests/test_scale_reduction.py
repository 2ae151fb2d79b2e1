"""Scale, Bias, Reduction, ArgMax, Embed."""
import numpy as np
import pytest
from caffe import CaffeError
from support.gradient import check_gradient
from support.one_layer import forward, forward_backward, make_layer

R = np.random.RandomState(0)
X = R.randn(2, 3, 4)


# ---- Scale, Bias

@pytest.mark.parametrize("param, shape", [("", (3,)), ("axis: -1", (4,)), ("axis: 0 num_axes: 2", (2, 3)),
                                          ("num_axes: -1", (3, 4)), ("num_axes: 0", ())])
def test_learnt_scale_and_bias(param, shape):
    scale, bias = R.randn(*shape), R.randn(*shape)
    spread = {(3,): (3, 1), (2, 3): (2, 3, 1)}.get(shape, shape)
    text = 'type: "Scale" scale_param { bias_term: true %s }' % param
    np.testing.assert_allclose(forward(text, [X], params=[scale, bias])[0],
                               X * np.reshape(scale, spread) + np.reshape(bias, spread), rtol=1e-5, atol=1e-6)
    check_gradient(text, [X], params=[scale, bias])
    text = 'type: "Bias" bias_param { %s }' % param
    np.testing.assert_allclose(forward(text, [X], params=[bias])[0], X + np.reshape(bias, spread), rtol=1e-5, atol=1e-6)
    check_gradient(text, [X], params=[bias])


def test_first_values():
    layer, _, _ = make_layer('type: "Scale" scale_param { bias_term: true }', [X])
    assert (layer.blobs[0].data == 1).all() and (layer.blobs[1].data == 0).all()
    layer, _, _ = make_layer("""type: "Scale" scale_param { bias_term: true filler { value: 3 }
                                bias_filler { value: 4 } }""", [X])
    assert (layer.blobs[0].data == 3).all() and (layer.blobs[1].data == 4).all()
    layer, _, _ = make_layer('type: "Bias"', [X])
    assert layer.blobs[0].shape == (3,) and not layer.blobs[0].data.any()


@pytest.mark.parametrize("axis, operand", [(1, R.randn(3, 4)), (-2, R.randn(3)), (0, R.randn(2)), (1, R.randn())])
def test_second_bottom(axis, operand):
    spread = np.reshape(operand, {(3,): (3, 1), (2,): (2, 1, 1)}.get(np.shape(operand), np.shape(operand)))
    for text, want in (('type: "Scale" scale_param { axis: %d }' % axis, X * spread),
                       ('type: "Bias" bias_param { axis: %d }' % axis, X + spread)):
        np.testing.assert_allclose(forward(text, [X, operand])[0], want, rtol=1e-5, atol=1e-6)
        check_gradient(text, [X, operand])
    check_gradient('type: "Scale" scale_param { axis: %d bias_term: true }' % axis, [X, operand])


@pytest.mark.parametrize("text, bottoms, message", [
    ('type: "Scale"', [X, R.randn(4)], "has not the sizes"), ('type: "Bias"', [X, R.randn(3, 5)], "has not the sizes"),
    ('type: "Scale" scale_param { axis: 3 }', [X], "axis 3 outside"),
    ('type: "Scale" scale_param { axis: 2 num_axes: 2 }', [X], "reach beyond")])
def test_refuses(text, bottoms, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(text, bottoms)


def test_zero_rows():
    for text in ('type: "Scale" scale_param { bias_term: true }', 'type: "Bias"'):
        (top,), _, pdiffs = forward_backward(text, [np.zeros((0, 3, 2))], [np.zeros((0, 3, 2))])
        assert top.shape == (0, 3, 2) and not any(d.any() for d in pdiffs)


# ---- Reduction

@pytest.mark.parametrize("operation, formula", [
    ("SUM", np.sum), ("ASUM", lambda x, axis: abs(x).sum(axis)), ("SUMSQ", lambda x, axis: (x * x).sum(axis)),
    ("MEAN", np.mean)])
@pytest.mark.parametrize("axis, axes", [(0, (0, 1, 2)), (1, (1, 2)), (-1, 2)])
def test_reduction(operation, formula, axis, axes):
    text = 'type: "Reduction" reduction_param { operation: %s axis: %d coeff: 0.5 }' % (operation, axis)
    np.testing.assert_allclose(forward(text, [X])[0], 0.5 * formula(X, axis=axes), rtol=1e-5, atol=1e-6)
    check_gradient(text, [X])


def test_reduction_corners():
    assert forward_backward('type: "Reduction" reduction_param { operation: ASUM }', [[0.]], [1.])[1][0] == 0
    assert forward('type: "Reduction" reduction_param { axis: 1 }', [np.zeros((0, 3))])[0].shape == (0,)
    assert forward('type: "Reduction"', [np.zeros((0, 3))])[0] == 0


# ---- ArgMax

def test_argmax_over_all():
    x = np.array([[[1., 5], [5, 2]], [[3, 3], [3, 3]]])             # equal numbers: the larger index first
    np.testing.assert_array_equal(forward('type: "ArgMax" argmax_param { top_k: 3 }', [x])[0],
                                  [[[2, 1, 3]], [[3, 2, 1]]])
    np.testing.assert_array_equal(forward('type: "ArgMax" argmax_param { top_k: 2 out_max_val: true }', [x])[0],
                                  [[[2, 1], [5, 5]], [[3, 2], [3, 3]]])
    assert forward('type: "ArgMax"', [np.zeros((2, 2, 3, 2, 2))])[0].shape == (2, 1, 1, 1, 1)


def test_argmax_along_an_axis():
    order = np.argsort(-X, 1)[:, :2]
    np.testing.assert_array_equal(forward('type: "ArgMax" argmax_param { top_k: 2 axis: 1 }', [X])[0], order)
    np.testing.assert_allclose(forward('type: "ArgMax" argmax_param { top_k: 2 axis: -2 out_max_val: true }', [X])[0],
                               np.take_along_axis(X, order, 1), rtol=1e-6)


def test_argmax_refuses():
    for text in ('type: "ArgMax" argmax_param { top_k: 13 }', 'type: "ArgMax" argmax_param { axis: 1 top_k: 4 }'):
        with pytest.raises(CaffeError, match="top_k"):
            make_layer(text, [X])
    with pytest.raises(CaffeError, match="no gradient"):
        forward_backward('type: "ArgMax"', [X], [np.zeros((2, 1, 1))])


# ---- Embed

EMBED = 'type: "Embed" embed_param { num_output: 3 input_dim: 5 weight_filler { type: "gaussian" } }'


def test_embed():
    index, weight, bias = np.array([[0., 4], [4, 2]]), R.randn(5, 3), R.randn(3)
    np.testing.assert_allclose(forward(EMBED, [index], params=[weight, bias])[0],
                               weight[index.astype(int)] + bias, rtol=1e-5, atol=1e-6)
    check_gradient(EMBED, [index], params=[weight, bias], check=[])
    for bad in ([5.], [-1.]):
        with pytest.raises(CaffeError, match="input_dim is 5"):
            forward(EMBED, [bad])
    with pytest.raises(CaffeError, match="num_output 0"):
        make_layer('type: "Embed"', [index])
