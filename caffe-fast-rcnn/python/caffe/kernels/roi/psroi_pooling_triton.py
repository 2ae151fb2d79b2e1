"""Position-sensitive RoI average pooling on a GPU: the Triton kernels, next to psroi_pooling_cpu.pyx for the CPU.

The layouts are those of the CPU kernel, and the sums have its order: the numbers are the same to the last bit.
backward gathers, one program a bin's cell of the map, and so is the same in every run: it looks at the RoIs in chunks,
and adds up those that cover the cell.
"""
import triton
import triton.language as tl

from .bins_triton import EXACT, divide, image_of, psroi_bin, psroi_edges

_CHUNK = 256        # RoIs that one warp looks at together


def forward(features, rois, spatial_scale, top):
    """features (N, bins, H, W, D), rois (R, 5) -> writes top (R, bins, D); nan for a bad RoI."""
    bins, depth = top.shape[1:]
    if top.numel():
        _forward[(top.shape[0] * bins,)](features, rois, top, features.shape[0], features.shape[2], features.shape[3],
                                         depth, SCALE=spatial_scale, GROUP=_side(bins),
                                         BLOCK=triton.next_power_of_2(depth), num_warps=1, **EXACT)


def backward(top_diff, rois, spatial_scale, diff):
    """top_diff (R, bins, D), rois (R, 5) -> writes all of diff (N, bins, H, W, D)."""
    bins, depth = diff.shape[1], diff.shape[4]
    if diff.numel():
        _backward[(diff.numel() // depth,)](top_diff, rois, diff, len(rois), diff.shape[0], diff.shape[2],
                                            diff.shape[3], depth, SCALE=spatial_scale, GROUP=_side(bins),
                                            BLOCK=triton.next_power_of_2(depth), CHUNK=_CHUNK, num_warps=1, **EXACT)


def _side(bins):
    return round(bins ** 0.5)


@triton.jit(do_not_specialize=("num", "height", "width"))      # they change from image to image
def _forward(features, rois, top, num, height, width, depth, SCALE: tl.constexpr, GROUP: tl.constexpr,
             BLOCK: tl.constexpr):
    """The mean over one bin of one RoI, of all D channels."""
    bins: tl.constexpr = GROUP * GROUP
    roi, b = tl.program_id(0) // bins, tl.program_id(0) % bins
    d = tl.arange(0, BLOCK)
    x0, size_x, good_x = psroi_edges(rois, roi, 0, SCALE)
    y0, size_y, good_y = psroi_edges(rois, roi, 1, SCALE)
    image = image_of(rois, roi, num, good_x & good_y)
    x1, x2 = psroi_bin(x0, size_x, b % GROUP, GROUP, width)
    y1, y2 = psroi_bin(y0, size_y, b // GROUP, GROUP, height)
    y2 = tl.where(image < 0, y1, y2)
    plane = features + (image.to(tl.int64) * bins + b) * height * width * depth + d
    total = tl.full([BLOCK], 0, top.dtype.element_ty)
    for y in range(y1, y2):
        for x in range(x1, x2):
            total += tl.load(plane + (y * width + x).to(tl.int64) * depth, mask=d < depth, other=0)
    total = tl.where(image < 0, float("nan"), total)
    mean = divide(total, tl.zeros_like(total) + tl.maximum((y2 - y1) * (x2 - x1), 1).to(total.dtype))
    tl.store(top + tl.program_id(0).to(tl.int64) * depth + d, mean, mask=d < depth)


@triton.jit(do_not_specialize=("count", "num", "height", "width"))
def _backward(top_diff, rois, diff, count, num, height, width, depth, SCALE: tl.constexpr, GROUP: tl.constexpr,
              BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    """One cell of one bin's maps, of all D channels: the shares of the RoIs whose bin covers it, in their order."""
    bins: tl.constexpr = GROUP * GROUP
    area = height * width
    plane, cell = tl.program_id(0) // area, tl.program_id(0) % area
    image, b, y, x = plane // bins, plane % bins, cell // width, cell % width
    d = tl.arange(0, BLOCK)
    total = tl.full([BLOCK], 0, diff.dtype.element_ty)
    for start in range(0, count, CHUNK):
        numbers = start + tl.arange(0, CHUNK)
        at = tl.minimum(numbers, count - 1)
        x0, size_x, good_x = psroi_edges(rois, at, 0, SCALE)
        y0, size_y, good_y = psroi_edges(rois, at, 1, SCALE)
        x1, x2 = psroi_bin(x0, size_x, b % GROUP, GROUP, width)
        y1, y2 = psroi_bin(y0, size_y, b // GROUP, GROUP, height)
        covers = (numbers < count) & (image_of(rois, at, num, good_x & good_y) == image)
        covers = covers & (y1 <= y) & (y < y2) & (x1 <= x) & (x < x2)
        cells = (y2 - y1) * (x2 - x1)
        roi = tl.min(tl.where(covers, numbers, count))
        while roi < count:
            share = tl.load(top_diff + (roi.to(tl.int64) * bins + b) * depth + d, mask=d < depth, other=0)
            its_cells = tl.sum(tl.where(numbers == roi, cells, 0))
            total += divide(share, tl.zeros_like(share) + its_cells.to(share.dtype))
            covers = covers & (numbers > roi)
            roi = tl.min(tl.where(covers, numbers, count))
    tl.store(diff + tl.program_id(0).to(tl.int64) * depth + d, total, mask=d < depth)
