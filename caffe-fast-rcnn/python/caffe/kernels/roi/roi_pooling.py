"""RoI max pooling on torch tensors: the front of the kernels.

Caffe's / Fast R-CNN's rule: a RoI's corners times spatial_scale are rounded (half away from zero) to cells, both
inclusive; the region is at least one cell wide and high; bin b of P covers cells floor(b * size / P) up to
ceil((b + 1) * size / P), clipped to the map; an empty bin gives 0 and passes no gradient.
"""
import numpy as np
import torch
from torch.nn import functional

from ...common import CaffeError, has_triton, on_gpu
from . import pooled_regions, roi_pooling_cpu
from .bins import real, roi_bins


def roi_pooling_forward(features, rois, pooled_h, pooled_w, spatial_scale, with_argmax=True, empty=torch.empty):
    """features (N, C, H, W), rois (R, 5) [image, x1, y1, x2, y2] -> top (R, C, pooled_h, pooled_w), argmax.

    argmax has top's shape: the cell y * W + x of each maximum (the first in row order), -1 in an empty bin; None
    unless with_argmax.  empty(shape, dtype=): where the memory of both comes from, on the CPU.  Raises CaffeError for
    a RoI of no image of the batch or without finite coordinates; on a GPU, which an error would halt, its top is nan.
    """
    if on_gpu(features) and not has_triton():
        top, argmax = roi_pooling_forward(features.cpu(), rois.cpu(), pooled_h, pooled_w, spatial_scale, with_argmax)
        return top.to(features.device), argmax if argmax is None else argmax.to(features.device)
    if on_gpu(features):
        from . import roi_pooling_triton
        return roi_pooling_triton.forward(features.detach(), rois.detach(), pooled_h, pooled_w, spatial_scale,
                                          with_argmax)
    return _pool(features, _checked_bins(features, rois, pooled_h, pooled_w, spatial_scale), with_argmax, empty)


def roi_pooling_distinct(features, rois, pooled_h, pooled_w, spatial_scale):
    """As roi_pooling_forward without argmax, but RoIs with the same cells in every bin have one row together; CPU only.

    Returns the top, a PooledRegions (D, C, pooled_h, pooled_w), and repeats (R) int64, each RoI's row of it; repeats is
    None where every RoI has a row of its own.
    """
    bins = _checked_bins(features, rois, pooled_h, pooled_w, spatial_scale)
    first, repeats = _distinct_rows(torch.cat([x.flatten(1) for x in (bins[0][:, None], *bins[1:])], 1).numpy())
    if len(first) == len(rois):
        return pooled_regions.pool(features.detach(), bins), None
    return pooled_regions.pool(features.detach(), [x[first] for x in bins]), torch.from_numpy(repeats)


def roi_pooling_backward(top_diff, rois, argmax, features_shape, spatial_scale):
    """The diff of the features, of features_shape (N, C, H, W), from that of the top and forward's argmax."""
    if on_gpu(top_diff) and not has_triton():
        return roi_pooling_backward(top_diff.cpu(), rois.cpu(), argmax.cpu(), features_shape,
                                    spatial_scale).to(top_diff.device)
    if on_gpu(top_diff):
        from . import roi_pooling_triton
        return roi_pooling_triton.backward(top_diff.detach(), rois.detach(), argmax, features_shape,
                                           spatial_scale)
    bottom_diff = torch.zeros(features_shape, dtype=top_diff.dtype)
    roi_pooling_cpu.backward(top_diff.detach().contiguous().flatten(2).numpy(), argmax.flatten(2).numpy(),
                             rois.detach()[:, 0].int().numpy(), bottom_diff.flatten(2).numpy(), torch.get_num_threads())
    return bottom_diff


def _pool(features, bins, with_argmax, empty=torch.empty):
    """bins: images (R), ys (R, pooled_h, 2), xs (R, pooled_w, 2).  Returns top and argmax, None unless with_argmax."""
    images, ys, xs = bins
    shape = (len(images), features.shape[1], ys.shape[1], xs.shape[1])
    top = empty(shape, dtype=features.dtype)
    argmax = empty(shape, dtype=torch.int32) if with_argmax else None
    roi_pooling_cpu.forward(_in_blocks(features.detach()).numpy(), images.numpy(), ys.numpy(), xs.numpy(),
                            top.flatten(2).numpy(), argmax.flatten(2).numpy() if with_argmax else None,
                            torch.get_num_threads())
    return top, argmax


def _in_blocks(features):
    """(N, C, H, W) -> (N, blocks, H, W, channels of a block); the last block is filled up with zeros."""
    num, channels, height, width = features.shape
    block = roi_pooling_cpu.BLOCK
    if channels % block:
        features = functional.pad(features, (0, 0, 0, 0, 0, -channels % block))
    return features.reshape(num, -(-channels // block), block, height, width).permute(0, 1, 3, 4, 2).contiguous()


def _checked_bins(features, rois, pooled_h, pooled_w, spatial_scale):
    """bins.roi_bins, in the features' number type; raises CaffeError for a bad RoI."""
    num, _, height, width = features.shape
    bins = roi_bins(real(rois.detach()).to(features.dtype), num, height, width, pooled_h, pooled_w, spatial_scale)
    if (bins[0] < 0).any():
        row = int(bins[0].argmin())
        raise CaffeError("RoI pooling: RoI %d is [%s]; expected [image, x1, y1, x2, y2] with an image index below %d "
                         "and finite pixel coordinates" % (row, ", ".join("%g" % x for x in rois[row]), num))
    return bins


def _distinct_rows(rows):
    """rows (R, K) of integers -> the first row of each kind (D), and each row's kind (R), an index into them."""
    keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, repeats = np.unique(keys, return_index=True, return_inverse=True)
    return first, repeats
