"""RoI max pooling on torch tensors: the front of the kernels.

Caffe's / Fast R-CNN's rule: a RoI's corners times spatial_scale are rounded (half away from zero) to cells, both
inclusive; the region is at least one cell wide and high; bin b of P covers cells floor(b * size / P) up to
ceil((b + 1) * size / P), clipped to the map; an empty bin gives 0 and passes no gradient.
"""
import numpy as np
import torch

from ..common import CaffeError
from . import on_gpu, roi_pooling_cpu

_LARGEST_CELL = 2.0 ** 24       # the kernels count cells in float32


def roi_pooling_forward(features, rois, pooled_h, pooled_w, spatial_scale, with_argmax=True, out=None):
    """features (N, C, H, W), rois (R, 5) [image, x1, y1, x2, y2] -> top (R, C, pooled_h, pooled_w), argmax.

    argmax has top's shape: the cell y * W + x of each maximum (the first in row order), -1 in an empty bin; None
    unless with_argmax.  out: a contiguous tensor to put the top in, which only the CPU's kernel does.
    Raises CaffeError for a RoI of no image of the batch or without finite coordinates; on a GPU, where looking would
    halt it, such a RoI's top is nan.
    """
    if on_gpu(features):
        from . import roi_pooling_triton
        return roi_pooling_triton.forward(features, rois, pooled_h, pooled_w, spatial_scale, with_argmax)
    cells = roi_cells(rois, spatial_scale, len(features))
    source = features.detach().permute(0, 2, 3, 1).contiguous()       # (N, H, W, C)
    shape = (len(cells), features.shape[1], pooled_h, pooled_w)
    top = torch.empty(shape, dtype=features.dtype) if out is None else out
    argmax = torch.empty(shape, dtype=torch.int32) if with_argmax else None
    roi_pooling_cpu.forward(source.numpy(), cells, _first_equal(cells), top.numpy(),
                            argmax.numpy() if with_argmax else None, torch.get_num_threads())
    return top, argmax


def roi_pooling_backward(top_diff, rois, argmax, features_shape):
    """The diff of the features, of features_shape (N, C, H, W), from that of the top and forward's argmax."""
    if on_gpu(top_diff):
        from . import roi_pooling_triton
        return roi_pooling_triton.backward(top_diff, rois, argmax, features_shape)
    num, channels, height, width = features_shape
    bottom_diff = torch.zeros(features_shape, dtype=top_diff.dtype)
    flat = (len(top_diff), channels, top_diff.shape[2] * top_diff.shape[3])
    images = rois.detach()[:, 0].numpy().astype(np.int32)
    roi_pooling_cpu.backward(top_diff.detach().reshape(flat).numpy(), argmax.reshape(flat).numpy(), images,
                             bottom_diff.reshape(num, channels, height * width).numpy(), torch.get_num_threads())
    return bottom_diff


def roi_cells(rois, spatial_scale, num_images):
    """rois (R, 5) in pixels -> int32 (R, 5): image index, then the corners in cells, rounded half away from zero."""
    rois = rois.detach().numpy()
    fraction, whole = np.modf(rois[:, 1:] * rois.dtype.type(spatial_scale))
    cells = np.column_stack([np.trunc(rois[:, :1]), whole + np.trunc(2 * fraction)])
    good = (cells[:, 0] >= 0) & (cells[:, 0] < num_images) & (np.abs(cells[:, 1:]) < _LARGEST_CELL).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        raise CaffeError("RoI pooling: RoI %d is [%s]; expected [image, x1, y1, x2, y2] with an image index below %d "
                         "and finite pixel coordinates" % (row, ", ".join("%g" % x for x in rois[row]), num_images))
    return np.ascontiguousarray(cells, dtype=np.int32)


def _first_equal(cells):
    """For each row the index of the first row equal to it (proposals often fall on the same cells)."""
    rows = np.ascontiguousarray(cells).view([("", cells.dtype)] * cells.shape[1]).ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int32)
