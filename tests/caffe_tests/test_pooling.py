"""Pooling against naive loops after Caffe's definition, numerical gradients, ties and corners."""
import math

import caffe
import numpy as np
import pytest
import torch
from caffe import CaffeError
from support.gradient import check_gradient
from support.one_layer import TRAIN, forward, forward_backward, make_layer

SETTINGS = [        # (prototxt, kernel, stride, pad, (h, w)); the last ones are the corners
    ("kernel_size: 2 stride: 2", (2, 2), (2, 2), (0, 0), (6, 8)),
    ("kernel_size: 3 stride: 2", (3, 3), (2, 2), (0, 0), (8, 7)),
    ("kernel_size: 3 stride: 2 pad: 1", (3, 3), (2, 2), (1, 1), (7, 10)),
    ("kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 1", (2, 3), (2, 1), (0, 1), (5, 6)),
    ("kernel_size: 3 pad: 2", (3, 3), (1, 1), (2, 2), (4, 5)),          # windows that lie in the padding alone
    ("kernel_size: 3 stride: 2 pad: 2", (3, 3), (2, 2), (2, 2), (4, 4)),
    ("kernel_size: 2 stride: 3 pad: 1", (2, 2), (3, 3), (1, 1), (4, 6)),    # the last window is dropped
    ("kernel_size: 1 stride: 3", (1, 1), (3, 3), (0, 0), (5, 7)),       # ... or stays, empty, without padding
    ("kernel_size: 4 stride: 2", (4, 4), (2, 2), (0, 0), (3, 3)),       # kernel larger than the image
    ("kernel_size: 1", (1, 1), (1, 1), (0, 0), (1, 1)),
]


def text(pool, settings):
    return 'type: "Pooling" pooling_param { pool: %s %s }' % (pool, settings)


def windows(h, w, kernel, stride, pad):
    """(row, column, window's rows, window's columns, divisor of AVE) after Caffe's definition."""
    sizes = [math.ceil((n + 2 * p - k) / s) + 1 for n, k, s, p in zip((h, w), kernel, stride, pad)]
    if any(pad):
        sizes = [o - 1 if (o - 1) * s >= n + p else o for o, n, s, p in zip(sizes, (h, w), stride, pad)]
    for a, b in np.ndindex(*sizes):
        starts = [i * s - p for i, s, p in zip((a, b), stride, pad)]
        ends = [min(t + k, n + p) for t, k, n, p in zip(starts, kernel, (h, w), pad)]
        area = math.prod(e - t for t, e in zip(starts, ends))
        rows, columns = (range(max(t, 0), min(e, n)) for t, e, n in zip(starts, ends, (h, w)))
        yield a, b, rows, columns, area


@pytest.mark.parametrize("settings, kernel, stride, pad, size", SETTINGS)
def test_naive_max_with_mask(settings, kernel, stride, pad, size):
    x = np.random.RandomState(0).randint(0, 5, (2, 3) + size).astype("f")      # many ties: the first one wins
    y, mask = forward(text("MAX", settings), [x], tops=2)
    seen = set()
    for a, b, rows, columns, _ in windows(*size, kernel, stride, pad):
        seen.add((a, b))
        for n, c in np.ndindex(2, 3):
            best, where = np.float32(-np.finfo("f").max), -1
            for i in rows:
                for j in columns:
                    if x[n, c, i, j] > best:
                        best, where = x[n, c, i, j], i * size[1] + j
            assert (y[n, c, a, b], mask[n, c, a, b]) == (best, where)
    assert len(seen) == y.shape[2] * y.shape[3]


@pytest.mark.parametrize("settings, kernel, stride, pad, size", SETTINGS)
def test_naive_average(settings, kernel, stride, pad, size):
    x = np.random.RandomState(1).randn(2, 3, *size)
    (y,) = forward(text("AVE", settings), [x])
    for a, b, rows, columns, area in windows(*size, kernel, stride, pad):
        total = sum(x[:, :, i, j] for i in rows for j in columns)
        np.testing.assert_allclose(y[:, :, a, b], total / area if rows and columns else np.zeros((2, 3)),
                                   rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("settings, size", [(s[0], s[4]) for s in SETTINGS])
def test_gradient(pool, settings, size):
    random = np.random.RandomState(2)
    x = random.permutation(np.arange(2.0 * 2 * size[0] * size[1])).reshape(2, 2, *size)      # no near ties
    (y,) = forward(text(pool, settings), [x])
    filled = np.abs(y) < 1e30                                   # not the -FLT_MAX of windows without pixels
    check_gradient(text(pool, settings), [x], weights=[random.randn(*y.shape) * filled])


def test_max_sends_the_diff_to_the_first_of_equals():
    _, diffs, _ = forward_backward(text("MAX", "kernel_size: 2"), [np.ones((1, 1, 3, 3))], [np.ones((1, 1, 2, 2))])
    np.testing.assert_array_equal(diffs[0][0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize("settings, kernel, stride, pad, size", SETTINGS)
def test_channels_last_in_memory_changes_no_number(settings, kernel, stride, pad, size):
    x = np.random.RandomState(5).randint(0, 4, (2, 37) + size).astype("f")      # many ties; 37: no multiple of a vector
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        layer, bottom, top = make_layer(text("MAX", settings), [x])
        bottom[0].tensor = torch.tensor(x).contiguous(memory_format=layout)
        layer.forward(bottom, top)
        top[0].diff[...] = np.random.RandomState(6).randint(1, 9, top[0].shape)
        layer.backward(top, [True], bottom)
        found.append((top[0].data.copy(), bottom[0].diff.copy()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_global_pooling_follows_the_bottom(pool):
    layer, bottom, top = make_layer(text(pool, "global_pooling: true"), [np.random.RandomState(3).randn(2, 3, 4, 5)])
    for shape in ((2, 3, 4, 5), (1, 3, 7, 2)):
        bottom[0].reshape(*shape)
        bottom[0].data[...] = x = np.random.RandomState(4).randn(*shape).astype("f")
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        want = x.max((2, 3)) if pool == "MAX" else x.mean((2, 3))
        np.testing.assert_allclose(top[0].data[:, :, 0, 0], want, rtol=1e-5)


def test_floor_rounding():
    for mode, size in (("CEIL", 4), ("FLOOR", 3)):
        (y,) = forward(text("MAX", "kernel_size: 2 stride: 2 round_mode: %s" % mode), [np.zeros((1, 1, 7, 7))])
        assert y.shape == (1, 1, size, size)


def test_no_images():
    tops, diffs, _ = forward_backward(text("MAX", "kernel_size: 2"), [np.zeros((0, 2, 5, 5))], [np.zeros((0, 2, 4, 4))])
    assert tops[0].shape == (0, 2, 4, 4) and diffs[0].shape == (0, 2, 5, 5)


def test_stochastic_draws_in_proportion_and_averages_in_test():
    x = np.tile([[1.0, 0.0], [2.0, 5.0]], (1, 4000, 1, 1))
    caffe.set_random_seed(1)
    (y,) = forward(text("STOCHASTIC", "kernel_size: 2"), [x], phase=TRAIN)
    share = [(y == v).mean() for v in (0, 1, 2, 5)]
    np.testing.assert_allclose(share, [0, 1 / 8, 2 / 8, 5 / 8], atol=0.03)
    (y,) = forward(text("STOCHASTIC", "kernel_size: 2"), [x[:, :1]])
    np.testing.assert_allclose(y, 30 / 8, rtol=1e-6)
    check_gradient(text("STOCHASTIC", "kernel_size: 3 stride: 2"), [np.random.RandomState(5).rand(1, 2, 6, 5)])
    check_gradient(text("STOCHASTIC", "kernel_size: 2 stride: 2"), [np.random.RandomState(5).rand(1, 2, 5, 5)],
                   phase=TRAIN)


@pytest.mark.parametrize("settings, tops, message", [
    ("pool: MAX kernel_size: 2 pad: 2", 1, r"pad \[2, 2\] must be smaller than kernel \[2, 2\]"),
    ("pool: MAX kernel_size: 9", 1, "too large for a bottom of 5 x 5"),
    ("pool: MAX", 1, "give either a kernel"),
    ("pool: AVE kernel_size: 2 global_pooling: true", 1, "give either a kernel"),
    ("pool: AVE pad: 1 global_pooling: true", 1, "global_pooling goes with pad 0"),
    ("pool: AVE kernel_size: 2", 2, "only MAX pooling has a second top"),
    ("pool: MAX kernel_size: 2 kernel_h: 2 kernel_w: 2", 1, "give either kernel_size, or both"),
    ("pool: STOCHASTIC kernel_size: 3 pad: 1", 1, "STOCHASTIC pooling knows no padding"),
])
def test_mistakes_are_named(settings, tops, message):
    with pytest.raises(CaffeError, match=r"layer l \(Pooling\): .*" + message):
        make_layer('type: "Pooling" pooling_param { %s }' % settings, [np.zeros((1, 1, 5, 5))], tops=tops)
