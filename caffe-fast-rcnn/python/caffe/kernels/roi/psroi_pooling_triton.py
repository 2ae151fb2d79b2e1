"""Position-sensitive RoI average pooling on a GPU: the Triton kernels beside psroi_pooling_cpu.pyx.

The layouts are those of the CPU kernel, and the sums have its order: the numbers are the same to the last bit.
backward gathers, one program a bin's cell of the map, and so is the same in every run.
"""
import triton
import triton.language as tl

_SIZES = ("rois", "height", "width")      # change from image to image: one compiled kernel for all


def forward(features, images, ys, xs, top):
    """features (N, bins, H, W, D), the bins of bins.psroi_bins -> writes top (R, bins, D); nan for a bad RoI."""
    depth, group = top.shape[2], ys.shape[1]
    if top.numel():
        _forward[(top.shape[0] * top.shape[1],)](features, images, ys, xs, top, group, features.shape[2],
                                                 features.shape[3], depth, BLOCK=triton.next_power_of_2(depth))
        top.div_(_areas(ys, xs, top))


def backward(top_diff, images, ys, xs, diff):
    """top_diff (R, bins, D) -> writes diff (N, bins, H, W, D)."""
    depth, group = diff.shape[4], ys.shape[1]
    if diff.numel():
        share = top_diff / _areas(ys, xs, top_diff)
        _backward[(diff.numel() // depth,)](share, images, ys, xs, diff, len(share), group, diff.shape[2],
                                            diff.shape[3], depth, BLOCK=triton.next_power_of_2(depth))


def _areas(ys, xs, like):
    """(R, bins, 1): the cells of each bin, at least 1.  torch divides by them, as Triton's division is approximate."""
    sides_y, sides_x = (edges[:, :, 1] - edges[:, :, 0] for edges in (ys, xs))
    return (sides_y[:, :, None] * sides_x[:, None, :]).clamp(min=1).flatten(1)[:, :, None].to(like.dtype)


@triton.jit(do_not_specialize=_SIZES[1:])
def _forward(features, images, ys, xs, top, group, height, width, depth, BLOCK: tl.constexpr):
    """The sum over one bin of one RoI, of all D channels."""
    bins = group * group
    roi, b = tl.program_id(0) // bins, tl.program_id(0) % bins
    d = tl.arange(0, BLOCK)
    image = tl.load(images + roi)
    rows, columns = ys + (roi * group + b // group) * 2, xs + (roi * group + b % group) * 2
    y1, y2, x1, x2 = tl.load(rows), tl.load(rows + 1), tl.load(columns), tl.load(columns + 1)
    y2 = tl.where(image < 0, y1, y2)
    plane = features + (image.to(tl.int64) * bins + b) * height * width * depth + d
    total = tl.full([BLOCK], 0, top.dtype.element_ty)
    for y in range(y1, y2):
        for x in range(x1, x2):
            total += tl.load(plane + (y * width + x).to(tl.int64) * depth, mask=d < depth, other=0)
    total = tl.where(image < 0, float("nan"), total)
    tl.store(top + tl.program_id(0).to(tl.int64) * depth + d, total, mask=d < depth)


@triton.jit(do_not_specialize=_SIZES)
def _backward(share, images, ys, xs, diff, rois, group, height, width, depth, BLOCK: tl.constexpr):
    """One cell of one bin's maps, of all D channels: the shares of the RoIs whose bin covers it, in their order."""
    bins, area = group * group, height * width
    plane, cell = tl.program_id(0) // area, tl.program_id(0) % area
    image, b, y, x = plane // bins, plane % bins, cell // width, cell % width
    d = tl.arange(0, BLOCK)
    total = tl.full([BLOCK], 0, diff.dtype.element_ty)
    for roi in range(rois):
        rows, columns = ys + (roi * group + b // group) * 2, xs + (roi * group + b % group) * 2
        covered = ((tl.load(images + roi) == image) & (tl.load(rows) <= y) & (tl.load(rows + 1) > y)
                   & (tl.load(columns) <= x) & (tl.load(columns + 1) > x))
        if covered:
            total += tl.load(share + (roi * bins + b).to(tl.int64) * depth + d, mask=d < depth, other=0)
    tl.store(diff + tl.program_id(0).to(tl.int64) * depth + d, total, mask=d < depth)
