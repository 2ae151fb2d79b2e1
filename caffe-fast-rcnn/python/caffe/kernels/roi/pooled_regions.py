"""RoIs pooled without repetition: their bins cover the same regions of cells again and again.

Proposals of a photograph at scale 300, the mean of 30: 965 RoIs, 644 of them different for VGG16's 7 x 7 bins; these
31,600 bins are of 3,900 regions.  Each of those is pooled once.
"""
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from . import pooled_regions_cpu


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
