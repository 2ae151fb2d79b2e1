"""The rules of bins.py inside Triton kernels: which cells a bin covers, with the CPU's rounding of every operation.

Kernels that call these are launched with enable_fp_fusion=False (EXACT): a compiler that makes one operation of a
product and a sum moves some edges.  Division is IEEE's.
"""
import triton
import triton.language as tl

EXACT = {"enable_fp_fusion": False}
_LARGEST_CELL: tl.constexpr = tl.constexpr(2.0 ** 24)       # as in bins.py


@triton.jit
def image_of(rois, at, num, good):
    """The image of RoI number `at` of rois (R, 5), -1 for a bad one: of no image of the batch, or not `good`."""
    image = _trunc(tl.load(rois + at * 5))
    return tl.where(good & (image >= 0) & (image < num), image, -1).to(tl.int32)


@triton.jit
def max_edges(rois, at, axis: tl.constexpr, scale: tl.constexpr):
    """RoI max pooling: (first cell, size in cells, whether both corners are usable) along axis 0 (x) or 1 (y)."""
    start = round_half_away(tl.load(rois + at * 5 + 1 + axis) * scale)
    end = round_half_away(tl.load(rois + at * 5 + 3 + axis) * scale)
    good = (tl.abs(start) < _LARGEST_CELL) & (tl.abs(end) < _LARGEST_CELL)
    return tl.where(good, start, 0), tl.where(good, tl.maximum(end - start + 1, 1), 1), good


@triton.jit
def max_bin(start, size, number, count: tl.constexpr, limit):
    """Bin `number` of `count` -> (first cell, one past the last), inside [0, limit]."""
    side = divide(size, tl.zeros_like(size) + count)
    first = start + tl.floor(number * side)
    last = start + tl.ceil((number + 1) * side)
    return _inside(first, limit), _inside(last, limit)


@triton.jit
def psroi_edges(rois, at, axis: tl.constexpr, scale: tl.constexpr):
    """Position-sensitive pooling: (start, size, whether both corners are finite), in parts of cells, as max_edges."""
    first = tl.load(rois + at * 5 + 1 + axis)
    last = tl.load(rois + at * 5 + 3 + axis)
    good = (tl.abs(first) < float("inf")) & (tl.abs(last) < float("inf"))
    start = round_half_away(tl.where(good, first, 0)) * scale
    end = (round_half_away(tl.where(good, last, 0)) + 1) * scale
    least = tl.zeros_like(start) + 0.1      # in the number type of start; 0.1 alone is float32
    return start, tl.maximum(end - start, least), good


@triton.jit
def psroi_bin(start, size, number, count: tl.constexpr, limit):
    """As max_bin, by R-FCN's rule."""
    side = divide(size, tl.zeros_like(size) + count)
    first = tl.floor(number * side + start)
    last = tl.ceil((number + 1) * side + start)
    return _inside(first, limit), _inside(last, limit)


@triton.jit
def round_half_away(x):
    whole = _trunc(x)
    return whole + _trunc(2 * (x - whole))


@triton.jit
def divide(a, b):
    """a / b, correctly rounded, of one number type."""
    if a.dtype == tl.float64:
        return a / b
    else:       # div_rn is of float32 alone; a call after the `if` would be compiled for float64 too
        return tl.div_rn(a, b)


@triton.jit
def _trunc(x):
    return tl.where(x < 0, tl.ceil(x), tl.floor(x))


@triton.jit
def _inside(edge, limit):
    return tl.minimum(tl.maximum(edge, 0), limit.to(edge.dtype)).to(tl.int32)
