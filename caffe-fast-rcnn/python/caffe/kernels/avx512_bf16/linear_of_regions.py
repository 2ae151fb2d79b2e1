"""Pooled regions times weights in pairs of bfloat16, each distinct region of a bin once.

The job and its other ways: ../roi/linear_of_regions.py.
"""
import numpy as np
import torch

from . import regions_cpu
from .cpu import OUTPUTS, ROWS, takes

_PANELS = 4, 2, 1       # of OUTPUTS: what a thread does together


def fits(regions, weight):
    """Whether this way takes `regions`, a PooledRegions, and weight (O, C * bins), both float32."""
    return (takes(regions.maxima) and weight.is_contiguous() and weight.dtype == regions.maxima.dtype == torch.float32
            and regions.maxima.shape[1] % 2 == 0 and len(weight) % OUTPUTS == 0)


def forward(regions, weight, bias):
    """The rows of `regions` times weight, rounded to bfloat16, + bias (O) or None -> (R, O) float32."""
    order, first, repeats = regions.bin_by_bin
    (bins, rois), (outputs, inputs), threads = repeats.shape, weight.shape, torch.get_num_threads()
    panels = _panels(outputs, threads)
    most, width = int(np.diff(first).max(initial=0)) + ROWS - 1, panels * OUTPUTS
    # PyTorch's memory, which begins on a cache line: the kernel's loads are whole lines.
    filters = torch.empty(threads, panels, bins, inputs // bins // 2, OUTPUTS, 2, dtype=torch.uint16)
    products, sums = torch.empty(threads, most, width), torch.empty(threads, rois, width)
    y, bias = torch.empty(rois, outputs), torch.zeros(outputs) if bias is None else bias.detach()
    regions_cpu.multiply_regions(_factors(regions.maxima, order).view(torch.uint16).numpy(), first, repeats,
                                 weight.detach().numpy(), bias.contiguous().numpy(), filters.numpy(),
                                 products.numpy(), sums.numpy(), y.numpy())
    return y


def _panels(outputs, threads):
    """The most that divide the outputs and leave each thread two pieces of work."""
    return next(p for p in _PANELS
                if p == 1 or outputs % (p * OUTPUTS) == 0 and outputs // (p * OUTPUTS) >= 2 * threads)


def _factors(maxima, order):
    """maxima (T, C) -> those of `order` (U + ROWS - 1, C) in bfloat16.

    The last product of a bin has ROWS rows, too; what lies after the last region is never read.
    """
    factors = torch.empty(len(order) + ROWS - 1, maxima.shape[1], dtype=torch.bfloat16)
    torch.index_select(maxima.bfloat16(), 0, torch.from_numpy(order), out=factors[:len(order)])
    return factors
