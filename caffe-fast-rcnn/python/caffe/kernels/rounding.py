"""The factors of products (convolutions, matrices) in the precision of `caffe.set_precision`.

float32, tf32: the tensors as they are (on a GPU tf32 is a switch of PyTorch's, set by `set_precision`).
bf16: both factors are rounded to bfloat16 (8 bits of mantissa, to nearest, ties to even) and their products are added
up in float32.  Results, biases and parameter diffs are float32.
- On a GPU, and on a CPU that multiplies bfloat16 (`common.native_bf16`), the factors are bfloat16 tensors and
  PyTorch's own kernels run; these also write their results in bfloat16, one rounding more of at most 2^-8.
- On a CPU with AVX512-BF16 and no AMX, most convolutions and the InnerProduct after RoI pooling run in our own
  kernels instead (folder avx512_bf16): their results stay float32, and Winograd's way rounds transforms of the factors.
- On any other CPU the rounded factors stay float32 tensors: the same products, at float32's speed.
float64 (gradient checks) is never rounded.
"""
import numpy as np
import torch

from .. import common
from ..common import on_gpu
from . import rounding_cpu


def factor_dtype(x):
    """The number type in which x is multiplied: bfloat16 where the device multiplies that itself, else x's own."""
    return torch.bfloat16 if _is_rounded(x) and common.native_bf16() else x.dtype


def rounded(x):
    """x as a factor of a product, of type `factor_dtype(x)`: itself, or rounded to numbers that bfloat16 has."""
    if not _is_rounded(x):
        return x
    version, copy = getattr(x, "rounded_copy", (None, None))
    if version == x._version and copy is not None:
        return copy
    return x.to(torch.bfloat16) if common.native_bf16() else _rounded_float32(x.detach())


def keep_rounded(x):
    """Let `rounded` give one copy of x from now on, until x changes; on a GPU, for factors that are used again.

    Images (4 axes) are multiplied channels last there, so the kernels of convolutions lie likewise.  What writes to x
    without PyTorch must count its version up.
    """
    if not (_is_rounded(x) and on_gpu(x)):
        return
    version, _ = getattr(x, "rounded_copy", (None, None))
    if version != x._version:
        layout = torch.channels_last if x.dim() == 4 else torch.preserve_format
        x.rounded_copy = x._version, x.detach().to(torch.bfloat16, memory_format=layout)


def _is_rounded(x):
    return common.precision() == "bf16" and x.dtype == torch.float32


def _rounded_float32(x):
    """x on the CPU -> float32 numbers that bfloat16 has, in the same layout."""
    y = torch.empty_like(x)
    if y.stride() != x.stride():            # x has gaps
        x = x.contiguous(memory_format=torch.contiguous_format)
        y = torch.empty_like(x)
    flat = [t.as_strided((t.numel(),), (1,)).numpy().view(np.uint32) for t in (x, y)]
    rounding_cpu.round_to_bf16(*flat, torch.get_num_threads())
    return y
