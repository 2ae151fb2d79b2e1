"""PSROIPooling: the CPU kernel against naive loops, its corner cases, and the layer around it."""
import math

import numpy as np
import pytest
import torch
from caffe import CaffeError
from caffe.kernels.roi.psroi_pooling import psroi_pooling_backward, psroi_pooling_forward
from support.gradient import check_gradient
from support.naive_psroi import naive_backward, naive_forward, random_rois
from support.one_layer import forward, forward_backward, make_layer

LAYER = 'type: "PSROIPooling" psroi_pooling_param { output_dim: %d group_size: %d spatial_scale: %g }'


def agree(features, rois, output_dim, group, scale):
    """Kernel and loops agree, number by number, forward and backward; returns the top."""
    rois = rois.astype(features.dtype)
    want = naive_forward(features, rois, output_dim, group, scale)
    top = psroi_pooling_forward(torch.from_numpy(features), torch.from_numpy(rois), output_dim, group, scale)
    np.testing.assert_array_equal(top.numpy(), want)
    top_diff = np.random.default_rng(3).standard_normal(want.shape).astype(features.dtype)
    diff = psroi_pooling_backward(torch.from_numpy(top_diff), torch.from_numpy(rois), features.shape, scale)
    np.testing.assert_array_equal(diff.numpy(), naive_backward(top_diff, rois, features.shape, scale))
    return top.numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("output_dim, group, scale", [(1, 1, 0.0625), (3, 2, 0.0625), (5, 3, 0.3), (2, 7, 0.125)])
def test_agrees_with_loops(dtype, output_dim, group, scale):
    rng = np.random.default_rng(group)
    features = rng.standard_normal((2, output_dim * group ** 2, 7, 9)).astype(dtype)
    agree(features, random_rois(rng, 16, 2, 9 / scale, 7 / scale), output_dim, group, scale)


def test_each_bin_reads_its_own_channels():
    """Constant score maps: bin (ph, pw) of output d shows the value of channel (d * G + ph) * G + pw."""
    features = np.broadcast_to(np.arange(18.0)[None, :, None, None], (1, 18, 6, 6)).astype(np.float32).copy()
    top = agree(features, np.array([[0, 0, 0, 5, 5.0]]), 2, 3, 1)
    np.testing.assert_array_equal(top[0], np.arange(18).reshape(2, 3, 3))


def test_corners_round_to_pixels_before_scaling():
    """x from round(7.5) / 16 = 0.5 to (round(24.4) + 1) / 16 = 1.5625: cells 0 and 1; R-FCN's rule, not Fast R-CNN's."""
    features = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)
    assert agree(features, np.array([[0, 7.5, 0, 24.4, 15]]), 1, 1, 1 / 16)[0, 0, 0, 0] == 0.5
    assert agree(features, np.array([[0, 15.5, 0, 30.5, 15]]), 1, 1, 1 / 16)[0, 0, 0, 0] == 1.0     # 1 to 2: cell 1


def test_outside_and_inverted():
    features = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4)
    top = agree(features, np.array([[0, 100, 100, 120, 120], [0, -50, -50, -40, -40], [0, 3, 2, 1, 0]]), 1, 1, 1)
    assert not top[:2].any()                                    # wholly outside: empty bins
    assert top[2, 0, 0, 0] == 12                                # inverted: 0.1 cells, in the cell of the first corner


def test_no_rois_channels_last_and_bfloat16():
    features = torch.randn(2, 8, 5, 6)
    top = psroi_pooling_forward(features, torch.zeros(0, 5), 2, 2, 0.5)
    assert top.shape == (0, 2, 2, 2)
    assert not psroi_pooling_backward(top, torch.zeros(0, 5), features.shape, 0.5).any()
    rois = torch.tensor([[1., 0, 0, 9, 9]])
    want = psroi_pooling_forward(features, rois, 2, 2, 0.5)
    assert torch.equal(psroi_pooling_forward(features.to(memory_format=torch.channels_last), rois, 2, 2, 0.5), want)
    half = psroi_pooling_forward(features.bfloat16(), rois, 2, 2, 0.5)
    assert torch.equal(half, psroi_pooling_forward(features.bfloat16().float(), rois, 2, 2, 0.5).bfloat16())


@pytest.mark.parametrize("roi", [[2, 0, 0, 5, 5], [-1, 0, 0, 5, 5], [0, math.nan, 0, 5, 5], [0, 0, 0, math.inf, 5]])
def test_a_bad_roi_is_named(roi):
    with pytest.raises(CaffeError, match="RoI 1 is"):
        psroi_pooling_forward(torch.zeros(2, 4, 4, 4), torch.tensor([[0., 0, 0, 1, 1], roi]), 1, 2, 1.0)


def test_numbers_do_not_depend_on_threads():
    rng = np.random.default_rng(7)
    features = torch.from_numpy(rng.standard_normal((1, 10 * 9, 9, 9)).astype(np.float32))
    rois = torch.from_numpy(random_rois(rng, 60, 1, 9, 9).astype(np.float32))
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            top = psroi_pooling_forward(features, rois, 10, 3, 1.0)
            results.append((top, psroi_pooling_backward(top, rois, features.shape, 1.0)))
    finally:
        torch.set_num_threads(threads)
    for top, diff in results[1:]:
        assert torch.equal(top, results[0][0]) and torch.equal(diff, results[0][1])


# ---- the layer

def test_layer_gradient():
    features = np.random.default_rng(2).standard_normal((2, 2 * 4, 3, 4))
    check_gradient(LAYER % (2, 2, 0.5), [features, [[0, 0, 0, 7, 5], [1, 2, 1, 4, 6], [1, 2, 1, 4, 6],
                                                    [0, 99, 99, 120, 120]]], check=[0])


def test_layer_without_rois_and_diff_of_rois():
    features = np.random.default_rng(0).standard_normal((1, 8, 4, 4))
    assert forward(LAYER % (2, 2, 1), [features, np.zeros((0, 5))])[0].shape == (0, 2, 2, 2)
    (top,), (diff, roi_diff), _ = forward_backward(LAYER % (2, 2, 1), [features, np.zeros((0, 5))],
                                                   [np.zeros((0, 2, 2, 2))], propagate_down=[True, True])
    assert diff.shape == features.shape and not diff.any() and roi_diff.shape == (0, 5)


@pytest.mark.parametrize("param, message", [("output_dim: 0 group_size: 2 spatial_scale: 1", "output_dim 0"),
                                            ("output_dim: 2 group_size: 2 spatial_scale: 0", "spatial_scale 0")])
def test_bad_settings(param, message):
    with pytest.raises(CaffeError, match=message):
        make_layer('type: "PSROIPooling" psroi_pooling_param { %s }' % param, [np.zeros((1, 8, 3, 3)), np.zeros((1, 5))])


def test_bad_shapes():
    with pytest.raises(CaffeError, match=r"output_dim \* group_size\^2 = 8"):
        make_layer(LAYER % (2, 2, 1), [np.zeros((1, 7, 3, 3)), np.zeros((1, 5))])
    with pytest.raises(CaffeError, match=r"expected RoIs \(R, 5\)"):
        make_layer(LAYER % (2, 2, 1), [np.zeros((1, 8, 3, 3)), np.zeros((1, 4))])
