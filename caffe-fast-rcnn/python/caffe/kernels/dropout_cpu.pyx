# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dropout on the CPU, in one pass: whether a number stays is a hash of its position and a key, so no mask is kept.

PyTorch's generator makes one number after the other; this runs on all cores and gives the same for any number of them.
"""
from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    CHUNK = 1 << 14


cdef void drop_chunk(const floating *x, floating *y, Py_ssize_t first, Py_ssize_t count, uint32_t low, uint32_t high,
                     uint32_t limit, floating scale) noexcept nogil:
    """The multipliers and shifts are those of a 32-bit finaliser found by search (lowbias32)."""
    cdef Py_ssize_t i
    cdef uint32_t h
    for i in range(count):
        h = (<uint32_t>(first + i) ^ high) * <uint32_t>0x9E3779B9 + low
        h = (h ^ (h >> 16)) * <uint32_t>0x7FEB352D
        h = (h ^ (h >> 15)) * <uint32_t>0x846CA68B
        h ^= h >> 16
        y[i] = x[i] * scale if h <= limit else 0


def drop(const floating[::1] x, floating[::1] y, uint64_t key, double keep, double scale, int threads):
    """y = x * scale with probability keep (> 0), else 0; y may be x."""
    cdef Py_ssize_t size = x.shape[0], i, first
    cdef uint32_t limit = <uint32_t>(keep * 4294967295.0)
    for i in prange((size + CHUNK - 1) // CHUNK, schedule="static", num_threads=threads, nogil=True):
        first = i * CHUNK
        drop_chunk[floating](&x[first], &y[first], first, min(<Py_ssize_t>CHUNK, size - first), <uint32_t>key,
                             <uint32_t>(key >> 32), limit, <floating>scale)
