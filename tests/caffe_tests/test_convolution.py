"""Convolution, Deconvolution and Im2col against naive loops, numerical gradients and prototxt mistakes."""
import numpy as np
import pytest
from caffe import CaffeError
from support.gradient import check_gradient
from support.one_layer import forward, forward_backward, make_layer

FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 }'
SETTINGS = [        # (prototxt, kernel, stride, pad, dilation, group)
    ("kernel_size: 3", (3, 3), (1, 1), (0, 0), (1, 1), 1),
    ("kernel_size: 1", (1, 1), (1, 1), (0, 0), (1, 1), 1),
    ("kernel_size: 3 pad: 1 stride: 2 group: 2", (3, 3), (2, 2), (1, 1), (1, 1), 2),
    ("kernel_h: 3 kernel_w: 5 pad_h: 1 pad_w: 2 stride_h: 2 stride_w: 1", (3, 5), (2, 1), (1, 2), (1, 1), 1),
    ("kernel_size: 3 pad: 2 dilation: 2 force_nd_im2col: true engine: CAFFE", (3, 3), (1, 1), (2, 2), (2, 2), 1),
    ("kernel_size: 2 kernel_size: 3 pad: 1 pad: 4 stride: 1 stride: 3 dilation: 1 dilation: 2 group: 4",
     (2, 3), (1, 3), (1, 4), (1, 2), 4),
]


def text(settings, kind="Convolution", num_output=4):
    return 'type: "%s" convolution_param { num_output: %d %s %s }' % (kind, num_output, settings, FILLERS)


def scatter_or_gather(x, weight, kernel, stride, pad, dilation, group, out_size, transposed):
    """The loops: every (image, output, input, kernel) position pairs one pixel with one weight."""
    n, c, h, w = x.shape
    outs = weight.shape[1] * group if transposed else weight.shape[0]
    y = np.zeros((n, outs, *out_size))
    small = (h, w) if transposed else out_size
    for o in range(outs):
        for i in range(c):
            if o // (outs // group) != i // (c // group):
                continue
            k = weight[i, o % (outs // group)] if transposed else weight[o, i % (c // group)]
            for a, b, u, v in np.ndindex(*small, *kernel):
                r, s = a * stride[0] + u * dilation[0] - pad[0], b * stride[1] + v * dilation[1] - pad[1]
                if transposed and 0 <= r < out_size[0] and 0 <= s < out_size[1]:
                    y[:, o, r, s] += x[:, i, a, b] * k[u, v]
                if not transposed and 0 <= r < h and 0 <= s < w:
                    y[:, o, a, b] += x[:, i, r, s] * k[u, v]
    return y


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("settings, kernel, stride, pad, dilation, group", SETTINGS)
def test_naive_loops(kind, settings, kernel, stride, pad, dilation, group):
    random = np.random.RandomState(0)
    x, transposed = random.randn(2, 8, 6, 7), kind == "Deconvolution"
    weight = random.randn(*((8, 4 // group) if transposed else (4, 8 // group)), *kernel)
    bias = random.randn(4)
    (y,) = forward(text(settings, kind), [x], params=[weight, bias])
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    size = [s * (n - 1) + e - 2 * p if transposed else (n + 2 * p - e) // s + 1
            for n, s, e, p in zip((6, 7), stride, extent, pad)]
    want = scatter_or_gather(x, weight, kernel, stride, pad, dilation, group, size, transposed) + bias[:, None, None]
    assert y.shape == want.shape
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("settings", [s[0] for s in SETTINGS])
def test_gradient(kind, settings):
    check_gradient(text(settings, kind), [np.random.RandomState(1).randn(2, 4, 4, 5)])


def test_gradient_without_bias_and_with_two_bottoms():
    """The weights' diff sums over both pairs of bottom and top."""
    random = np.random.RandomState(2)
    check_gradient(text("kernel_size: 3 bias_term: false"), [random.randn(1, 2, 4, 4), random.randn(2, 2, 5, 4)], tops=2)


@pytest.mark.parametrize("shape, axis", [((2, 3, 9), 1), ((1, 2, 4, 4, 3), 1), ((3, 5, 6), 0), ((2, 2, 3, 5, 6), 2)])
def test_one_to_three_spatial_axes_behind_any_axis(shape, axis):
    check_gradient(text("kernel_size: 3 pad: 1 axis: %d" % axis), [np.random.RandomState(3).randn(*shape)])


def test_im2col_rows_are_the_kernel_windows():
    x = np.random.RandomState(4).randn(2, 3, 5, 6)
    (cols,) = forward('type: "Im2col" convolution_param { kernel_h: 2 kernel_w: 3 stride: 2 pad: 1 }', [x])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    assert cols.shape == (2, 18, 3, 3)
    for c, u, v, a, b in np.ndindex(3, 2, 3, 3, 3):
        np.testing.assert_allclose(cols[:, (c * 2 + u) * 3 + v, a, b], padded[:, c, 2 * a + u, 2 * b + v], rtol=1e-6)
    check_gradient('type: "Im2col" convolution_param { kernel_size: 3 stride: 2 pad: 1 }', [x])


def test_no_images():
    tops, diffs, params = forward_backward(text("kernel_size: 3"), [np.zeros((0, 2, 5, 5))], [np.zeros((0, 4, 3, 3))])
    assert tops[0].shape == (0, 4, 3, 3) and diffs[0].shape == (0, 2, 5, 5)
    assert not params[0].any() and not params[1].any()


def test_backward_computes_only_what_is_asked_for():
    layer, bottom, top = make_layer(text("kernel_size: 3"), [np.ones((1, 2, 4, 4))])
    layer.forward(bottom, top)
    layer.param_propagate_down = [False, True]
    top[0].diff[...] = 1
    layer.backward(top, [False], bottom)
    assert not bottom[0].has_diff and not layer.blobs[0].has_diff
    np.testing.assert_array_equal(layer.blobs[1].diff, [4, 4, 4, 4])


@pytest.mark.parametrize("settings, shape, message", [
    ("kernel_size: 3 group: 3", (1, 4, 5, 5), "multiples of group 3"),
    ("kernel_size: 7", (1, 4, 5, 5), r"a bottom of \[5, 5\] pixels gives a top of \[-1, -1\]"),
    ("kernel_size: 3 kernel_h: 3 kernel_w: 3", (1, 4, 5, 5), "no kernel_size beside them"),
    ("kernel_h: 3", (1, 4, 5, 5), "at least 1"),
    ("pad: 1", (1, 4, 5, 5), "no kernel"),
    ("kernel_size: 3 stride: 0", (1, 4, 5, 5), "at least 1"),
    ("kernel_size: 3 kernel_size: 3 kernel_size: 3", (1, 4, 5, 5), "3 numbers of kernel_size for 2 spatial axes"),
    ("kernel_size: 3", (1, 4), "0 spatial axes"),
])
def test_mistakes_are_named(settings, shape, message):
    with pytest.raises(CaffeError, match=r"layer l \(Convolution\): .*" + message):
        make_layer(text(settings), [np.zeros(shape)])


def test_other_channels_than_the_weights_are_refused():
    layer, bottom, top = make_layer(text("kernel_size: 3"), [np.zeros((1, 2, 4, 4))])
    bottom[0].reshape(1, 3, 4, 4)
    with pytest.raises(CaffeError, match=r"expected 4 axes with 2 channels"):
        layer.reshape(bottom, top)
