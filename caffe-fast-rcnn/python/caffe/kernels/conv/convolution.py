"""Convolution and deconvolution, in the precision of `caffe.set_precision` (../rounding.py).

    way                     takes                                                  folder, file
    winograd, bfloat16      3 x 3, stride 1, channels in 32s; CPU with AVX512-BF16  avx512_bf16/winograd.py
    im2col, bfloat16        few channels; the same CPUs                             avx512_bf16/im2col.py
    winograd                3 x 3, stride 1, channels in 16s; CPU, float32          winograd.py
    in bands                large images; CPU that multiplies bfloat16              bands.py
    direct                  everything                                              direct.py

Each has the same three functions.  x (N, C, spatial...); weight (num_output, C / groups, kernel...), of a deconvolution
(C, num_output / groups, kernel...); d: the ConvolutionDescriptor.

    fits(x, weight, d)                  whether this way takes it, and gains by it
    forward(x, weight, bias, d)         (N, num_output, spatial...); bias (num_output) or None
    backward(diff, x, weight, d, wanted)  [x diff, weight diff], None where `wanted` (two flags) has False
"""
from ..ways import avx512_bf16_ways, first_that_fits
from . import bands, direct, winograd

WAYS = (*avx512_bf16_ways("convolution"), winograd, bands, direct)


def forward(x, weight, bias, d):
    """x (N, C, spatial...), bias or None -> (N, num_output, spatial...); d: ConvolutionDescriptor."""
    return first_that_fits(WAYS, x, weight, d).forward(x, weight, bias, d)


def backward(diff, x, weight, d, wanted):
    """[x diff, weight diff, bias diff], None where `wanted` has False: what is not wanted is not computed."""
    # The bias is in no product, so its diff is not rounded.
    bias_diff = diff.sum([i for i in range(diff.dim()) if i != 1]) if wanted[2] else None
    way = first_that_fits(WAYS, x, weight, d)
    return [*way.backward(diff, x, weight, d, wanted[:2]), bias_diff]
