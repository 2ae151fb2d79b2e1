"""Which cells of the feature map each bin of a RoI covers, by torch operations, for the CPU's kernels.

Every operation rounds by itself; a compiler that fuses a product and a sum moves some edges.  bins_triton.py has the
same rules for the kernels on a GPU.

Both functions return (images (R), ys (R, rows of bins, 2), xs (R, columns of bins, 2)), int32: a RoI's image, each
bin's first row and one past its last, columns alike, all inside the map.  images is -1 for a bad RoI: one of no image
of the batch, or without finite coordinates.
"""
import torch

LARGEST_CELL = 2.0 ** 24       # float32 counts whole cells up to here


def roi_bins(rois, num, height, width, pooled_h, pooled_w, spatial_scale):
    """Fast R-CNN's rule, told in roi_pooling.py; rois (R, 5) [image, x1, y1, x2, y2] in pixels."""
    cells = round_half_away(rois[:, 1:] * spatial_scale)
    images = _good_images(rois, num, (cells.abs() < LARGEST_CELL).all(1))
    ys, xs = (_roi_edges(cells[:, i], cells[:, i + 2], count, limit)
              for i, count, limit in ((1, pooled_h, height), (0, pooled_w, width)))
    return images, ys, xs


def _roi_edges(start, end, count, limit):
    """start, end (R) in cells, both inclusive -> (R, count, 2)."""
    size = (end - start + 1).clamp(min=1)
    bin_size, bins = _bin_size(size, count), _numbers(size, count)
    first, last = start[:, None] + (bins * bin_size).floor(), start[:, None] + ((bins + 1) * bin_size).ceil()
    return _whole(first, last, limit)


def psroi_bins(rois, num, height, width, group_size, spatial_scale):
    """R-FCN's rule, told in psroi_pooling.py; rois (R, 5) [image, x1, y1, x2, y2] in pixels."""
    pixels = round_half_away(rois[:, 1:])
    images = _good_images(rois, num, pixels.isfinite().all(1))
    start, end = pixels[:, :2] * spatial_scale, (pixels[:, 2:] + 1) * spatial_scale     # (R, 2), x before y
    ys, xs = (_psroi_edges(start[:, i], end[:, i], group_size, limit) for i, limit in ((1, height), (0, width)))
    return images, ys, xs


def _psroi_edges(start, end, count, limit):
    """start, end (R) in parts of cells -> (R, count, 2)."""
    size = (end - start).clamp(min=0.1)
    bin_size, bins = _bin_size(size, count), _numbers(size, count)
    first, last = bins * bin_size + start[:, None], (bins + 1) * bin_size + start[:, None]
    return _whole(first.floor(), last.ceil(), limit)


def real(x):
    """x in the number type of the arithmetic: float32, or float64 if x is."""
    return x if x.dtype == torch.float64 else x.float()


def round_half_away(x):
    """The nearest whole number; of two the one farther from zero."""
    whole = x.trunc()
    return whole + (2 * (x - whole)).trunc()


def _good_images(rois, num, good):
    images = rois[:, 0].trunc()
    return torch.where(good & (images >= 0) & (images < num), images, -1).int()


def _bin_size(size, count):
    """(R, 1).  By a tensor, not a number: on a GPU torch multiplies by the reciprocal of a number."""
    return (size / torch.full_like(size, count))[:, None]


def _numbers(like, count):
    return torch.arange(count, dtype=like.dtype, device=like.device)


def _whole(first, last, limit):
    return torch.stack([first, last], 2).clamp(0, limit).nan_to_num(0).int()
