"""Which tensors the kernels of this folder multiply, and the sizes that they multiply at a time."""
import functools

import torch

from ... import common
from .winograd_cpu import COMPILED, OUTPUTS, ROWS

__all__ = ["OUTPUTS", "ROWS", "has_kernels", "takes"]


def takes(x):
    """Whether x is multiplied in bfloat16, on such a CPU: PyTorch's own kernels take longer there."""
    return (common.precision() == "bf16" and common.native_bf16() and x.device.type == "cpu" and has_kernels()
            and _has_no_faster_unit())


def has_kernels():
    """Whether the compiler made the kernels and the CPU runs them: AVX512-BF16."""
    return COMPILED and torch.cpu._is_avx512_bf16_supported()


@functools.cache
def _has_no_faster_unit():
    """Whether there is no unit for whole tiles (AMX) next to the vectors."""
    return not torch.cpu._is_amx_tile_supported()
