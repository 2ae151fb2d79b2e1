"""Products of activations and weights: convolutions and matrices, in the precision of `caffe.set_precision`.

float32, tf32: the tensors as they are (on a GPU tf32 is a switch of PyTorch's, set by `set_precision`).
bf16: both factors are rounded to bfloat16 (8 bits of mantissa, to nearest, ties to even) and their products are added
up in float32.  Results, biases and parameter diffs are float32.
- On a GPU, and on a CPU that multiplies bfloat16 (`common.native_bf16`), the factors are bfloat16 tensors and
  PyTorch's own kernels run; these also write their results in bfloat16, one rounding more of at most 2^-8.
- On a CPU whose vectors multiply pairs of bfloat16, most convolutions and what is behind RoI pooling run in our own
  kernels instead (`winograd`, `im2col`, `pooled_regions`): their results stay float32, and Winograd's way rounds
  transforms of the factors.
- On any other CPU the rounded factors stay float32 tensors: the same products, at float32's speed.
float64 (gradient checks) is never rounded.
"""
import numpy as np
import torch
import torch.nn.functional as F

from ... import common
from .. import rounding_cpu
from ..avx512_bf16 import im2col
from ..avx512_bf16 import winograd_cpu as bf16_cpu
from ..roi import pooled_regions
from . import winograd

# Numbers of a weight that are rounded at a time.  A large one (fc6 of VGG16: 103 million) is read once then, and its
# rounded copy, or its diff's, stays in the cache; more at a time where many rows want each block.
_BLOCK, _BLOCK_OF_MANY, _MANY = 1 << 22, 1 << 24, 256
_BAND = 1 << 24         # numbers of an image and its convolution that are there in bfloat16 at a time


def rounded(x):
    """x as a factor of a product: itself, or rounded to bfloat16 (the type of the result is bfloat16 or float32)."""
    if common.precision() != "bf16" or x.dtype != torch.float32:
        return x
    return x.to(torch.bfloat16) if common.native_bf16() else _rounded_float32(x.detach())


def _rounded_float32(x):
    """x on the CPU -> float32 numbers that bfloat16 has, in the same layout."""
    y = torch.empty_like(x)
    if y.stride() != x.stride():            # x has gaps
        x = x.contiguous(memory_format=torch.contiguous_format)
        y = torch.empty_like(x)
    flat = [t.as_strided((t.numel(),), (1,)).numpy().view(np.uint32) for t in (x, y)]
    rounding_cpu.round_to_bf16(*flat, torch.get_num_threads())
    return y


def linear(x, weight, bias=None):
    """x (M, K), weight (num_output, K), bias (num_output) or None -> (M, num_output)."""
    left = rounded(x)
    y = x.new_empty(len(x), len(weight))
    for rows in _row_blocks(weight, len(x)):
        right, out = rounded(weight[rows]).t(), y[:, rows]
        if left.dtype != x.dtype:
            out.copy_(left.mm(right))
        elif bias is None:
            torch.mm(left, right, out=out)
        else:
            torch.addmm(bias[rows], left, right, out=out)
    return y if bias is None or left.dtype == x.dtype else y.add_(bias)


def linear_of_regions(x, weight, bias=None):
    """`linear` of what RoI pooling gave, x a PooledRegions (R, C, pooled_h, pooled_w), as rows of C * bins numbers."""
    if _multiplies_pairs(x.maxima) and pooled_regions.fits_bf16(x, weight):
        return pooled_regions.linear_bf16(x, weight, bias)
    factors = rounded(x.maxima)
    if factors.dtype != x.maxima.dtype or not pooled_regions.saves_time(x):
        return linear(x.tensor().flatten(1), weight, bias)
    y = pooled_regions.linear(x, factors, lambda rows: rounded(weight[rows]), len(weight))
    return y if bias is None else y.add_(bias)


def matmul(a, weight):
    """a (M, num_output), weight (num_output, K) -> (M, K)."""
    left = rounded(a)
    if left.dtype != a.dtype and len(a) > _MANY:    # adding up blocks of many rows takes longer than it saves
        return left.mm(rounded(weight)).to(a.dtype)
    first, *others = _row_blocks(weight, len(a))
    y = left[:, first].mm(rounded(weight[first])).to(a.dtype)
    for rows in others:
        _add_product(y, left[:, rows], rounded(weight[rows]))
    return y


def add_matmul(out, a, b):
    """out (M, N) += a (M, K) b (K, N), in place; on the CPU without a second array of out's size."""
    left, right = rounded(a), rounded(b)
    for rows in _row_blocks(out, len(b)):
        _add_product(out[rows], left[rows], right)


def _add_product(out, left, right):
    if left.dtype == out.dtype:
        out.addmm_(left, right)
    else:
        out.add_(left.mm(right))


def _row_blocks(weight, count):
    """Slices of weight's rows, for `count` rows that each of them meets: all at once but for bf16 on the CPU."""
    step, block = len(weight), _BLOCK if count <= _MANY else _BLOCK_OF_MANY
    if common.precision() == "bf16" and weight.device.type == "cpu" and weight.numel():
        step = max(1, block * step // weight.numel())
    return [slice(i, i + step) for i in range(0, len(weight), step)] or [slice(0, 0)]


def convolve(x, weight, bias, geometry, transposed, groups):
    """x (N, C, spatial...), bias or None -> (N, num_output, spatial...); geometry: stride, pad, dilation, axes."""
    g = geometry
    if _multiplies_pairs(x) and not transposed:
        if g.axes == 2 and winograd.fits_bf16(x, weight, g.stride, g.pad, g.dilation, groups):
            return winograd.convolve_bf16(x, weight, bias, g.pad)
        if im2col.fits(x, weight, g.dilation, groups):
            return im2col.convolve(x, weight, bias, g.stride, g.pad)
    right = rounded(weight)
    native = right.dtype != x.dtype
    large = x.numel() + x.numel() // max(1, x.shape[1]) * len(weight) > _BAND
    if native and large and x.dim() == 4 and x.device.type == "cpu" and not transposed:
        return _convolve_in_bands(x, right, bias, g, groups)
    left = rounded(x)
    if not transposed and g.axes == 2 and winograd.fits(left, right, g.stride, g.pad, g.dilation, groups):
        return winograd.convolve(left, right, bias, g.pad)
    y = torch.ops.aten.convolution(_laid_out(left), right, None if native else bias, g.stride, g.pad, g.dilation,
                                   transposed, [0] * g.axes, groups)
    if native:
        y = y.to(x.dtype)
        if bias is not None:
            y += bias.view(-1, *[1] * g.axes)
    return y


def _multiplies_pairs(x):
    """Whether our own kernels multiply x, in pairs of bfloat16 numbers: those of PyTorch take longer then."""
    return (common.precision() == "bf16" and common.native_bf16() and x.device.type == "cpu" and bf16_cpu.COMPILED
            and common.cpu_multiplies_bf16_pairs())


def _convolve_in_bands(x, weight, bias, geometry, groups):
    """x (N, C, H, W) float32, weight bfloat16 -> (N, num_output, H', W'), a band of rows at a time.

    The rounded copies of a whole image would take as much memory as half the image and half the result.
    """
    g, extents = geometry, [d * (k - 1) + 1 for d, k in zip(geometry.dilation, weight.shape[2:])]
    out_height, out_width = [(size + 2 * p - extent) // step + 1
                             for size, p, extent, step in zip(x.shape[2:], g.pad, extents, g.stride)]
    y = torch.empty(len(x), out_height, out_width, len(weight)).permute(0, 3, 1, 2)     # channels last
    rows = max(1, _BAND * out_height // max(1, x.numel() + y.numel()))
    for row in range(0, out_height, rows):
        end = min(row + rows, out_height)
        first, count = row * g.stride[0] - g.pad[0], (end - 1 - row) * g.stride[0] + extents[0]
        band = rounded(x[:, :, max(first, 0):max(first + count, 0)])
        above = min(max(-first, 0), count)
        band = F.pad(band, (0, 0, above, count - above - band.shape[2]))
        out = torch.ops.aten.convolution(_laid_out(band), weight, None, g.stride, [0, g.pad[1]], g.dilation, False,
                                         [0, 0], groups)
        if bias is None:
            y[:, :, row:end] = out
        else:
            torch.add(out, bias.view(1, -1, 1, 1), out=y[:, :, row:end])
    return y


def convolve_backward(diff, x, weight, geometry, transposed, groups, wanted):
    """[x diff, weight diff, bias diff], None where `wanted` has False: what is not wanted is not computed."""
    g = geometry
    # The bias is in no product, so its diff is not rounded.
    bias_diff = diff.sum([i for i in range(diff.dim()) if i != 1]) if wanted[2] else None
    if (not transposed and g.axes == 2 and _multiplies_pairs(x)
            and winograd.fits_bf16(x, weight, g.stride, g.pad, g.dilation, groups)):
        return [winograd.input_diff_bf16(diff, weight, g.pad) if wanted[0] else None,
                winograd.weight_diff_bf16(diff, x, g.pad) if wanted[1] else None, bias_diff]
    factors = rounded(diff), rounded(x), rounded(weight)
    if not transposed and g.axes == 2 and winograd.fits(*factors[1:], g.stride, g.pad, g.dilation, groups):
        return [winograd.input_diff(factors[0], factors[2], g.pad) if wanted[0] else None,
                winograd.weight_diff(*factors[:2], g.pad) if wanted[1] else None, bias_diff]

    def direct(layout, mask):
        diffs = torch.ops.aten.convolution_backward(
            layout(factors[0]), layout(factors[1]), factors[2], [diff.shape[1]], g.stride, g.pad, g.dilation,
            transposed, [0] * g.axes, groups, mask)
        return [d if d is None else d.to(x.dtype) for d in diffs[:2]]

    if factors[0].dtype == x.dtype:     # two calls: in float32 weight diffs want another layout
        diffs = [direct(_laid_out, [True, False, False])[0] if wanted[0] else None,
                 direct(torch.Tensor.contiguous, [False, True, False])[1] if wanted[1] else None]
    else:
        diffs = direct(_laid_out, [*wanted[:2], False]) if any(wanted[:2]) else [None, None]
    return [*diffs, bias_diff]


def _laid_out(x):
    """x with the channels last in memory, where PyTorch's convolutions are faster so: images on the CPU.

    Weight diffs in float32 are the exception: those are up to ten times faster from images with the channels first.
    """
    if x.dim() != 4 or x.device.type != "cpu":
        return x
    x, (_num, channels, height, width) = x.contiguous(memory_format=torch.channels_last), x.shape
    # A single image may have any stride along N; PyTorch only takes it for channels last with the one of several.
    return x.as_strided(x.shape, (height * width * channels, 1, width * channels, channels))
