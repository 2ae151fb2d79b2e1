"""RoI max pooling on a GPU: the Triton kernels beside roi_pooling_cpu.pyx, with its numbers, ties and argmax.

Features are read channels-last, one program a bin and block of channels, so that a warp's loads lie side by side.
backward gathers: one program a cell of the map visits the RoIs in order.  So its sums need no atomic additions, are the
same in every run, and the same as the CPU kernel's to the last bit.
Nothing here waits for the GPU: a bad RoI, which the CPU names in an error, gives nan.
"""
import torch
import triton
import triton.language as tl

from .bins import real, roi_bins

_MOST_CHANNELS = 512        # of one program


def forward(features, rois, pooled_h, pooled_w, spatial_scale, with_argmax):
    """features (N, C, H, W), rois (R, 5) -> top (R, C, pooled_h, pooled_w) and argmax (None unless with_argmax)."""
    num, channels, height, width = features.shape
    rois = rois.double() if features.dtype == torch.float64 else rois.float()
    images, ys, xs = roi_bins(rois, num, height, width, pooled_h, pooled_w, spatial_scale)
    shape = (len(rois), channels, pooled_h, pooled_w)
    top = torch.empty(shape, dtype=features.dtype, device=features.device)
    argmax = torch.empty(shape, dtype=torch.int32, device=features.device) if with_argmax else None
    if top.numel():
        block = _block(channels)
        grid = (len(rois) * pooled_h * pooled_w, triton.cdiv(channels, block))
        _forward[grid](_channels_last(features), images, ys, xs, top, argmax, channels, height, width,
                       pooled_h, pooled_w, WIDE=features.dtype == torch.float64, KEEP=with_argmax, BLOCK=block)
    return top, argmax


def backward(top_diff, rois, argmax, features_shape):
    """The diff of the features from that of the top (R, C, pooled_h, pooled_w); sums in float32 (float64 if given)."""
    num, channels, height, width = features_shape
    sums = torch.zeros(num, height, width, channels, dtype=real(top_diff[:0]).dtype, device=top_diff.device)
    if sums.numel() and top_diff.numel():
        by_bin, where = (x.flatten(2).transpose(1, 2).contiguous() for x in (top_diff, argmax))     # (R, bins, C)
        boxes = _boxes(where, width)
        block = _block(channels)
        grid = (num * height * width, triton.cdiv(channels, block))
        _backward[grid](by_bin, where, rois[:, 0].int(), boxes, _around(boxes), sums, len(rois), boxes.shape[1],
                        channels, height * width, width, BLOCK=block)
    return sums.permute(0, 3, 1, 2).to(top_diff.dtype)


def _channels_last(features):
    return features.detach().permute(0, 2, 3, 1).contiguous()      # (N, H, W, C)


def _block(channels):
    return min(_MOST_CHANNELS, triton.next_power_of_2(channels))


def _boxes(where, width):
    """where (R, bins, C), cells or -1 -> (R, bins, 4) int32 [y1, y2, x1, x2], inclusive: the cells each bin chose.

    A bin that chose none has y2 = -1.
    """
    y, x = where.div(width, rounding_mode="floor"), where.remainder(width)
    y = torch.where(where < 0, -1, y)
    return torch.stack([y.amin(2), y.amax(2), x.amin(2), x.amax(2)], 2)


def _around(boxes):
    """(R, bins, 4) -> (R, 2): the first and last row in which a RoI chose cells."""
    return torch.stack([boxes[..., 0].amin(1), boxes[..., 1].amax(1)], 1)


@triton.jit(do_not_specialize=("height", "width"))     # they change from image to image
def _forward(features, images, ys, xs, top, argmax, channels, height, width, pooled_h, pooled_w,
             WIDE: tl.constexpr, KEEP: tl.constexpr, BLOCK: tl.constexpr):
    """One bin of one RoI, BLOCK channels.  features (N, H, W, C); top, argmax (R, C, pooled_h, pooled_w)."""
    bins = pooled_h * pooled_w
    roi, b = tl.program_id(0) // bins, tl.program_id(0) % bins
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    image = tl.load(images + roi)
    rows, columns = ys + (roi * pooled_h + b // pooled_w) * 2, xs + (roi * pooled_w + b % pooled_w) * 2
    y1, y2, x1, x2 = tl.load(rows), tl.load(rows + 1), tl.load(columns), tl.load(columns + 1)
    y2 = tl.where(image < 0, y1, y2)
    number = tl.float64 if WIDE else tl.float32
    lowest = tl.where((y1 < y2) & (x1 < x2), -3.4028234663852886e38, 0.0)
    best = tl.full([BLOCK], lowest, number)
    where = tl.full([BLOCK], -1, tl.int32)
    plane = features + image.to(tl.int64) * height * width * channels + c
    for y in range(y1, y2):
        for x in range(x1, x2):
            cell = y * width + x
            value = tl.load(plane + cell.to(tl.int64) * channels, mask=c < channels, other=0).to(number)
            better = value > best
            best = tl.where(better, value, best)
            where = tl.where(better, cell, where)
    best = tl.where(image < 0, float("nan"), best)
    out = (roi.to(tl.int64) * channels + c) * bins + b
    tl.store(top + out, best.to(top.dtype.element_ty), mask=c < channels)
    if KEEP:
        tl.store(argmax + out, where, mask=c < channels)


@triton.jit(do_not_specialize=("rois", "area", "width"))
def _backward(top_diff, where, images, boxes, around, sums, rois, bins, channels, area, width, BLOCK: tl.constexpr):
    """One cell of one image, BLOCK channels.  top_diff, where (R, bins, C); sums (N, H, W, C)."""
    image, cell = tl.program_id(0) // area, tl.program_id(0) % area
    y, x = cell // width, cell % width
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.full([BLOCK], 0, sums.dtype.element_ty)
    for roi in range(rois):
        rows = around + roi * 2
        seen = (tl.load(images + roi) == image) & (tl.load(rows) <= y) & (tl.load(rows + 1) >= y)
        if seen:
            for b in range(bins):
                box = boxes + (roi * bins + b) * 4
                near = (tl.load(box) <= y) & (tl.load(box + 1) >= y) & (tl.load(box + 2) <= x) & (tl.load(box + 3) >= x)
                if near:
                    at = (roi * bins + b).to(tl.int64) * channels + c
                    mine = tl.load(where + at, mask=c < channels, other=-1) == cell
                    total += tl.load(top_diff + at, mask=mine, other=0).to(total.dtype)
    tl.store(sums + tl.program_id(0).to(tl.int64) * channels + c, total, mask=c < channels)
