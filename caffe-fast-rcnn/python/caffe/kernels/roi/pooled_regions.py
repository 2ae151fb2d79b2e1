"""RoIs pooled without repetition: their bins cover the same regions of cells again and again.

Proposals of a photograph at scale 300, the mean of 30: 965 RoIs, 644 of them different for VGG16's 7 x 7 bins; these
31,600 bins are of 3,900 regions.  Each of those is pooled once.  An InnerProduct behind it is a sum over the bins, of
products of C maxima and C columns of the weights, and in each bin the 644 RoIs have 446 regions (at scale 600, 882 RoIs
have 737): so each of those is multiplied once, and the products are added up RoI by RoI.
"""
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..avx512_bf16 import winograd_cpu as bf16_cpu
from . import pooled_regions_cpu

_OUTPUTS = 512          # of one block of weights in `linear`: 51 MB of VGG16's
_PANELS = 4, 2, 1       # of bf16_cpu.OUTPUTS: what a thread of `linear_bf16` does together
_LEAST_SAVED = 64       # rows a bin: turning the weights round takes as long as their products


@dataclass(frozen=True)
class PooledRegions:
    """What RoI max pooling gives, (R, C, pooled_h, pooled_w), on the CPU.

    maxima (T, C): of each distinct region of cells; places (R, pooled_h, pooled_w) int64: each bin's region.
    """

    maxima: torch.Tensor
    places: np.ndarray

    @property
    def shape(self):
        rois, pooled_h, pooled_w = self.places.shape
        return rois, self.maxima.shape[1], pooled_h, pooled_w

    @property
    def device(self):
        return self.maxima.device

    def tensor(self):
        """(R, C, pooled_h, pooled_w)."""
        top = torch.empty(self.shape, dtype=self.maxima.dtype)
        pooled_regions_cpu.spread(self.maxima.numpy(), self._in_rows(), top.flatten(2).numpy(),
                                  torch.get_num_threads())
        return top

    @cached_property
    def bin_by_bin(self):
        """(regions (U), first (bins + 1), repeats (bins, R)): bin b has the distinct regions[first[b]:first[b + 1]].

        That of RoI r is repeats[b, r] of these.
        """
        places = np.ascontiguousarray(self._in_rows().T)
        bins, total = len(places), len(self.maxima)
        there = np.zeros((bins, total), bool)
        np.put_along_axis(there, places, True, 1)
        number = there.cumsum(1, dtype=np.int32) - np.int32(1)
        first = np.concatenate([[0], there.sum(1).cumsum()]).astype(np.int32)
        return there.nonzero()[1], first, np.take_along_axis(number, places, 1)

    def _in_rows(self):
        """places (R, bins)."""
        rois, pooled_h, pooled_w = self.places.shape
        return self.places.reshape(rois, pooled_h * pooled_w)


def pool(features, bins):
    """features (N, C, H, W), bins as `bins.roi_bins` gives them -> PooledRegions."""
    regions, places = _distinct_regions(*(x.numpy() for x in bins))
    image = features.permute(0, 2, 3, 1).contiguous()
    maxima = torch.empty(len(regions), image.shape[3], dtype=image.dtype)
    pooled_regions_cpu.maxima(image.numpy(), regions, maxima.numpy(), torch.get_num_threads())
    return PooledRegions(maxima, places)


def _distinct_regions(images, ys, xs):
    """images (R), ys (R, h, 2), xs (R, w, 2) -> regions (T, 5) int32 [image, y1, y2, x1, x2], places (R, h, w)."""
    below, right = (int(x.max(initial=0)) + 1 for x in (ys, xs))      # each number is below these
    ys, xs = ys.astype(np.int64), xs.astype(np.int64)
    rows, columns = (images[:, None] * below + ys[:, :, 0]) * below + ys[:, :, 1], xs[:, :, 0] * right + xs[:, :, 1]
    cells = (ys[:, :, 0] < ys[:, :, 1])[:, :, None] & (xs[:, :, 0] < xs[:, :, 1])[:, None]
    keys = np.where(cells, rows[:, :, None] * right ** 2 + columns[:, None], 0)     # 0: without cells
    keys, places = np.unique(keys, return_inverse=True)
    regions = []
    for size in (right, right, below, below):
        keys, number = np.divmod(keys, size)
        regions.insert(0, number)
    return np.stack([keys, *regions], 1).astype(np.int32), places.reshape(cells.shape)


def linear(regions, factors, weights, num_output):
    """The product of the rows of `regions`, a PooledRegions, with weights (num_output, C * bins) -> (R, num_output).

    factors (T, C): the maxima as factors.  weights: function that gives a slice of the rows of them.
    """
    order, first, repeats = regions.bin_by_bin
    left = factors[torch.from_numpy(order)]
    y = factors.new_empty(len(regions.places), num_output)
    for start in range(0, num_output, _OUTPUTS):
        rows = slice(start, min(start + _OUTPUTS, num_output))
        right = _in_bins(weights(rows), len(repeats))
        sums = factors.new_zeros(len(y), right.shape[2])
        for b in range(len(repeats)):
            products = left[first[b]:first[b + 1]].mm(right[b])
            pooled_regions_cpu.add_repeated(products.numpy(), repeats[b], sums.numpy(), torch.get_num_threads())
        y[:, rows] = sums
    return y


def _in_bins(weight, bins):
    """(O, C * bins) -> (bins, C, O)."""
    out = weight.new_empty(bins, weight.shape[1] // bins, len(weight))
    pooled_regions_cpu.in_bins(weight.detach().contiguous().numpy(), out.numpy(), torch.get_num_threads())
    return out


def saves_time(regions):
    """Whether `linear` takes less time than the product of all rows."""
    rois, _channels, pooled_h, pooled_w = regions.shape
    if rois < _LEAST_SAVED:
        return False
    return rois - regions.bin_by_bin[1][-1] / (pooled_h * pooled_w) > _LEAST_SAVED + rois / 32


def fits_bf16(regions, weight):
    """Whether `linear_bf16` takes them: on a CPU that multiplies pairs of bfloat16."""
    return (weight.is_contiguous() and weight.dtype == regions.maxima.dtype == torch.float32
            and regions.maxima.shape[1] % 2 == 0 and len(weight) % bf16_cpu.OUTPUTS == 0)


def linear_bf16(regions, weight, bias):
    """The rows of `regions` times weight (O, C * bins), rounded to bfloat16, + bias (O) or None -> (R, O) float32."""
    order, first, repeats = regions.bin_by_bin
    (bins, rois), (outputs, inputs), threads = repeats.shape, weight.shape, torch.get_num_threads()
    panels = next(p for p in _PANELS if p == 1 or outputs % (p * bf16_cpu.OUTPUTS) == 0
                  and outputs // (p * bf16_cpu.OUTPUTS) >= 2 * threads)
    # The last product of a bin has ROWS rows, too, of which what lies behind is never read.
    factors = torch.empty(len(order) + bf16_cpu.ROWS - 1, inputs // bins, dtype=torch.bfloat16)
    torch.index_select(regions.maxima.bfloat16(), 0, torch.from_numpy(order), out=factors[:len(order)])
    most, width = int(np.diff(first).max(initial=0)) + bf16_cpu.ROWS - 1, panels * bf16_cpu.OUTPUTS
    # PyTorch's memory, which begins on a cache line: the kernel's loads are whole lines.
    filters = torch.empty(threads, panels, bins, inputs // bins // 2, bf16_cpu.OUTPUTS, 2, dtype=torch.uint16)
    products, sums = torch.empty(threads, most, width), torch.empty(threads, rois, width)
    y, bias = torch.empty(rois, outputs), torch.zeros(outputs) if bias is None else bias.detach()
    bf16_cpu.multiply_regions(factors.view(torch.uint16).numpy(), first, repeats, weight.detach().numpy(),
                              bias.contiguous().numpy(), filters.numpy(), products.numpy(), sums.numpy(), y.numpy())
    return y
