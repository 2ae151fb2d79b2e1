# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Local response normalisation across channels on the CPU; numbers (P, C), a row for each pixel.

s = k + a * sum of the squares of the `size` channels around, y = x s^-beta, and backward
dx = dy s^-beta - 2 a beta x * (sum around of dy x s^-(beta + 1)).  Backward computes s anew: cheaper than keeping it.
"""
from cython cimport floating
from cython.parallel cimport parallel, prange
from libc.math cimport pow, sqrt
from libc.stdlib cimport abort, calloc, free


cdef void sum_around(const floating *x, int channels, int half, floating *sums) noexcept nogil:
    """sums[c] = x[c - half] + ... + x[c + half]; x has `half` zeros before and behind."""
    cdef int c, d
    for c in range(channels):
        sums[c] = x[c]
    for d in range(1, half + 1):
        for c in range(channels):
            sums[c] += x[c - d] + x[c + d]


cdef void scales(const floating *x, int channels, int half, double a, double k, floating *squares,
                 floating *s) noexcept nogil:
    cdef int c
    cdef floating slope = <floating>a, offset = <floating>k
    for c in range(channels):
        squares[c] = x[c] * x[c]
    sum_around(squares, channels, half, s)
    for c in range(channels):
        s[c] = offset + slope * s[c]


cdef void inverse_power(const floating *s, int channels, double beta, floating *out) noexcept nogil:
    """out = s ^ -beta; 0.75, the exponent of all published nets, by two roots instead of a power."""
    cdef int c
    if beta == 0.75:
        for c in range(channels):
            out[c] = <floating>sqrt(s[c])
        for c in range(channels):
            out[c] = 1 / (out[c] * <floating>sqrt(out[c]))
    else:
        for c in range(channels):
            out[c] = <floating>pow(s[c], -beta)


def forward(const floating[:, ::1] x, int size, double a, double beta, double k, floating[:, ::1] y, int threads):
    """y = x s^-beta."""
    cdef int channels = x.shape[1], half = size // 2, c
    cdef Py_ssize_t p
    cdef floating *room
    if channels == 0:
        return
    with nogil, parallel(num_threads=threads):
        room = <floating *>calloc(2 * (channels + 2 * half), sizeof(floating))
        if room == NULL:
            abort()
        for p in prange(x.shape[0], schedule="static"):
            scales(&x[p, 0], channels, half, a, k, room + half, room + channels + 2 * half)
            inverse_power(room + channels + 2 * half, channels, beta, &y[p, 0])
            for c in range(channels):
                y[p, c] *= x[p, c]
        free(room)


def backward(const floating[:, ::1] y_diff, const floating[:, ::1] x, int size, double a, double beta, double k,
             floating[:, ::1] x_diff, int threads):
    """x_diff from the diff of y and forward's x."""
    cdef int channels = x.shape[1], half = size // 2, c, width = x.shape[1] + 2 * (size // 2)
    cdef Py_ssize_t p
    cdef floating *around
    cdef floating *s
    cdef floating slope = <floating>(-2 * a * beta)
    if channels == 0:
        return
    with nogil, parallel(num_threads=threads):
        around = <floating *>calloc(3 * width, sizeof(floating))
        if around == NULL:
            abort()
        for p in prange(x.shape[0], schedule="static"):
            s = around + width
            scales(&x[p, 0], channels, half, a, k, around + half, s)
            inverse_power(s, channels, beta, &x_diff[p, 0])
            for c in range(channels):
                x_diff[p, c] *= y_diff[p, c]
                around[half + c] = x_diff[p, c] * x[p, c] / s[c]
            sum_around(around + half, channels, half, s)
            for c in range(channels):
                x_diff[p, c] += slope * x[p, c] * s[c]
        free(around)
