"""InnerProduct."""
import numpy as np
import pytest
from caffe import CaffeError
from support.gradient import check_gradient
from support.one_layer import forward, forward_backward, make_layer


def text(settings="", num_output=3):
    return ('type: "InnerProduct" inner_product_param { num_output: %d %s weight_filler { type: "gaussian" } '
            'bias_filler { type: "gaussian" } }' % (num_output, settings))


@pytest.mark.parametrize("settings, shape, top", [
    ("", (4, 2, 2, 3), (4, 3)), ("axis: 2", (4, 2, 2, 3), (4, 2, 3)), ("axis: -1", (4, 5), (4, 3)),
    ("axis: 0", (4, 5), (3,)), ("transpose: true", (4, 2, 3), (4, 3)), ("bias_term: false", (1, 1), (1, 3)),
    ("", (0, 4), (0, 3))])
def test_shapes_numbers_and_gradient(settings, shape, top):
    random = np.random.RandomState(0)
    x = random.randn(*shape)
    inputs = int(np.prod(shape[len(top) - 1:]))
    weight, bias = random.randn(3, inputs), random.randn(3)
    if "bias_term" in settings:
        bias[:] = 0
    (y,) = forward(text(settings), [x], params=[weight.T if "transpose" in settings else weight, bias])
    want = x.reshape(top[:-1] + (inputs,)) @ weight.T + bias
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
    check_gradient(text(settings), [x])


def test_no_rows():
    """No RoI in an image: nothing in, nothing out, no parameter diff."""
    tops, diffs, params = forward_backward(text(), [np.zeros((0, 2, 7, 7))], [np.zeros((0, 3))])
    assert tops[0].shape == (0, 3) and diffs[0].shape == (0, 2, 7, 7)
    assert not params[0].any() and not params[1].any()


def test_frozen_weights_get_no_diff():
    layer, bottom, top = make_layer(text() + " param { lr_mult: 0 }", [np.ones((2, 4))])
    layer.forward(bottom, top)
    top[0].diff[...] = 1
    layer.backward(top, [False], bottom)
    assert not layer.blobs[0].has_diff and not bottom[0].has_diff
    np.testing.assert_array_equal(layer.blobs[1].diff, [2, 2, 2])


def test_another_input_size_is_refused():
    layer, bottom, top = make_layer(text(), [np.zeros((2, 4))])
    bottom[0].reshape(2, 5)
    with pytest.raises(CaffeError, match=r"has 5 numbers from axis 1 on; the weights \(3, 4\) take 4"):
        layer.reshape(bottom, top)
