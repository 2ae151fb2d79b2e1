"""RoI max pooling on a GPU: the Triton kernels, with the numbers, ties and argmax of roi_pooling_cpu.pyx.

Features are read channels-last, one program a row of bins and block of channels, so that the loads of a warp are
adjacent in memory, and so are its stores.
backward gathers: one program a cell of the map visits the RoIs in order.  So its sums need no atomic additions, are the
same in every run, and the same as the CPU kernel's to the last bit.
Nothing here waits for the GPU: a bad RoI, which the CPU names in an error, gives nan.
"""
import torch
import triton
import triton.language as tl

from .bins import real
from .bins_triton import EXACT, image_of, max_bin, max_edges

_CHANNELS = 128         # at most of one program, which is one warp


def forward(features, rois, pooled_h, pooled_w, spatial_scale, with_argmax):
    """features (N, C, H, W), rois (R, 5) -> top (R, C, pooled_h, pooled_w) and argmax (None unless with_argmax)."""
    num, channels, height, width = features.shape
    rois = _rois(rois, features.dtype)
    shape = (len(rois), channels, pooled_h, pooled_w)
    top = torch.empty(shape, dtype=features.dtype, device=features.device)
    argmax = torch.empty(shape, dtype=torch.int32, device=features.device) if with_argmax else None
    if top.numel():
        block = _block(channels)
        grid = (len(rois) * pooled_h, triton.cdiv(channels, block))
        _forward[grid](_channels_last(features), rois, top, argmax, num, channels, height, width, SCALE=spatial_scale,
                       POOLED_H=pooled_h, POOLED_W=pooled_w, COLUMNS=triton.next_power_of_2(pooled_w),
                       KEEP=with_argmax, BLOCK=block, num_warps=1, **EXACT)
    return top, argmax


def backward(top_diff, rois, argmax, features_shape, spatial_scale):
    """The diff of the features from that of the top (R, C, pooled_h, pooled_w); sums in float32 (float64 if given)."""
    num, channels, height, width = features_shape
    pooled_h, pooled_w = top_diff.shape[2:]
    make = torch.empty if top_diff.numel() else torch.zeros
    sums = make(num, height, width, channels, dtype=real(top_diff[:0]).dtype, device=top_diff.device)
    if sums.numel() and top_diff.numel():
        by_bin, where = (x.flatten(2).transpose(1, 2).contiguous() for x in (top_diff, argmax))     # (R, bins, C)
        block = _block(channels)
        grid = (num * height * width, triton.cdiv(channels, block))
        _backward[grid](by_bin, where, _rois(rois, top_diff.dtype), sums, len(rois), num, channels, height, width,
                        SCALE=spatial_scale, POOLED_H=pooled_h, POOLED_W=pooled_w, BLOCK=block, num_warps=1, **EXACT)
    return sums.permute(0, 3, 1, 2).to(top_diff.dtype)


def _rois(rois, dtype):
    """In the number type in which the cells are computed."""
    return rois.to(torch.float64 if dtype == torch.float64 else torch.float32).contiguous()


def _channels_last(features):
    return features.detach().permute(0, 2, 3, 1).contiguous()      # (N, H, W, C)


def _block(channels):
    return min(_CHANNELS, triton.next_power_of_2(channels))


@triton.jit(do_not_specialize=("num", "height", "width"))     # they change from image to image
def _forward(features, rois, top, argmax, num, channels, height, width, SCALE: tl.constexpr, POOLED_H: tl.constexpr,
             POOLED_W: tl.constexpr, COLUMNS: tl.constexpr, KEEP: tl.constexpr, BLOCK: tl.constexpr):
    """One row of bins of one RoI, BLOCK channels.  features (N, H, W, C); top, argmax (R, C, POOLED_H, POOLED_W)."""
    roi, ph = tl.program_id(0) // POOLED_H, tl.program_id(0) % POOLED_H
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x0, size_x, good_x = max_edges(rois, roi, 0, SCALE)
    y0, size_y, good_y = max_edges(rois, roi, 1, SCALE)
    image = image_of(rois, roi, num, good_x & good_y)
    y1, y2 = max_bin(y0, size_y, ph, POOLED_H, height)
    y2 = tl.where(image < 0, y1, y2)
    plane = features + image.to(tl.int64) * height * width * channels + c
    column = tl.arange(0, COLUMNS)
    number = x0.dtype
    row = tl.zeros([BLOCK, COLUMNS], number)
    cells = tl.full([BLOCK, COLUMNS], -1, tl.int32)
    for pw in range(POOLED_W):
        x1, x2 = max_bin(x0, size_x, pw, POOLED_W, width)
        lowest = tl.where((y1 < y2) & (x1 < x2), -3.4028234663852886e38, 0.0)
        best = tl.zeros([BLOCK], number) + lowest.to(number)
        where = tl.full([BLOCK], -1, tl.int32)
        for y in range(y1, y2):
            for x in range(x1, x2):
                cell = y * width + x
                value = tl.load(plane + cell.to(tl.int64) * channels, mask=c < channels, other=0).to(number)
                better = value > best
                best = tl.where(better, value, best)
                where = tl.where(better, cell, where)
        mine = column[None, :] == pw
        row = tl.where(mine, best[:, None], row)
        if KEEP:
            cells = tl.where(mine, where[:, None], cells)
    row = tl.where(image < 0, float("nan"), row)
    out = ((roi.to(tl.int64) * channels + c[:, None]) * POOLED_H + ph) * POOLED_W + column[None, :]
    inside = (c[:, None] < channels) & (column[None, :] < POOLED_W)
    tl.store(top + out, row.to(top.dtype.element_ty), mask=inside)
    if KEEP:
        tl.store(argmax + out, cells, mask=inside)


@triton.jit(do_not_specialize=("count", "num", "height", "width"))
def _backward(top_diff, where, rois, sums, count, num, channels, height, width, SCALE: tl.constexpr,
              POOLED_H: tl.constexpr, POOLED_W: tl.constexpr, BLOCK: tl.constexpr):
    """One cell of one image, BLOCK channels.  top_diff, where (R, bins, C) of `count` RoIs; sums (N, H, W, C)."""
    area = height * width
    image, cell = tl.program_id(0) // area, tl.program_id(0) % area
    y, x = cell // width, cell % width
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.full([BLOCK], 0, sums.dtype.element_ty)
    for roi in range(count):
        x0, size_x, good_x = max_edges(rois, roi, 0, SCALE)
        y0, size_y, good_y = max_edges(rois, roi, 1, SCALE)
        # The last bin may end one cell after the region: count * (size / count) may be rounded up.
        seen = (image_of(rois, roi, num, good_x & good_y) == image) & (x0 <= x) & (x <= x0 + size_x)
        if seen & (y0 <= y) & (y <= y0 + size_y):
            for ph in range(POOLED_H):
                y1, y2 = max_bin(y0, size_y, ph, POOLED_H, height)
                if (y1 <= y) & (y < y2):
                    for pw in range(POOLED_W):
                        x1, x2 = max_bin(x0, size_x, pw, POOLED_W, width)
                        if (x1 <= x) & (x < x2):
                            number = (roi * POOLED_H + ph) * POOLED_W + pw
                            at = tl.cast(number, tl.int64) * channels + c
                            mine = tl.load(where + at, mask=c < channels, other=-1) == cell
                            total += tl.load(top_diff + at, mask=mine, other=0).to(total.dtype)
    tl.store(sums + tl.program_id(0).to(tl.int64) * channels + c, total, mask=c < channels)
