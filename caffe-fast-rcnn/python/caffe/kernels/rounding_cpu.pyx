# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""float32 numbers rounded to those that bfloat16 has, in one pass: on a CPU that does not multiply bfloat16 itself."""
from cython.parallel cimport prange
from libc.stdint cimport uint32_t

cdef enum:
    CHUNK = 1 << 14


cdef void round_chunk(const uint32_t *x, uint32_t *y, Py_ssize_t count) noexcept nogil:
    """To nearest, ties to even; adding could carry a nan's bits away, so a nan gets its quiet bit and is cut off."""
    cdef Py_ssize_t i
    for i in range(count):
        y[i] = (((x[i] | 0x400000) if (x[i] & 0x7FFFFFFF) > 0x7F800000 else x[i] + 0x7FFF + ((x[i] >> 16) & 1))
                & <uint32_t>0xFFFF0000)


def round_to_bf16(const uint32_t[::1] x, uint32_t[::1] y, int threads):
    """The bits of x (float32) -> the bits of y, rounded; y may be x."""
    cdef Py_ssize_t size = x.shape[0], i
    for i in prange((size + CHUNK - 1) // CHUNK, schedule="static", num_threads=threads, nogil=True):
        round_chunk(&x[i * CHUNK], &y[i * CHUNK], min(<Py_ssize_t>CHUNK, size - i * CHUNK))
