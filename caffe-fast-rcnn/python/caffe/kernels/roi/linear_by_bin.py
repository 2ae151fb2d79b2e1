"""Pooled regions times weights, each distinct region of a bin once."""
import torch

from ..rounding import factor_dtype, rounded
from . import pooled_regions_cpu

_OUTPUTS = 512          # of one block of weights: 51 MB of VGG16's
_LEAST_SAVED = 64       # rows a bin: turning the weights round takes as long as their products


def fits(regions, weight):
    """Whether this takes less time than the product of all rows; the maxima keep their number type as factors."""
    rois, _channels, pooled_h, pooled_w = regions.shape
    if rois < _LEAST_SAVED or factor_dtype(regions.maxima) != regions.maxima.dtype:
        return False
    return rois - regions.bin_by_bin[1][-1] / (pooled_h * pooled_w) > _LEAST_SAVED + rois / 32


def forward(regions, weight, bias):
    """(R, num_output); see linear_of_regions.py."""
    order, first, repeats = regions.bin_by_bin
    left = rounded(regions.maxima)[torch.from_numpy(order)]
    y = left.new_empty(len(regions.places), len(weight))
    for start in range(0, len(weight), _OUTPUTS):
        rows = slice(start, min(start + _OUTPUTS, len(weight)))
        right = _in_bins(rounded(weight[rows]), len(repeats))
        sums = left.new_zeros(len(y), right.shape[2])
        for b in range(len(repeats)):
            products = left[first[b]:first[b + 1]].mm(right[b])
            pooled_regions_cpu.add_repeated(products.numpy(), repeats[b], sums.numpy(), torch.get_num_threads())
        y[:, rows] = sums
    return y if bias is None else y.add_(bias)


def _in_bins(weight, bins):
    """(O, C * bins) -> (bins, C, O)."""
    out = weight.new_empty(bins, weight.shape[1] // bins, len(weight))
    pooled_regions_cpu.in_bins(weight.detach().contiguous().numpy(), out.numpy(), torch.get_num_threads())
    return out
