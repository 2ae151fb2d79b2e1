"""RoI pooling: the CPU kernel against naive loops, its corner cases, and the layer around it."""
import math

import numpy as np
import pytest
import torch
from caffe import CaffeError
from caffe.kernels.roi.bins import round_half_away
from caffe.kernels.roi.roi_pooling import roi_pooling_backward, roi_pooling_distinct, roi_pooling_forward
from support.gradient import check_gradient
from support.naive_roi import naive_backward, naive_forward, random_rois
from support.one_layer import float64, forward, forward_backward, make_layer

LAYER = 'type: "ROIPooling" roi_pooling_param { pooled_h: %d pooled_w: %d spatial_scale: %g }'


def agree(features, rois, pooled_h, pooled_w, scale):
    """Kernel and loops agree on forward with and without argmax, pooled as distinct regions, and on backward."""
    rois = rois.astype(features.dtype)
    want, want_argmax = naive_forward(features, rois, pooled_h, pooled_w, scale)
    args = torch.from_numpy(features), torch.from_numpy(rois), pooled_h, pooled_w, scale
    top, argmax = roi_pooling_forward(*args)
    np.testing.assert_array_equal(top.numpy(), want)
    np.testing.assert_array_equal(argmax.numpy(), want_argmax)
    only_top, none = roi_pooling_forward(*args, with_argmax=False)
    np.testing.assert_array_equal(only_top.numpy(), want)
    assert none is None
    regions, repeats = roi_pooling_distinct(*args)
    assert regions.shape[1:] == want.shape[1:] and regions.tensor().dtype == top.dtype
    np.testing.assert_array_equal(regions.tensor()[slice(None) if repeats is None else repeats].numpy(), want)
    top_diff = np.random.default_rng(3).standard_normal(want.shape).astype(features.dtype)
    diff = roi_pooling_backward(torch.from_numpy(top_diff), args[1], argmax, features.shape, scale)
    np.testing.assert_array_equal(diff.numpy(), naive_backward(top_diff, rois, want_argmax, features.shape))
    return want


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 70])        # 70: more than one block of channels, and a rest
def test_agrees_with_loops(dtype, channels):
    rng = np.random.default_rng(channels)
    features = rng.standard_normal((3, channels, 7, 9)).astype(dtype)
    agree(features, random_rois(rng, 12, 3, 9 * 16, 7 * 16), 3, 4, 1 / 16)


@pytest.mark.parametrize("seed", range(25))
def test_random_sizes_agree_with_loops(seed):
    """Maps, channels, bins, scales, ties, and layouts in memory as they come."""
    rng = np.random.default_rng([25, seed])
    num, height, width, pooled_h, pooled_w = rng.integers(1, [4, 12, 12, 8, 8])
    channels = rng.choice([1, 5, 31, 32, 33])
    features = rng.integers(-3, 9, (num, height, width, channels)).astype(rng.choice([np.float32, np.float64]))
    features = features.transpose(0, 3, 1, 2)       # channels last in memory
    scale = rng.choice([1, 0.5, 1 / 16, 0.3])
    rois = random_rois(rng, int(rng.integers(2, 9)), num, width / scale, height / scale)
    agree(features if seed % 2 else np.ascontiguousarray(features), rois, int(pooled_h), int(pooled_w), scale)


@pytest.mark.parametrize("scale", [1 / 16, 1 / 8, 0.3])
def test_small_maps_and_many_bins(scale):
    rng = np.random.default_rng(5)
    features = rng.standard_normal((1, 2, 5, 4)).astype(np.float32)
    agree(features, random_rois(rng, 20, 1, 4 / scale, 5 / scale), 7, 6, scale)


def test_ties_go_to_the_first_cell_in_row_order():
    features = np.random.default_rng(0).integers(0, 2, (1, 5, 6, 6)).astype(np.float32)
    agree(features, np.array([[0, 0, 0, 5, 5], [0, 1, 1, 4, 3]]), 2, 2, 1)


@pytest.mark.parametrize("dtype, reaching_over", [(np.float32, [57]), (np.float64, [29, 58])])
def test_bin_edges_have_the_rounding_of_their_number_type(dtype, reaching_over):
    """7 * (57 / 7) is above 57 in float32, so the last bin reaches one cell beyond the RoI, as with Caffe."""
    features = np.arange(64, dtype=dtype).reshape(1, 1, 1, 64)
    sizes = np.arange(26, 60)
    rois = np.zeros((len(sizes), 5))
    rois[:, 3] = sizes - 1
    top = agree(features, rois, 1, 7, 1)
    assert sizes[top[:, 0, 0, -1] == sizes].tolist() == reaching_over       # cell number `size` is beyond the RoI


def test_corners_round_half_away_from_zero():
    corners = torch.tensor([[8, 24, 40, -8], [7.9999995, 23.999998, -24, -7.9999995]]) * 0.0625
    assert round_half_away(corners).tolist() == [[1, 2, 3, -1], [0, 1, -2, 0]]


def test_one_cell_and_outside():
    features = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4) - 20        # negative: 0 can come from no cell
    top = agree(features, np.array([[0, 2, 1, 2, 1], [0, 100, 100, 120, 120], [0, -50, -50, -40, -40],
                                    [0, 3, 2, 1, 0]]), 2, 2, 1)
    assert (top[0] == features[0, 0, 1, 2]).all()
    assert not top[1].any() and not top[2].any()                # wholly outside: empty bins
    assert (top[3] == features[0, 0, 2, 3]).all()               # inverted: one cell at the first corner


def test_nan_is_passed_over():
    """As by Caffe, whose maximum begins at -FLT_MAX and takes what is greater."""
    features = np.array([[np.nan, 2, np.nan, np.nan], [1, np.nan, np.nan, np.nan]], np.float32).reshape(1, 1, 2, 4)
    top, argmax = roi_pooling_forward(torch.from_numpy(features), torch.tensor([[0., 0, 0, 3, 1]]), 1, 2, 1.0)
    np.testing.assert_array_equal(top.ravel(), np.float32([2, -np.finfo(np.float32).max]))
    assert argmax.ravel().tolist() == [1, -1]


def test_no_rois_and_channels_last():
    features = torch.randn(2, 8, 5, 6).to(memory_format=torch.channels_last)
    top, argmax = roi_pooling_forward(features, torch.zeros(0, 5), 3, 3, 0.5)
    assert top.shape == argmax.shape == (0, 8, 3, 3)
    assert not roi_pooling_backward(top, torch.zeros(0, 5), argmax, features.shape, 0.5).any()
    rois = torch.tensor([[1., 0, 0, 9, 9]])
    torch.testing.assert_close(roi_pooling_forward(features, rois, 3, 3, 0.5)[0],
                               roi_pooling_forward(features.contiguous(), rois, 3, 3, 0.5)[0], rtol=0, atol=0)


@pytest.mark.parametrize("roi", [[2, 0, 0, 5, 5], [-1, 0, 0, 5, 5], [0, math.nan, 0, 5, 5], [0, 0, 0, math.inf, 5]])
def test_a_bad_roi_is_named(roi):
    with pytest.raises(CaffeError, match="RoI 1 is"):
        roi_pooling_forward(torch.zeros(2, 1, 4, 4), torch.tensor([[0., 0, 0, 1, 1], roi]), 2, 2, 1.0)


def test_nothing_depends_on_threads():
    rng = np.random.default_rng(7)
    features = torch.from_numpy(rng.standard_normal((1, 40, 9, 9)).astype(np.float32))
    rois = torch.from_numpy(random_rois(rng, 200, 1, 9, 9).astype(np.float32))
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            top, argmax = roi_pooling_forward(features, rois, 7, 7, 1.0)
            results.append((top, argmax, roi_pooling_backward(top, rois, argmax, features.shape, 1.0)))
    finally:
        torch.set_num_threads(threads)
    for one, *others in zip(*results):
        assert all(torch.equal(one, other) for other in others)


# ---- the layer

def test_layer_gradient():
    rng = np.random.default_rng(2)
    features = rng.permutation(2 * 3 * 6 * 7).reshape(2, 3, 6, 7) * 0.1         # far from ties
    rois = [[0, 0, 0, 6, 5], [1, 2, 1, 4, 6], [1, 2, 1, 4, 6], [0, 9, 9, 12, 12]]
    check_gradient(LAYER % (2, 3, 1), [features, rois], check=[0])


def test_layer_gives_rois_a_zero_diff_when_asked():
    features, rois = np.random.default_rng(0).standard_normal((1, 2, 4, 4)), [[0, 0, 0, 3, 3]]
    _, (_, diff), _ = forward_backward(LAYER % (2, 2, 1), [features, rois], [np.ones((1, 2, 2, 2))],
                                       propagate_down=[True, True])
    assert diff.shape == (1, 5) and not diff.any()


def test_layer_takes_changing_numbers_of_rois():
    """The top's memory is used again; it must show the present pass only."""
    features = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)
    layer, bottom, top = make_layer(LAYER % (2, 2, 1), [features, np.zeros((3, 5))])
    for count in (3, 1, 0, 5):
        rois = np.zeros((count, 5), np.float32)
        rois[:, 3:] = np.arange(count)[:, None]
        bottom[1].reshape(count, 5)
        bottom[1].data[...] = rois
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
        np.testing.assert_array_equal(top[0].data, naive_forward(features, rois, 2, 2, 1)[0])


def test_layer_works_in_float64():
    with float64():
        assert forward(LAYER % (2, 2, 1), [np.ones((1, 1, 3, 3)), [[0, 0, 0, 2, 2]]])[0].dtype == np.float64


@pytest.mark.parametrize("param, message", [("pooled_h: 0 pooled_w: 2", "pooled_h 0"),
                                            ("pooled_h: 2 pooled_w: 2 spatial_scale: 0", "spatial_scale 0")])
def test_bad_settings(param, message):
    with pytest.raises(CaffeError, match=message):
        make_layer('type: "ROIPooling" roi_pooling_param { %s }' % param, [np.zeros((1, 1, 3, 3)), np.zeros((1, 5))])


def test_bad_shapes():
    for bottoms in ([np.zeros((1, 3, 3)), np.zeros((1, 5))], [np.zeros((1, 1, 3, 3)), np.zeros((2, 4))]):
        with pytest.raises(CaffeError, match="expected"):
            make_layer(LAYER % (2, 2, 1), bottoms)
