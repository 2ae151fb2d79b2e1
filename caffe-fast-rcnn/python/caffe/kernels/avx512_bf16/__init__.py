"""Kernels for CPUs whose vectors multiply pairs of bfloat16 (AVX512-BF16) and that have no AMX."""
