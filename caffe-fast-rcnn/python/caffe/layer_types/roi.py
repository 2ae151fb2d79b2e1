"""Layers on regions of interest."""
import math
from functools import cached_property

import torch

from ..common import on_gpu
from ..kernels.roi.linear_of_regions import linear_of_regions
from ..kernels.roi.roi_pooling import roi_pooling_backward, roi_pooling_distinct, roi_pooling_forward
from ..layer import Layer, register
from ..pending import Pending, RepeatedRows


@register("ROIPooling")
class ROIPoolingLayer(Layer):
    """Max pooling of each region of interest into a grid of fixed size (Fast R-CNN, section 2.1).

    layer { name: "roi_pool5" type: "ROIPooling" bottom: "conv5_3" bottom: "rois" top: "pool5"
            roi_pooling_param { pooled_w: 7 pooled_h: 7 spatial_scale: 0.0625 } }       # spatial_scale = 1 / stride

    bottom[0] (N, C, H, W); bottom[1] (R, 5), a row [image index, x1, y1, x2, y2] in pixels of the net's input;
    top (R, C, pooled_h, pooled_w); R may be 0.  The rounding rule is told in kernels/roi/roi_pooling.py.
    The maxima's places are kept only when backward is needed.  RoIs get a zero diff.
    Without backward, RoIs that fall on the same cells (a fifth to a third of the proposals) are pooled once, and once
    they go through the next layers that know of repeated rows (InnerProduct, ReLU).  On the CPU each region of cells
    is pooled once, whatever bins of how many RoIs cover it (kernels/roi/pooled_regions.py).  All blobs read in full.
    """

    bottoms = (2, 2)
    reads_top = False
    repeatable = True

    def setup(self, bottom, top):
        param = self.layer_param.roi_pooling_param
        self.pooled_h, self.pooled_w, self.spatial_scale = param.pooled_h, param.pooled_w, param.spatial_scale
        if not (self.pooled_h > 0 and self.pooled_w > 0):
            self.fail("pooled_h %d and pooled_w %d must be positive" % (self.pooled_h, self.pooled_w))
        if not self.spatial_scale > 0:
            self.fail("spatial_scale %g; expected 1 / stride of bottom 0, such as 0.0625" % self.spatial_scale)
        self._argmax, self._memory = None, _Memory()

    def reshape(self, bottom, top):
        features, rois = bottom[0].shape, bottom[1].shape
        if len(features) != 4:
            self.fail("bottom 0 has shape %s; expected (N, C, H, W)" % (features,))
        if not rois or bottom[1].count != rois[0] * 5:
            self.fail("bottom 1 has shape %s; expected RoIs (R, 5)" % (rois,))
        top[0].reshape(rois[0], features[1], self.pooled_h, self.pooled_w)

    def forward(self, bottom, top):
        args = (bottom[0].tensor, bottom[1].tensor.reshape(-1, 5), self.pooled_h, self.pooled_w, self.spatial_scale)
        if self.needs_backward:
            top[0].tensor, self._argmax = roi_pooling_forward(*args, empty=self._memory.empty)
        elif on_gpu(args[0]):       # to know which RoIs are repeated would mean to wait
            top[0].tensor, _ = roi_pooling_forward(*args, with_argmax=False)
        else:
            top[0].set_pending(PooledRows(*roi_pooling_distinct(*args)))

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff_tensor = roi_pooling_backward(top[0].diff_tensor, bottom[1].tensor.reshape(-1, 5),
                                                         self._argmax, bottom[0].shape, self.spatial_scale)
        if propagate_down[1]:
            bottom[1].diff_tensor = torch.zeros_like(bottom[1].tensor)

    def allow_force_backward(self, bottom_index):
        return bottom_index == 0


class PooledRows(Pending):
    """Distinct RoIs as PooledRegions (D, C, pooled_h, pooled_w), and each RoI's row of them; None: all are distinct."""

    def __init__(self, regions, repeats):
        self._regions, self._repeats = regions, repeats
        self.shape = regions.shape if repeats is None else (len(repeats), *regions.shape[1:])
        self.device = regions.device

    def tensor(self):
        rows, repeats = self.rows()
        return rows if repeats is None else RepeatedRows(rows, repeats).tensor()

    def rows(self):
        return self._rows, self._repeats

    @cached_property
    def _rows(self):
        return self._regions.tensor()

    def linear(self, weight, bias):
        return linear_of_regions(self._regions, weight, bias), self._repeats


class _Memory:
    """Gives the memory of the last tensor of a type again, when it is large enough.

    Fresh memory costs more than the pooling: 2000 RoIs on VGG16 make 200 MB, and the system clears every page.
    """

    def __init__(self):
        self._used = {}

    def empty(self, shape, dtype):
        """A tensor on the CPU with any numbers in it."""
        count = math.prod(shape)
        if dtype not in self._used or self._used[dtype].numel() < count:
            self._used[dtype] = torch.empty(count, dtype=dtype)
        return self._used[dtype][:count].view(shape)
