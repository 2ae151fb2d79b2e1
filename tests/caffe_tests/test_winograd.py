"""The 3 x 3 convolutions that go by Winograd's way, and their layer, against direct convolutions in float64."""
import numpy as np
import pytest
import torch
from caffe.kernels.avx512_bf16 import winograd_cpu as bf16_cpu
from caffe.kernels.conv import winograd
from support.one_layer import float64, forward_backward, make_layer

# images, inputs, outputs, height, width, pad: tiles cut at both ends, one row of tiles a block and several
SIZES = [(1, 32, 48, 17, 23, (1, 1)), (2, 48, 32, 16, 16, (0, 2)), (3, 32, 32, 18, 15, (2, 0)), (1, 32, 32, 6, 800, (1, 1)),
         (2, 32, 64, 1, 260, (1, 1))]


def numbers(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).randn(*shape).astype(np.float32))


def direct(x, weight, bias, diff, pad):
    """(top, x diff, weight diff) in float64."""
    x, weight = (t.double().requires_grad_() for t in (x, weight))
    y = torch.nn.functional.conv2d(x, weight, None if bias is None else bias.double(), padding=pad)
    y.backward(diff.double())
    return y.detach(), x.grad, weight.grad


def close(got, want):
    assert got.shape == want.shape and got.dtype == torch.float32
    assert float((got - want).abs().max() / want.abs().max()) < 1e-5


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("num, inputs, outputs, height, width, pad", SIZES)
def test_against_direct_convolution(num, inputs, outputs, height, width, pad, layout):
    x, weight = numbers(1, num, inputs, height, width), numbers(2, outputs, inputs, 3, 3)
    bias = numbers(3, outputs) if num == 1 else None
    diff = numbers(4, num, outputs, height + 2 * pad[0] - 2, width + 2 * pad[1] - 2)
    top, x_diff, weight_diff = direct(x, weight, bias, diff, pad)
    x, diff = x.contiguous(memory_format=layout), diff.contiguous(memory_format=layout)
    assert winograd.fits(x, weight, [1, 1], pad, [1, 1], 1)
    close(winograd.convolve(x, weight, bias, pad), top)
    close(winograd.input_diff(diff, weight, pad), x_diff)
    close(winograd.weight_diff(diff, x, pad), weight_diff)


needs_bf16 = pytest.mark.skipif(not (bf16_cpu.COMPILED and torch.cpu._is_avx512_bf16_supported()),
                                reason="the CPU has no AVX-512 BF16")
# images, inputs, outputs, height, width, pad: several blocks of 56 tiles, a part of one, uneven sizes, a single row
SIZES_BF16 = [(1, 32, 64, 17, 23, (1, 1)), (2, 64, 32, 16, 16, (0, 2)), (3, 32, 32, 18, 15, (2, 0)),
              (1, 96, 32, 6, 800, (1, 1)), (2, 32, 64, 1, 260, (1, 1)), (1, 32, 32, 60, 90, (1, 1))]


def in_float64(x, weight, pad):
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


@needs_bf16
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("num, inputs, outputs, height, width, pad", SIZES_BF16)
def test_bf16_against_sums_in_float64(num, inputs, outputs, height, width, pad, threads, monkeypatch):
    def sixteenths(*args):      # whose sums float32 has exactly, so that both sides round the same numbers
        return (16 * numbers(*args)).round() / 16

    x, weight, bias = sixteenths(1, num, inputs, height, width), sixteenths(2, outputs, inputs, 3, 3), numbers(3, outputs)
    diff = sixteenths(4, num, outputs, height + 2 * pad[0] - 2, width + 2 * pad[1] - 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    close(winograd.convolve_bf16(x, weight, bias, pad), in_float64(x, weight, pad) + bias.view(1, -1, 1, 1))
    close(winograd.convolve_bf16(x, weight.contiguous(memory_format=torch.channels_last), None, pad), in_float64(x, weight, pad))
    close(winograd.input_diff_bf16(diff, weight, pad),
          in_float64(diff, weight.flip(2, 3).transpose(0, 1), [2 - p for p in pad]))
    want = direct(x, weight, None, diff, pad)[2]
    assert float((winograd.weight_diff_bf16(diff, x, pad) - want).abs().max() / want.abs().max()) < 2 ** -6


@needs_bf16
def test_bf16_errs_less_than_twice_as_much_as_direct_convolutions_of_rounded_factors():
    x, weight, diff = numbers(1, 1, 64, 40, 40).relu(), numbers(2, 64, 64, 3, 3), numbers(3, 1, 64, 40, 40)
    want = direct(x, weight, None, diff, (1, 1))
    rounded = direct(x.bfloat16(), weight.bfloat16(), None, diff.bfloat16(), (1, 1))
    got = (winograd.convolve_bf16(x, weight, None, (1, 1)), winograd.input_diff_bf16(diff, weight, (1, 1)),
           winograd.weight_diff_bf16(diff, x, (1, 1)))
    for mine, theirs, exact in zip(got, rounded, want):
        mine, theirs = ((y - exact).pow(2).mean().sqrt() for y in (mine, theirs.bfloat16()))
        assert 0 < mine < 2 * theirs


@needs_bf16
def test_bf16_of_nan_and_infinity_shows_them():
    x, weight = numbers(1, 1, 32, 16, 16), numbers(2, 32, 32, 3, 3)
    x[0, 3, 8, 8], x[0, 3, 2, 2] = float("nan"), float("inf")
    y = winograd.convolve_bf16(x, weight, None, (1, 1))
    assert y[0, :, 7:10, 7:10].isnan().all() and not y[0, :, 1:4, 1:4].isfinite().any() and y[0, :, 12:].isfinite().all()


@pytest.mark.parametrize("shape, kernel, stride, pad, dilation, groups", [
    ((1, 32, 20, 20), (32, 32, 5, 5), [1, 1], [1, 1], [1, 1], 1), ((1, 32, 20, 20), (32, 32, 3, 3), [2, 1], [1, 1], [1, 1], 1),
    ((1, 32, 20, 20), (32, 32, 3, 3), [1, 1], [3, 1], [1, 1], 1), ((1, 32, 20, 20), (32, 32, 3, 3), [1, 1], [1, 1], [1, 2], 1),
    ((1, 64, 20, 20), (32, 32, 3, 3), [1, 1], [1, 1], [1, 1], 2), ((1, 40, 20, 20), (32, 40, 3, 3), [1, 1], [1, 1], [1, 1], 1),
    ((0, 32, 20, 20), (32, 32, 3, 3), [1, 1], [1, 1], [1, 1], 1)])
def test_what_goes_the_direct_way(shape, kernel, stride, pad, dilation, groups):
    assert not winograd.fits(torch.zeros(shape), torch.zeros(kernel), stride, pad, dilation, groups)


def test_the_layer_takes_it_in_float32_and_not_in_float64():
    text = 'type: "Convolution" convolution_param { num_output: 32 kernel_size: 3 pad: 1 }'
    x, diff = numbers(5, 1, 32, 18, 21).numpy(), numbers(6, 1, 32, 18, 21).numpy()
    params = [numbers(7, 32, 32, 3, 3).numpy(), numbers(8, 32).numpy()]
    got = forward_backward(text, [x], [diff], params=params)
    with float64():
        want = forward_backward(text, [x], [diff], params=params)
        layer, bottom, _ = make_layer(text, [x])
        assert not winograd.fits(bottom[0].tensor, layer.blobs[0].tensor, [1, 1], [1, 1], [1, 1], 1)
    for a, b in zip(sum(got, []), sum(want, [])):
        assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()


def test_tops_read_and_write_as_arrays_with_the_channels_first():
    layer, bottom, top = make_layer('type: "Convolution" convolution_param { num_output: 32 kernel_size: 3 pad: 1 }',
                                    [numbers(9, 1, 32, 16, 17).numpy()])
    layer.forward(bottom, top)
    assert top[0].data.shape == (1, 32, 16, 17)
    top[0].data[0, 3, 2, 1] = 7
    assert float(top[0].tensor[0, 3, 2, 1]) == 7 and top[0].data.ravel()[3 * 16 * 17 + 2 * 17 + 1] == 7
