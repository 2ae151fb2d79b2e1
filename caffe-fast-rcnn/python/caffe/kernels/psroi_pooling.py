"""Position-sensitive RoI average pooling on torch tensors (R-FCN, section 2): the front of the kernels.

A RoI's corners are rounded to whole pixels (half away from zero) and scaled: start = round(x1) * spatial_scale,
end = (round(x2) + 1) * spatial_scale; the region is at least 0.1 cells wide and high.  Bin b of G covers cells
floor(start + b * size / G) up to ceil(start + (b + 1) * size / G), clipped to the map.  Bin (ph, pw) of output channel
d is the mean over its cells of input channel (d * G + ph) * G + pw; an empty bin gives 0 and passes no gradient.
"""
import torch

from ..common import CaffeError
from . import on_gpu, psroi_pooling_cpu


def psroi_pooling_forward(features, rois, output_dim, group_size, spatial_scale):
    """features (N, output_dim * G * G, H, W), rois (R, 5) [image, x1, y1, x2, y2] -> top (R, output_dim, G, G).

    Raises CaffeError for a RoI of no image of the batch or without finite coordinates; on a GPU, where looking would
    halt it, such a RoI's top is nan.
    """
    grouped = _grouped(features.detach(), output_dim)
    images, ys, xs = psroi_bins(rois, grouped.shape, group_size, spatial_scale)
    top = torch.empty(len(rois), group_size ** 2, output_dim, dtype=grouped.dtype, device=features.device)
    if on_gpu(features):
        from . import psroi_pooling_triton
        psroi_pooling_triton.forward(grouped, images, ys, xs, top)
    else:
        psroi_pooling_cpu.forward(*map(_numpy, (grouped, images, ys, xs, top)), torch.get_num_threads())
    top = top.permute(0, 2, 1).reshape(len(rois), output_dim, group_size, group_size)
    return top.to(features.dtype).contiguous()


def psroi_pooling_backward(top_diff, rois, features_shape, spatial_scale):
    """The diff of the features, of features_shape (N, D * G * G, H, W), from that of the top (R, D, G, G)."""
    num, _, height, width = features_shape
    output_dim, group_size = top_diff.shape[1:3]
    shape = (num, group_size ** 2, height, width, output_dim)
    images, ys, xs = psroi_bins(rois, shape, group_size, spatial_scale)
    by_bin = _real(top_diff.detach()).flatten(2).permute(0, 2, 1).contiguous()         # (R, G*G, D)
    diff = torch.zeros(shape, dtype=by_bin.dtype, device=top_diff.device)
    if on_gpu(top_diff):
        from . import psroi_pooling_triton
        psroi_pooling_triton.backward(by_bin, images, ys, xs, diff)
    else:
        psroi_pooling_cpu.backward(*map(_numpy, (by_bin, images, ys, xs, diff)), torch.get_num_threads())
    return diff.permute(0, 4, 1, 2, 3).reshape(features_shape).to(top_diff.dtype)


def psroi_bins(rois, grouped_shape, group_size, spatial_scale):
    """(images (R), ys (R, G, 2), xs (R, G, 2)), int32: for each bin its first row and one past its last; columns alike.

    images is -1 for a bad RoI on a GPU.  The arithmetic is torch's, operation by operation in the RoIs' number type,
    so that both kernels pool the same cells: a compiler that fuses a product and a sum would move some edges.
    """
    num, height, width = grouped_shape[0], grouped_shape[2], grouped_shape[3]
    rois = _real(rois.detach())
    images, corners = rois[:, 0].trunc(), rois[:, 1:]
    good = (images >= 0) & (images < num) & corners.isfinite().all(1)
    if not on_gpu(rois) and not good.all():
        row = int(good.logical_not().nonzero()[0])
        raise CaffeError("PSROI pooling: RoI %d is [%s]; expected [image, x1, y1, x2, y2] with an image index below %d "
                         "and finite pixel coordinates" % (row, ", ".join("%g" % x for x in rois[row]), num))
    whole = corners.trunc()
    pixels = whole + (2 * (corners - whole)).trunc()                                   # half away from zero
    start, end = pixels[:, :2] * spatial_scale, (pixels[:, 2:] + 1) * spatial_scale    # (R, 2), x before y
    xs, ys = (_edges(start[:, i], end[:, i], group_size, limit) for i, limit in enumerate((width, height)))
    return torch.where(good, images, -1).int(), ys, xs


def _edges(start, end, group_size, limit):
    """start, end (R) of the regions -> (R, G, 2) int32: each bin's first cell and one past its last."""
    size = (end - start).clamp(min=0.1)
    # A tensor, not a number: on a GPU torch multiplies by the reciprocal of a number.
    bin_size = (size / torch.full_like(size, group_size))[:, None]
    bins = torch.arange(group_size, dtype=start.dtype, device=start.device)
    first, last = (bins * bin_size + start[:, None]).floor(), ((bins + 1) * bin_size + start[:, None]).ceil()
    return torch.stack([first, last], 2).clamp(0, limit).nan_to_num(0).int()


def _real(x):
    """x in the number type of the arithmetic: float32, or float64 if x is."""
    return x if x.dtype == torch.float64 else x.float()


def _grouped(features, output_dim):
    """(N, D * G * G, H, W) -> (N, G * G, H, W, D) of the arithmetic's type: one cell's numbers side by side."""
    num, channels, height, width = features.shape
    split = _real(features).reshape(num, output_dim, channels // output_dim, height, width)
    return split.permute(0, 2, 3, 4, 1).contiguous()


def _numpy(x):
    return x.numpy()
