"""Kernels of the region layers: tensors in, tensors out; Cython on the CPU, Triton on a GPU."""
from ..common import on_gpu  # noqa: F401
