"""Products of matrices, in the precision of `caffe.set_precision` (rounding.py)."""
import torch

from .. import common
from ..common import on_gpu
from .rounding import keep_rounded, rounded

# Numbers of a weight that are rounded at a time.  A large one (fc6 of VGG16: 103 million) is read once then, and its
# rounded copy, or its diff's, stays in the cache; more at a time where many rows want each block.
_BLOCK, _BLOCK_OF_MANY, _MANY = 1 << 22, 1 << 24, 256


def linear(x, weight, bias=None):
    """x (M, K), weight (num_output, K), bias (num_output) or None -> (M, num_output)."""
    left = rounded(x)
    if on_gpu(x) and left.dtype != x.dtype:
        keep_rounded(weight)
        y = _product(left, rounded(weight).t(), x.dtype)
        return y if bias is None else y.add_(bias)
    y = x.new_empty(len(x), len(weight))
    for rows in _row_blocks(weight, len(x)):
        right, out = rounded(weight[rows]).t(), y[:, rows]
        if left.dtype != x.dtype:
            out.copy_(left.mm(right))
        elif bias is None:
            torch.mm(left, right, out=out)
        else:
            torch.addmm(bias[rows], left, right, out=out)
    return y if bias is None or left.dtype == x.dtype else y.add_(bias)


def matmul(a, weight):
    """a (M, num_output), weight (num_output, K) -> (M, K)."""
    left = rounded(a)
    if left.dtype != a.dtype and on_gpu(a):
        keep_rounded(weight)
        return _product(left, rounded(weight), a.dtype)
    if left.dtype != a.dtype and len(a) > _MANY:    # adding up blocks of many rows takes longer than it saves
        return left.mm(rounded(weight)).to(a.dtype)
    first, *others = _row_blocks(weight, len(a))
    y = left[:, first].mm(rounded(weight[first])).to(a.dtype)
    for rows in others:
        _add_product(y, left[:, rows], rounded(weight[rows]))
    return y


def add_matmul(out, a, b):
    """out (M, N) += a (M, K) b (K, N), in place; on the CPU without a second array of out's size."""
    left, right = rounded(a), rounded(b)
    for rows in _row_blocks(out, len(b)):
        _add_product(out[rows], left[rows], right)


def product(a, b):
    """a (M, K), b (K, N) -> (M, N), of the number type of a."""
    return _product(rounded(a), rounded(b), a.dtype)


def _product(left, right, dtype):
    """Of two factors as `rounded` gives them.  CUDA gives the float32 sums of bfloat16 factors as they are."""
    if left.dtype == dtype:
        return left.mm(right)
    return torch.mm(left, right, out_dtype=dtype) if left.is_cuda else left.mm(right).to(dtype)


def _add_product(out, left, right):
    if left.dtype == out.dtype:
        out.addmm_(left, right)
    else:
        out.add_(left.mm(right))


def _row_blocks(weight, count):
    """Slices of weight's rows, for `count` rows that each of them meets: all at once but for bf16 on the CPU."""
    step, block = len(weight), _BLOCK if count <= _MANY else _BLOCK_OF_MANY
    if common.precision() == "bf16" and weight.device.type == "cpu" and weight.numel():
        step = max(1, block * step // weight.numel())
    return [slice(i, i + step) for i in range(0, len(weight), step)] or [slice(0, 0)]
