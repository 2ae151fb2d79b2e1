"""The convolutions of few channels in bf16, against sums in float64 of the rounded factors."""
import caffe
import pytest
import torch
from caffe.kernels.avx512_bf16 import im2col as few_channels
from caffe.kernels.avx512_bf16 import winograd_cpu as bf16_cpu
from support.one_layer import forward_backward

pytestmark = pytest.mark.skipif(not (bf16_cpu.COMPILED and torch.cpu._is_avx512_bf16_supported()),
                                reason="the CPU has no AVX-512 BF16")


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def direct(x, weight, bias, stride, pad):
    rounded = [t.bfloat16().double() for t in (x, weight)]
    return torch.nn.functional.conv2d(*rounded, None if bias is None else bias.double(), stride, pad)


# images, channels, height, width, outputs, kernel, stride, pad: even and odd numbers a window, narrower than 14 and wider
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("num, channels, height, width, outputs, kernel, stride, pad", [
    (1, 3, 17, 31, 64, (3, 3), (1, 1), (1, 1)), (2, 3, 40, 51, 96, (7, 7), (2, 2), (3, 3)),
    (1, 1, 9, 6, 32, (3, 5), (2, 1), (0, 2)), (1, 4, 5, 30, 32, (2, 1), (1, 3), (1, 0)), (1, 8, 4, 14, 32, (1, 1), (1, 1), (0, 0))])
def test_against_sums_of_rounded_factors(num, channels, height, width, outputs, kernel, stride, pad, threads, monkeypatch):
    x, weight = numbers(1, num, channels, height, width), numbers(2, outputs, channels, *kernel)
    bias = numbers(3, outputs) if num == 1 else None
    want = direct(x, weight, bias, stride, pad)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert few_channels.fits(x, weight, [1, 1], 1)
    for layout in (torch.contiguous_format, torch.channels_last):
        got = few_channels.convolve(x.contiguous(memory_format=layout), weight, bias, stride, pad)
        assert got.shape == want.shape and got.dtype == torch.float32
        assert float((got - want).abs().max() / want.abs().max()) < 1e-6
    assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape, kernel, dilation, groups", [
    ((1, 9, 8, 8), (32, 9, 3, 3), [1, 1], 1), ((1, 3, 8, 8), (48, 3, 3, 3), [1, 1], 1), ((1, 3, 8, 8), (32, 3, 3, 3), [2, 1], 1),
    ((1, 4, 8, 8), (32, 2, 3, 3), [1, 1], 2), ((1, 3, 8), (32, 3, 3), [1], 1)])
def test_what_goes_another_way(shape, kernel, dilation, groups):
    assert not few_channels.fits(torch.zeros(shape), torch.zeros(kernel), dilation, groups)


def test_the_layer_gives_it():
    text = 'type: "Convolution" convolution_param { num_output: 32 kernel_size: 7 stride: 2 }'
    x, weight, bias = numbers(1, 1, 3, 40, 40), numbers(2, 32, 3, 7, 7), numbers(3, 32)
    caffe.set_precision("bf16")
    try:
        (top,), *_ = forward_backward(text, [x.numpy()], [numbers(4, 1, 32, 17, 17).numpy()],
                                      params=[weight.numpy(), bias.numpy()])
    finally:
        caffe.set_precision("float32")
    want = direct(x, weight, bias, 2, 0)
    assert float((torch.from_numpy(top) - want).abs().max() / want.abs().max()) < (
        1e-6 if caffe.common.cpu_multiplies_bf16_pairs() else 2 ** -7)
