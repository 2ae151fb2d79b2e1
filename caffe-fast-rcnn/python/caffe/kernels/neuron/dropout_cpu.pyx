# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dropout on the CPU, in one pass: whether a number stays is a hash of its position and a key, so no mask is kept.

PyTorch's generator makes one number after the other; this runs on all cores and gives the same for any number of them.
"""
from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "dropout_chunk.h" nogil:
    void drop_floats(const float *x, float *y, ptrdiff_t count, uint32_t first, uint32_t low, uint32_t high, uint32_t limit,
                     float scale)
    void drop_doubles(const double *x, double *y, ptrdiff_t count, uint32_t first, uint32_t low, uint32_t high,
                      uint32_t limit, double scale)

cdef enum:
    CHUNK = 1 << 14


def drop(const floating[::1] x, floating[::1] y, uint64_t key, double keep, double scale, int threads):
    """y = x * scale with probability keep (> 0), else 0; y may be x."""
    cdef Py_ssize_t size = x.shape[0], i, first, count
    cdef uint32_t limit = <uint32_t>(keep * 4294967295.0), low = <uint32_t>key, high = <uint32_t>(key >> 32)
    for i in prange((size + CHUNK - 1) // CHUNK, schedule="static", num_threads=threads, nogil=True):
        first = i * CHUNK
        count = min(<Py_ssize_t>CHUNK, size - first)
        if floating is float:
            drop_floats(&x[first], &y[first], count, <uint32_t>first, low, high, limit, scale)
        else:
            drop_doubles(&x[first], &y[first], count, <uint32_t>first, low, high, limit, scale)
