"""LRN, MVN and BatchNorm against naive loops, formulas and numerical gradients."""
import caffe
import numpy as np
import pytest
from caffe import CaffeError
from support.gradient import check_gradient
from support.nets import net_from_text
from support.one_layer import TRAIN, forward, forward_backward, make_layer


def lrn(settings):
    return 'type: "LRN" lrn_param { %s }' % settings


@pytest.mark.parametrize("size, alpha, beta, k", [(5, 1.0, 0.75, 1.0), (3, 0.5, 0.6, 2.0), (1, 2.0, 0.75, 1.0),
                                                  (15, 1.0, 0.75, 1.0)])
def test_lrn_across_channels(size, alpha, beta, k):
    """local_size 15 of 7 channels: the divisor stays 15."""
    x = np.random.RandomState(0).randn(2, 7, 3, 4)
    settings = lrn("local_size: %d alpha: %g beta: %g k: %g" % (size, alpha, beta, k))
    (y,) = forward(settings, [x])
    for c in range(7):
        window = range(max(0, c - size // 2), min(7, c + size // 2 + 1))
        scale = k + alpha / size * sum(x[:, i] ** 2 for i in window)
        np.testing.assert_allclose(y[:, c], x[:, c] * scale ** -beta, rtol=1e-5)
    check_gradient(settings, [x])


@pytest.mark.parametrize("shape", [(2, 3, 5, 6), (1, 1, 1, 1), (1, 2, 2, 7)])
def test_lrn_within_channel_ignores_k(shape):
    x = np.random.RandomState(1).randn(*shape)
    settings = lrn("local_size: 3 alpha: 0.5 beta: 0.6 k: 2 norm_region: WITHIN_CHANNEL")
    (y,) = forward(settings, [x])
    padded = np.pad(x ** 2, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for a, b in np.ndindex(*shape[2:]):
        scale = 1 + 0.5 / 9 * padded[:, :, a:a + 3, b:b + 3].sum((2, 3))
        np.testing.assert_allclose(y[:, :, a, b], x[:, :, a, b] * scale ** -0.6, rtol=1e-5)
    check_gradient(settings, [x])


@pytest.mark.parametrize("size", [11, 1000000001, 2 ** 31 - 1, 2 ** 32 - 1])
def test_lrn_window_far_beyond_the_channels(size):
    """Its sums are those of a window that just reaches all channels, here 9; alpha / local_size is the same."""
    x = np.random.RandomState(0).randn(2, 5, 3, 4)
    far, near = (forward_backward(lrn("local_size: %d alpha: %r beta: 0.75 k: 2" % (n, 0.25 * n)), [x], [x])
                 for n in (size, 9))
    np.testing.assert_array_equal(far[0][0], near[0][0])
    np.testing.assert_array_equal(far[1][0], near[1][0])


@pytest.mark.parametrize("size", [2 ** 31 + 1, 2 ** 32 - 1])
def test_lrn_window_of_pixels_beyond_32_bits(size):
    with pytest.raises(CaffeError, match="local_size %d" % size):
        make_layer(lrn("local_size: %d norm_region: WITHIN_CHANNEL" % size), [np.zeros((1, 2, 3, 3))])


def test_even_local_size_is_refused():
    with pytest.raises(CaffeError, match="local_size 4 must be odd"):
        make_layer(lrn("local_size: 4"), [np.zeros((1, 2, 3, 3))])


@pytest.mark.parametrize("across", [False, True])
def test_mvn(across):
    x = np.random.RandomState(2).randn(2, 3, 4, 5)
    axes = (1, 2, 3) if across else (2, 3)
    settings = "across_channels: %s" % str(across).lower()
    centred = x - x.mean(axes, keepdims=True)
    (y,) = forward('type: "MVN" mvn_param { %s }' % settings, [x])
    np.testing.assert_allclose(y, centred / x.std(axes, keepdims=True), rtol=1e-4, atol=1e-5)
    (y,) = forward('type: "MVN" mvn_param { %s normalize_variance: false }' % settings, [x])
    np.testing.assert_allclose(y, centred, rtol=1e-4, atol=1e-5)
    check_gradient('type: "MVN" mvn_param { %s }' % settings, [x])
    check_gradient('type: "MVN" mvn_param { %s normalize_variance: false }' % settings, [x])


def test_mvn_of_a_constant_channel_has_finite_numbers():
    tops, diffs, _ = forward_backward('type: "MVN"', [np.ones((1, 1, 2, 2))], [np.ones((1, 1, 2, 2))])
    assert not tops[0].any() and np.isfinite(diffs[0]).all()


# ---- BatchNorm

SHAPES = [(4, 3, 2, 3), (5, 3), (6,), (2, 3, 2, 2, 2)]


def per_channel(x):
    """Axes that a channel's statistics run over, and the shape that spreads one number a channel over x."""
    if x.ndim == 1:
        return (0,), (1,)
    return (0,) + tuple(range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_of_the_batch(shape):
    x = np.random.RandomState(3).randn(*shape) * 2 + 1
    (y,) = forward('type: "BatchNorm"', [x], phase=TRAIN)
    axes, spread = per_channel(x)
    want = (x - x.mean(axes).reshape(spread)) / np.sqrt(x.var(axes).reshape(spread) + 1e-5)
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)
    check_gradient('type: "BatchNorm"', [x], phase=TRAIN)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_of_running_statistics(shape):
    """The stored sums are divided by the third blob."""
    random = np.random.RandomState(4)
    x = random.randn(*shape)
    axes, spread = per_channel(x)
    channels = 1 if x.ndim == 1 else 3
    params = [random.randn(channels), random.rand(channels) + 1, [1.7]]
    (y,) = forward('type: "BatchNorm"', [x], params=params)
    mean, variance = (p.reshape(spread) / 1.7 for p in params[:2])
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-5)
    check_gradient('type: "BatchNorm"', [x], params=params)
    check_gradient('type: "BatchNorm" batch_norm_param { use_global_stats: true }', [x], params=params, phase=TRAIN)


def test_batch_norm_moves_its_statistics_and_never_learns():
    """Sums with the fraction 0.9: the unbiased variance, and the weight 1 + 0.9."""
    x = np.random.RandomState(5).randn(4, 2, 3, 3).astype("f")
    net = net_from_text("""
        force_backward: true
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 3 dim: 3 } } }
        layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" batch_norm_param { moving_average_fraction: 0.9 } }""",
                        caffe.TRAIN)
    for _ in range(2):
        net.forward(x=x)
    mean, variance, weight = (b.data for b in net.params["bn"])
    np.testing.assert_allclose(weight, [1.9], rtol=1e-6)
    np.testing.assert_allclose(mean / 1.9, x.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance / 1.9, x.var((0, 2, 3), ddof=1), rtol=1e-4)
    assert [lr for lr, _ in net.param_multipliers] == [0, 0, 0]
    net.blobs["x"].diff[...] = 1
    net.backward()
    assert not any(b.diff.any() for b in net.params["bn"])


def test_batch_norm_under_an_in_place_relu_keeps_its_own_numbers():
    """Backward needs the normalised numbers, which the ReLU must not have overwritten."""
    x = np.random.RandomState(6).randn(4, 2, 3, 3).astype("f")
    text = """
        force_backward: true
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 3 dim: 3 } } }
        layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" }
        layer { name: "relu" type: "ReLU" bottom: "y" top: "%s" }"""
    diffs = []
    for top in ("y", "z"):
        net = net_from_text(text % top, caffe.TRAIN)
        net.forward(x=x)
        net.blobs[top].diff[...] = np.random.RandomState(7).randn(*x.shape)
        net.backward()
        diffs.append(net.blobs["x"].diff.copy())
    np.testing.assert_array_equal(*diffs)


def test_batch_norm_without_rows():
    for phase in (caffe.TRAIN, caffe.TEST):
        tops, _, params = forward_backward('type: "BatchNorm"', [np.zeros((0, 3, 2, 2))], [np.zeros((0, 3, 2, 2))], phase)
        assert tops[0].shape == (0, 3, 2, 2) and np.isfinite(params[0]).all()


def test_batch_norm_refuses_to_learn():
    with pytest.raises(CaffeError, match="param 1 has lr_mult 1"):
        make_layer('type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 1 }', [np.zeros((2, 3))])
