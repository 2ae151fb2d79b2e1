"""Neuron layers and Dropout against their formulas, numerical gradients, the corners, and work in place."""
import caffe
import numpy as np
import pytest
import torch
from caffe import CaffeError, common
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.gradient import check_gradient
from support.one_layer import TEST, TRAIN, float64, forward, forward_backward, make_layer

X = np.random.RandomState(0).randn(2, 3, 4) * 2
SIGMOID = lambda x: 1 / (1 + np.exp(-x))     # noqa: E731

FORMULAS = [
    ('type: "ReLU"', lambda x: np.maximum(x, 0)),
    ('type: "ReLU" relu_param { negative_slope: 0.25 }', lambda x: np.where(x > 0, x, 0.25 * x)),
    ('type: "ReLU" relu_param { negative_slope: -0.5 }', lambda x: np.where(x > 0, x, -0.5 * x)),
    ('type: "PReLU"', lambda x: np.where(x > 0, x, 0.25 * x)),
    ('type: "ELU" elu_param { alpha: 0.5 }', lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1))),
    ('type: "Sigmoid"', SIGMOID),
    ('type: "TanH"', np.tanh),
    ('type: "AbsVal"', np.abs),
    ('type: "BNLL"', lambda x: np.log(1 + np.exp(x))),
    ('type: "Power" power_param { power: 2 scale: 0.5 shift: 3 }', lambda x: (3 + 0.5 * x) ** 2),
    ('type: "Power" power_param { power: -1 shift: 20 }', lambda x: 1 / (20 + x)),
    ('type: "Power" power_param { power: 0 }', np.ones_like),
    ('type: "Power" power_param { power: 2 scale: 0 shift: 3 }', lambda x: np.full_like(x, 9)),
    ('type: "Exp"', np.exp),
    ('type: "Exp" exp_param { base: 2 scale: 0.5 shift: 1 }', lambda x: 2 ** (1 + 0.5 * x)),
    ('type: "Log" log_param { shift: 20 }', lambda x: np.log(20 + x)),
    ('type: "Log" log_param { base: 10 scale: 0.5 shift: 20 }', lambda x: np.log10(20 + 0.5 * x)),
    ('type: "Clip" clip_param { min: -1 max: 1.5 }', lambda x: np.clip(x, -1, 1.5)),
    ('type: "Swish" swish_param { beta: 1.5 }', lambda x: x * SIGMOID(1.5 * x)),
]


@pytest.mark.parametrize("text, formula", FORMULAS)
def test_formula_and_gradient(text, formula):
    with float64():
        np.testing.assert_allclose(forward(text, [X])[0], formula(X), rtol=1e-9, atol=1e-12)
    check_gradient(text, [X], kink=0, kink_range=1e-3)


@pytest.mark.parametrize("text, formula", FORMULAS)
def test_zero_rows(text, formula):
    (top,), (diff,), _ = forward_backward(text, [np.zeros((0, 3, 2))], [np.zeros((0, 3, 2))])
    assert top.shape == diff.shape == (0, 3, 2)


@pytest.mark.parametrize("text, derivative", [      # at 0, as Caffe has them
    ('type: "ReLU"', 0), ('type: "ReLU" relu_param { negative_slope: 0.25 }', 0.25),
    ('type: "ReLU" relu_param { negative_slope: -0.5 }', -0.5), ('type: "PReLU"', 0.25), ('type: "AbsVal"', 0),
    ('type: "ELU" elu_param { alpha: 0.5 }', 0.5), ('type: "Clip" clip_param { min: 0 max: 1 }', 1)])
def test_derivative_at_the_kink(text, derivative):
    assert forward_backward(text, [np.zeros((1, 1))], [np.ones((1, 1))])[1][0] == derivative


def test_bnll_does_not_overflow():
    np.testing.assert_allclose(forward('type: "BNLL"', [[[1000., -1000.]]])[0], [[1000, 0]])


@pytest.mark.parametrize("shared, slopes", [("false", [0.1, -0.2, 3]), ("true", 0.7)])
def test_prelu_slopes(shared, slopes):
    text = 'type: "PReLU" prelu_param { channel_shared: %s }' % shared
    check_gradient(text, [X], params=[slopes], kink=0, kink_range=1e-3)
    want = np.where(X > 0, X, np.reshape(slopes, (-1, 1)) * X)
    np.testing.assert_allclose(forward(text, [X], params=[slopes])[0], want, rtol=1e-6)


def test_threshold_is_strict_and_has_no_gradient():
    text = 'type: "Threshold" threshold_param { threshold: 0.5 }'
    np.testing.assert_array_equal(forward(text, [[0.25, 0.5, 0.75]])[0], [0, 0, 1])
    with pytest.raises(CaffeError, match="no gradient"):
        forward_backward(text, [[1.]], [[1.]])


@pytest.mark.parametrize("text, message", [
    ('type: "Exp" exp_param { base: 0 }', "exp_param.base 0"), ('type: "Log" log_param { base: 1 }', "log_param.base 1"),
    ('type: "Log" log_param { base: -2 }', "log_param.base -2"),
    ('type: "Clip" clip_param { min: 2 max: 1 }', "min 2 above max 1"),
    ('type: "Dropout" dropout_param { dropout_ratio: 1 }', "dropout_ratio 1")])
def test_bad_settings(text, message):
    with pytest.raises(CaffeError, match="layer l .*" + message):
        make_layer(text, [X])


def test_prelu_needs_channels():
    with pytest.raises(CaffeError, match="fewer than 2 axes"):
        make_layer('type: "PReLU"', [np.zeros(3)])


# ---- Dropout

def dropout(ratio, scale_train, phase, x):
    text = 'type: "Dropout" dropout_param { dropout_ratio: %g scale_train: %s }' % (ratio, scale_train)
    common.set_random_seed(3)
    (top,), (diff,), _ = forward_backward(text, [x], [np.full_like(x, 2)], phase)
    return top, diff


@pytest.mark.parametrize("scale_train, factor", [("true", 1 / 0.7), ("false", 1)])
def test_dropout_at_train(scale_train, factor):
    top, diff = dropout(0.3, scale_train, TRAIN, np.ones((100, 100), np.float32))
    assert set(np.unique(top).tolist()) == {0, np.float32(factor)}
    np.testing.assert_array_equal(diff, 2 * top)                    # the same numbers drop out of the diff
    assert abs((top == 0).mean() - 0.3) < 5 * (0.3 * 0.7 / top.size) ** 0.5
    again, _ = dropout(0.3, scale_train, TRAIN, np.ones((100, 100), np.float32))
    np.testing.assert_array_equal(top, again)


@pytest.mark.parametrize("scale_train, factor", [("true", 1), ("false", 0.7)])
def test_dropout_at_test(scale_train, factor):
    top, diff = dropout(0.3, scale_train, TEST, np.ones((2, 3), np.float32))
    np.testing.assert_allclose(top, np.full((2, 3), factor), rtol=1e-6)
    np.testing.assert_allclose(diff, np.full((2, 3), 2 * factor), rtol=1e-6)


def test_dropout_gradient_and_ratio_zero():
    check_gradient('type: "Dropout" dropout_param { dropout_ratio: 0.4 }', [X], phase=TRAIN)
    top, _ = dropout(0, "true", TRAIN, X.astype(np.float32))
    np.testing.assert_array_equal(top, X.astype(np.float32))


def test_dropout_draws_anew_in_every_pass():
    layer, bottom, top = make_layer('type: "Dropout"', [np.ones((20, 20))], phase=TRAIN)
    masks = []
    for _ in range(2):
        layer.forward(bottom, top)
        masks.append(top[0].data.copy())
    assert (masks[0] != masks[1]).any()


# ---- in place

CHAIN = ['type: "TanH"', 'type: "Dropout" dropout_param { dropout_ratio: 0.4 }',
         'type: "ReLU" relu_param { negative_slope: 0.1 }', 'type: "ReLU" relu_param { negative_slope: -0.5 }',
         'type: "Dropout" dropout_param { scale_train: false }',
         'type: "Sigmoid"', 'type: "ReLU"']


def chain_net(layers, in_place, phase):
    text = """force_backward: true input: "x" input_shape { dim: 4 dim: 5 }
              layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y0" inner_product_param { num_output: 6
                      weight_filler { type: "gaussian" } } }"""
    for i, layer in enumerate(layers):
        names = ("y0", "y0") if in_place else ("y%d" % i, "y%d" % (i + 1))
        text += ' layer { name: "l%d" bottom: "%s" top: "%s" %s }' % (i, *names, layer)
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("start", range(len(CHAIN)))
def test_a_chain_in_place_equals_one_of_many_blobs(start, phase):
    """Each layer must keep what its own backward needs, whatever works in place behind it."""
    layers, results = CHAIN[start:] + CHAIN[:start], []
    for in_place in (True, False):
        caffe.set_random_seed(1)
        net = chain_net(layers, in_place, phase)
        net.blobs["x"].data[...] = np.random.RandomState(2).randn(4, 5)
        net.forward()
        out = net.outputs[0]
        net.blobs[out].diff[...] = np.random.RandomState(3).randn(4, 6)
        net.backward()
        results.append([net.blobs[out].data.copy(), net.blobs["x"].diff.copy(), net.params["ip"][0].diff.copy()])
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_relu_overwrites_memory_only_where_it_may():
    for may, same in ((True, True), (False, False)):
        layer, bottom, _ = make_layer('type: "ReLU"', [[-1., 2.]])
        layer.may_overwrite, before = may, bottom[0].tensor
        layer.forward(bottom, bottom)
        assert (bottom[0].tensor.data_ptr() == before.data_ptr()) == same
        assert before.tolist() == ([0, 2] if may else [-1, 2])
        assert bottom[0].data.tolist() == [0, 2]


def test_channels_last_strides_stay_right():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    for text in CHAIN:
        layer, bottom, top = make_layer(text, [np.zeros((2, 3, 4, 5))])
        bottom[0].tensor = x.clone(memory_format=torch.preserve_format)
        layer.forward(bottom, top)
        np.testing.assert_allclose(top[0].data, forward(text, [x.numpy()])[0], rtol=1e-6)
