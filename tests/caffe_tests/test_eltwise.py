"""Eltwise: the three operations, coefficients, both gradients of the product, ties of the maximum."""
import numpy as np
import pytest
from caffe import CaffeError
from support.gradient import check_gradient
from support.one_layer import forward, forward_backward, make_layer

R = np.random.RandomState(0)
ABC = [R.randn(2, 3, 2) for _ in range(3)]


def text(param):
    return 'type: "Eltwise" eltwise_param { %s }' % param


@pytest.mark.parametrize("param, want", [
    ("", ABC[0] + ABC[1] + ABC[2]), ("operation: SUM coeff: 1 coeff: -2 coeff: 0.5", ABC[0] - 2 * ABC[1] + 0.5 * ABC[2]),
    ("operation: PROD", ABC[0] * ABC[1] * ABC[2]), ("operation: PROD stable_prod_grad: false", np.prod(ABC, 0)),
    ("operation: MAX", np.max(ABC, 0))])
def test_formula_and_gradient(param, want):
    before = [x.astype("f") for x in ABC]
    layer, bottom, top = make_layer(text(param), before)
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, want, rtol=1e-5, atol=1e-6)
    for blob, x in zip(bottom, before):
        np.testing.assert_array_equal(blob.data, x)                 # the bottoms stay as they were
    check_gradient(text(param), ABC)


def test_gradient_of_a_product_with_zeros():
    """Stable: the product of the others; otherwise top / bottom, 0 / 0 at a zero, as in Caffe."""
    bottoms, ones = [np.array([0., 2]), np.array([3., 4])], [np.ones(2)]
    np.testing.assert_array_equal(forward_backward(text("operation: PROD"), bottoms, ones)[1], [[3, 4], [0, 2]])
    diffs = forward_backward(text("operation: PROD stable_prod_grad: false"), bottoms, ones)[1]
    np.testing.assert_array_equal(diffs, [[np.nan, 4], [0, 2]])


@pytest.mark.parametrize("values, winner", [((1, 1), 1), ((2, 1), 0), ((1, 1, 1), 1), ((1, 0, 1), 0), ((1, 2, 2), 1),
                                            ((0, 1, 2), 2)])
def test_the_maximum_of_equal_numbers(values, winner):
    """Recorded from a C++ Caffe: of bottoms 0 and 1 the second wins a tie, later ones lose it."""
    _, diffs, _ = forward_backward(text("operation: MAX"), [np.array([float(v)]) for v in values], [np.ones(1)])
    assert [float(d[0]) for d in diffs] == [float(i == winner) for i in range(len(values))]


def test_zero_rows():
    for operation in ("SUM", "PROD", "MAX"):
        assert forward(text("operation: " + operation), [np.zeros((0, 4))] * 3)[0].shape == (0, 4)


@pytest.mark.parametrize("param, bottoms, message", [
    ("operation: MAX coeff: 1 coeff: 1", ABC[:2], "SUM only"), ("coeff: 1", ABC[:2], "1 coeff for 2"),
    ("", [ABC[0], ABC[1][:1]], "bottom 1 has shape")])
def test_refuses(param, bottoms, message):
    with pytest.raises(CaffeError, match=message):
        make_layer(text(param), bottoms)
