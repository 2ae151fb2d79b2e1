"""The kernels for CPUs with AVX512-BF16, against sums in float64 of the rounded factors."""
import caffe
import numpy as np
import pytest
import torch
from caffe.kernels.avx512_bf16 import cpu, im2col, linear_of_regions, winograd
from caffe.kernels.conv import convolution
from caffe.kernels.conv.descriptor import ConvolutionDescriptor
from caffe.kernels.roi import linear_of_regions as regions_table
from caffe.kernels.roi.pooled_regions import PooledRegions
from support.one_layer import forward_backward
from support.regions import pooled

pytestmark = pytest.mark.skipif(not cpu.has_kernels(), reason="the CPU has no AVX-512 BF16")


@pytest.fixture(autouse=True)
def bf16(monkeypatch):
    """In precision bf16, on a CPU without AMX."""
    monkeypatch.setattr(cpu, "_has_no_faster_unit", lambda: True)
    caffe.set_precision("bf16")
    yield
    caffe.set_precision("float32")


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_close(got, want, error):
    assert got.shape == want.shape and got.dtype == torch.float32
    assert float((got - want).abs().max() / want.abs().max()) < error


def test_no_other_precision_comes_here():
    x, weight = torch.zeros(1, 32, 20, 20), torch.zeros(32, 32, 3, 3)
    d = ConvolutionDescriptor((1, 1), (1, 1), (1, 1))
    assert winograd.fits(x, weight, d) and im2col.fits(x[:, :3], weight[:, :3], d)
    assert linear_of_regions.fits(pooled()[0], torch.zeros(32, 90))
    for precision in ("float32", "tf32"):
        caffe.set_precision(precision)
        assert not winograd.fits(x, weight, d) and not im2col.fits(x[:, :3], weight[:, :3], d)
        assert not linear_of_regions.fits(pooled()[0], torch.zeros(32, 90))


def test_it_is_tried_before_the_general_ways():
    assert convolution.WAYS[:2] == (winograd, im2col) and regions_table.WAYS[0] is linear_of_regions


# ---- im2col

def direct_conv(x, weight, bias, stride, pad):
    rounded = [t.bfloat16().double() for t in (x, weight)]
    return torch.nn.functional.conv2d(*rounded, None if bias is None else bias.double(), stride, pad)


# images, channels, height, width, outputs, kernel, stride, pad: even and odd numbers a window, narrower than 14 and wider
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("num, channels, height, width, outputs, kernel, stride, pad", [
    (1, 3, 17, 31, 64, (3, 3), (1, 1), (1, 1)), (2, 3, 40, 51, 96, (7, 7), (2, 2), (3, 3)),
    (1, 1, 9, 6, 32, (3, 5), (2, 1), (0, 2)), (1, 4, 5, 30, 32, (2, 1), (1, 3), (1, 0)), (1, 8, 4, 14, 32, (1, 1), (1, 1), (0, 0))])
def test_im2col_gives_sums_of_rounded_factors(num, channels, height, width, outputs, kernel, stride, pad, threads, monkeypatch):
    x, weight = numbers(1, num, channels, height, width), numbers(2, outputs, channels, *kernel)
    bias = numbers(3, outputs) if num == 1 else None
    want = direct_conv(x, weight, bias, stride, pad)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    d = ConvolutionDescriptor(stride, pad, (1, 1))
    assert im2col.fits(x, weight, d)
    for layout in (torch.contiguous_format, torch.channels_last):
        got = im2col.forward(x.contiguous(memory_format=layout), weight, bias, d)
        assert_close(got, want, 1e-6)
    assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape, kernel, dilation, groups", [
    ((1, 9, 8, 8), (32, 9, 3, 3), [1, 1], 1), ((1, 3, 8, 8), (48, 3, 3, 3), [1, 1], 1), ((1, 3, 8, 8), (32, 3, 3, 3), [2, 1], 1),
    ((1, 4, 8, 8), (32, 2, 3, 3), [1, 1], 2), ((1, 3, 8), (32, 3, 3), [1], 1)])
def test_im2col_leaves_the_rest(shape, kernel, dilation, groups):
    d = ConvolutionDescriptor([1] * len(dilation), [0] * len(dilation), dilation, groups=groups)
    assert not im2col.fits(torch.zeros(shape), torch.zeros(kernel), d)


def test_im2col_leaves_deconvolutions():
    d = ConvolutionDescriptor((1, 1), (0, 0), (1, 1), transposed=True)
    assert not im2col.fits(torch.zeros(1, 3, 8, 8), torch.zeros(32, 3, 3, 3), d)


def test_the_layer_takes_im2col():
    text = 'type: "Convolution" convolution_param { num_output: 32 kernel_size: 7 stride: 2 }'
    x, weight, bias = numbers(1, 1, 3, 40, 40), numbers(2, 32, 3, 7, 7), numbers(3, 32)
    (top,), *_ = forward_backward(text, [x.numpy()], [numbers(4, 1, 32, 17, 17).numpy()],
                                  params=[weight.numpy(), bias.numpy()])
    assert_close(torch.from_numpy(top), direct_conv(x, weight, bias, 2, 0), 1e-6)


# ---- Winograd

# images, inputs, outputs, height, width, pad: several blocks of 56 tiles, a part of one, uneven sizes, a single row
SIZES_BF16 = [(1, 32, 64, 17, 23, (1, 1)), (2, 64, 32, 16, 16, (0, 2)), (3, 32, 32, 18, 15, (2, 0)),
              (1, 96, 32, 6, 800, (1, 1)), (2, 32, 64, 1, 260, (1, 1)), (1, 32, 32, 60, 90, (1, 1))]


def gradients(x, weight, bias, diff, pad):
    """(top, x diff, weight diff) in float64."""
    x, weight = (t.double().requires_grad_() for t in (x, weight))
    y = torch.nn.functional.conv2d(x, weight, None if bias is None else bias.double(), padding=pad)
    y.backward(diff.double())
    return y.detach(), x.grad, weight.grad


def winograd_in_float64(x, weight, pad):
    """F(2 x 2, 3 x 3) in float64 of transforms rounded to bfloat16."""
    across = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], dtype=torch.float64)
    spread = torch.tensor([[1, 0, 0], [.5, .5, .5], [.5, -.5, .5], [0, 0, 1]], dtype=torch.float64)
    back = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1]], dtype=torch.float64)

    def rounded(t):
        return t.float().bfloat16().double()

    height, width = x.shape[2] + 2 * pad[0] - 2, x.shape[3] + 2 * pad[1] - 2
    x = torch.nn.functional.pad(x.double(), (pad[1], pad[1] + width % 2, pad[0], pad[0] + height % 2))
    filters = rounded(spread @ weight.double() @ spread.T)                              # (O, C, 4, 4)
    tiles = rounded(across @ x.unfold(2, 4, 2).unfold(3, 4, 2) @ across.T)              # (N, C, h, w, 4, 4)
    y = back @ torch.einsum("nchwij,ocij->nohwij", tiles, filters) @ back.T             # (N, O, h, w, 2, 2)
    return y.transpose(3, 4).flatten(4, 5).flatten(2, 3)[:, :, :height, :width]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("num, inputs, outputs, height, width, pad", SIZES_BF16)
def test_winograd_gives_sums_in_float64(num, inputs, outputs, height, width, pad, threads, monkeypatch):
    def sixteenths(*args):      # whose sums float32 has exactly, so that both sides round the same numbers
        return (16 * numbers(*args)).round() / 16

    x, weight, bias = sixteenths(1, num, inputs, height, width), sixteenths(2, outputs, inputs, 3, 3), numbers(3, outputs)
    diff = sixteenths(4, num, outputs, height + 2 * pad[0] - 2, width + 2 * pad[1] - 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    d = ConvolutionDescriptor((1, 1), pad, (1, 1))
    want = winograd_in_float64(x, weight, pad)
    assert_close(winograd.forward(x, weight, bias, d), want + bias.view(1, -1, 1, 1), 1e-5)
    assert_close(winograd.forward(x, weight.contiguous(memory_format=torch.channels_last), None, d), want, 1e-5)
    x_diff, weight_diff = winograd.backward(diff, x, weight, d, (True, True))
    assert_close(x_diff, winograd_in_float64(diff, weight.flip(2, 3).transpose(0, 1), [2 - p for p in pad]), 1e-5)
    assert_close(weight_diff, gradients(x, weight, None, diff, pad)[2].float(), 2 ** -6)


def test_winograd_errs_less_than_twice_as_much_as_direct_convolutions_of_rounded_factors():
    x, weight, diff = numbers(1, 1, 64, 40, 40).relu(), numbers(2, 64, 64, 3, 3), numbers(3, 1, 64, 40, 40)
    want = gradients(x, weight, None, diff, (1, 1))
    rounded = gradients(x.bfloat16(), weight.bfloat16(), None, diff.bfloat16(), (1, 1))
    d = ConvolutionDescriptor((1, 1), (1, 1), (1, 1))
    got = winograd.forward(x, weight, None, d), *winograd.backward(diff, x, weight, d, (True, True))
    for mine, theirs, exact in zip(got, rounded, want):
        mine, theirs = ((y - exact).pow(2).mean().sqrt() for y in (mine, theirs.bfloat16()))
        assert 0 < mine < 2 * theirs


def test_winograd_of_nan_and_infinity_shows_them():
    x, weight = numbers(1, 1, 32, 16, 16), numbers(2, 32, 32, 3, 3)
    x[0, 3, 8, 8], x[0, 3, 2, 2] = float("nan"), float("inf")
    y = winograd.forward(x, weight, None, ConvolutionDescriptor((1, 1), (1, 1), (1, 1)))
    assert y[0, :, 7:10, 7:10].isnan().all() and not y[0, :, 1:4, 1:4].isfinite().any() and y[0, :, 12:].isfinite().all()


# ---- regions

def rounded_product(rows, weight, bias):
    """Sums in float64 of the rounded factors."""
    return rows.bfloat16().double() @ weight.bfloat16().double().t() + (0 if bias is None else bias.double())


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rois, channels, pooled_h, pooled_w, outputs", [
    (300, 64, 7, 7, 512), (300, 6, 3, 5, 96), (40, 2, 4, 4, 32), (3, 32, 1, 1, 64), (300, 10, 6, 6, 256)])
def test_regions_give_sums_of_rounded_factors(rois, channels, pooled_h, pooled_w, outputs, threads, monkeypatch):
    regions, rows = pooled(rois, channels, pooled_h, pooled_w)
    weight, bias = numbers(3, outputs, rows.shape[1]), numbers(4, outputs) if threads == 1 else None
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert linear_of_regions.fits(regions, weight)
    got, want = linear_of_regions.forward(regions, weight, bias), rounded_product(rows, weight, bias)
    assert got.dtype == torch.float32 and got.shape == want.shape
    assert float((got - want).abs().max() / want.abs().max()) < 1e-6


def test_no_regions_give_no_rows():
    regions = PooledRegions(torch.empty(0, 4), np.empty((0, 2, 2), np.int64))
    assert linear_of_regions.forward(regions, numbers(1, 32, 16), None).shape == (0, 32)


@pytest.mark.parametrize("channels, outputs, dtype, turned", [
    (5, 32, torch.float32, False), (6, 40, torch.float32, False), (6, 32, torch.float64, False),
    (6, 32, torch.float32, True)])
def test_regions_of_other_sizes_and_types_go_another_way(channels, outputs, dtype, turned):
    regions, rows = pooled(channels=channels, dtype=dtype)
    weight = numbers(3, outputs, rows.shape[1]).to(dtype)
    weight = weight.t().contiguous().t() if turned else weight
    assert not linear_of_regions.fits(regions, weight)
    got = regions_table.linear_of_regions(regions, weight)
    want = rows @ weight.t() if dtype == torch.float64 else rounded_product(rows, weight, None)
    assert float((got - want).abs().max() / want.abs().max()) < (1e-14 if dtype == torch.float64 else 2 ** -7)
