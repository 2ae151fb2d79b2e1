"""Convolution of large images in bfloat16 by PyTorch's kernels on the CPU, a band of rows at a time.

The rounded copies of a whole image would take as much memory as half the image and half the result.
"""
import torch
import torch.nn.functional as F

from ..rounding import factor_dtype, rounded
from . import direct
from .direct import channels_last

_BAND = 1 << 24         # numbers of an image and its convolution that are there in bfloat16 at a time


def fits(x, weight, d):
    """Whether x is an image on the CPU that is multiplied in bfloat16, and larger than a band."""
    if x.dim() != 4 or x.device.type != "cpu" or d.transposed or factor_dtype(x) == x.dtype:
        return False
    return x.numel() + x.numel() // max(1, x.shape[1]) * len(weight) > _BAND


def forward(x, weight, bias, d):
    """x (N, C, H, W), float32 -> (N, num_output, H', W'), channels last."""
    right = rounded(weight)
    (out_height, out_width), extents = _sizes(x, weight, d)
    y = torch.empty(len(x), out_height, out_width, len(weight)).permute(0, 3, 1, 2)
    rows = max(1, _BAND * out_height // max(1, x.numel() + y.numel()))
    for row in range(0, out_height, rows):
        end = min(row + rows, out_height)
        first, count = row * d.stride[0] - d.pad[0], (end - 1 - row) * d.stride[0] + extents[0]
        out = torch.ops.aten.convolution(channels_last(_band(x, first, count)), right, None, d.stride, [0, d.pad[1]],
                                         d.dilation, False, [0, 0], d.groups)
        if bias is None:
            y[:, :, row:end] = out
        else:
            torch.add(out, bias.view(1, -1, 1, 1), out=y[:, :, row:end])
    return y


backward = direct.backward


def _sizes(x, weight, d):
    """(height, width) of the result, and of what a filter sees."""
    extents = [dilation * (k - 1) + 1 for dilation, k in zip(d.dilation, weight.shape[2:])]
    sizes = [(size + 2 * p - extent) // step + 1
             for size, p, extent, step in zip(x.shape[2:], d.pad, extents, d.stride)]
    return sizes, extents


def _band(x, first, count):
    """`count` rows of x, rounded, from row `first` on; zeros outside the image."""
    band = rounded(x[:, :, max(first, 0):max(first + count, 0)])
    above = min(max(-first, 0), count)
    return F.pad(band, (0, 0, above, count - above - band.shape[2]))
