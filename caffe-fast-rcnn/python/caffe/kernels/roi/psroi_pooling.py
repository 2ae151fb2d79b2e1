"""Position-sensitive RoI average pooling on torch tensors (R-FCN, section 2): the front of the kernels.

A RoI's corners are rounded to whole pixels (half away from zero) and scaled: start = round(x1) * spatial_scale,
end = (round(x2) + 1) * spatial_scale; the region is at least 0.1 cells wide and high.  Bin b of G covers cells
floor(start + b * size / G) up to ceil(start + (b + 1) * size / G), clipped to the map.  Bin (ph, pw) of output channel
d is the mean over its cells of input channel (d * G + ph) * G + pw; an empty bin gives 0 and passes no gradient.
"""
import torch

from ...common import CaffeError, has_triton, on_gpu
from . import psroi_pooling_cpu
from .bins import psroi_bins, real


def psroi_pooling_forward(features, rois, output_dim, group_size, spatial_scale):
    """features (N, output_dim * G * G, H, W), rois (R, 5) [image, x1, y1, x2, y2] -> top (R, output_dim, G, G).

    Raises CaffeError for a RoI of no image of the batch or without finite coordinates; on a GPU, where looking would
    halt it, such a RoI's top is nan.
    """
    if on_gpu(features) and not has_triton():
        return psroi_pooling_forward(features.cpu(), rois.cpu(), output_dim, group_size,
                                     spatial_scale).to(features.device)
    grouped = _grouped(features.detach(), output_dim)
    num, _, height, width = features.shape
    top = torch.empty(len(rois), group_size ** 2, output_dim, dtype=grouped.dtype, device=features.device)
    if on_gpu(features):
        from . import psroi_pooling_triton
        psroi_pooling_triton.forward(grouped, real(rois.detach()).contiguous(), spatial_scale, top)
    else:
        bins = _checked_bins(rois, num, height, width, group_size, spatial_scale)
        psroi_pooling_cpu.forward(*map(_numpy, (grouped, *bins, top)), torch.get_num_threads())
    top = top.permute(0, 2, 1).reshape(len(rois), output_dim, group_size, group_size)
    return top.to(features.dtype).contiguous()


def psroi_pooling_backward(top_diff, rois, features_shape, spatial_scale):
    """The diff of the features, of features_shape (N, D * G * G, H, W), from that of the top (R, D, G, G)."""
    if on_gpu(top_diff) and not has_triton():
        return psroi_pooling_backward(top_diff.cpu(), rois.cpu(), features_shape, spatial_scale).to(top_diff.device)
    num, _, height, width = features_shape
    output_dim, group_size = top_diff.shape[1:3]
    shape = (num, group_size ** 2, height, width, output_dim)
    by_bin = real(top_diff.detach()).flatten(2).permute(0, 2, 1).contiguous()         # (R, G*G, D)
    if on_gpu(top_diff):
        from . import psroi_pooling_triton
        diff = torch.empty(shape, dtype=by_bin.dtype, device=top_diff.device)
        psroi_pooling_triton.backward(by_bin, real(rois.detach()).contiguous(), spatial_scale, diff)
    else:
        diff = torch.zeros(shape, dtype=by_bin.dtype)
        bins = _checked_bins(rois, num, height, width, group_size, spatial_scale)
        psroi_pooling_cpu.backward(*map(_numpy, (by_bin, *bins, diff)), torch.get_num_threads())
    return diff.permute(0, 4, 1, 2, 3).reshape(features_shape).to(top_diff.dtype)


def _checked_bins(rois, num, height, width, group_size, spatial_scale):
    """bins.psroi_bins; raises CaffeError for a bad RoI."""
    rois = real(rois.detach())
    images, ys, xs = psroi_bins(rois, num, height, width, group_size, spatial_scale)
    if (images < 0).any():
        row = int(images.argmin())
        raise CaffeError("PSROI pooling: RoI %d is [%s]; expected [image, x1, y1, x2, y2] with an image index below %d "
                         "and finite pixel coordinates" % (row, ", ".join("%g" % x for x in rois[row]), num))
    return images, ys, xs


def _grouped(features, output_dim):
    """(N, D * G * G, H, W) -> (N, G * G, H, W, D) of the arithmetic's type: one cell's numbers side by side."""
    num, channels, height, width = features.shape
    split = real(features).reshape(num, output_dim, channels // output_dim, height, width)
    return split.permute(0, 2, 3, 4, 1).contiguous()


def _numpy(x):
    return x.numpy()
