"""Kernels for CPUs whose vectors multiply pairs of bfloat16 (AVX512-BF16) and that have no AMX.

They sum in float32 and keep their results so.  This folder stands alone: nothing imports it by name but ways.py, and
without it the general ways give the same results within bfloat16's rounding.
"""
from . import im2col, linear_of_regions, winograd

WAYS = {"convolution": (winograd, im2col), "linear_of_regions": (linear_of_regions,)}
