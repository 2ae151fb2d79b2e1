# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""RoI max pooling on the CPU, float32 and float64.

features: (N, C / LANES, H, W, LANES), the channels of a block side by side: roi_pooling_tile.h keeps the maxima of all of
them in vector registers, and one block of the map stays in the second-level cache while all RoIs are pooled from it.
The last block may be filled up.  What goes out is (R, C, bins), which an InnerProduct behind it flattens for free.
images (R), ys (R, pooled_h, 2), xs (R, pooled_w, 2): the bins as `bins.roi_bins` gives them.
"""
from cython cimport floating
from cython.parallel cimport parallel, prange
from libc.stdlib cimport abort, free, malloc

cdef extern from *:
    """
    #define REAL float
    #define NAME(function) function##_float
    #include "roi_pooling_tile.h"
    #undef REAL
    #undef NAME
    #define REAL double
    #define NAME(function) function##_double
    #include "roi_pooling_tile.h"
    #undef REAL
    #undef NAME
    """
    enum: LANES
    void transpose_words(const char *source, int rows, int block, char *target) noexcept nogil
    void lanes_max_float(const float *, int, const int *, int, const int *, int, float *) noexcept nogil
    void lanes_max_double(const double *, int, const int *, int, const int *, int, double *) noexcept nogil
    void lanes_argmax_float(const float *, int, const int *, int, const int *, int, float *, int *) noexcept nogil
    void lanes_argmax_double(const double *, int, const int *, int, const int *, int, double *, int *) noexcept nogil

cdef enum:
    CHUNK = 64      # RoIs of one task

BLOCK = LANES       # channels a block


cdef void transpose_doubles(const double *source, int rows, int block, double *target) noexcept nogil:
    """(rows, LANES) -> (block, rows)."""
    cdef int r, c
    for c in range(block):
        for r in range(rows):
            target[c * rows + r] = source[r * LANES + c]


cdef void pool(const floating *plane, int width, const int *ys, int rows, const int *xs, int columns, int block,
               floating *top, int *argmax, floating *best, int *where) noexcept nogil:
    """One RoI on one block's plane (H, W, LANES) into top (and argmax unless NULL), both (block, bins)."""
    if floating is float:
        if argmax == NULL:
            lanes_max_float(plane, width, ys, rows, xs, columns, best)
        else:
            lanes_argmax_float(plane, width, ys, rows, xs, columns, best, where)
        transpose_words(<const char *>best, rows * columns, block, <char *>top)
    else:
        if argmax == NULL:
            lanes_max_double(plane, width, ys, rows, xs, columns, best)
        else:
            lanes_argmax_double(plane, width, ys, rows, xs, columns, best, where)
        transpose_doubles(best, rows * columns, block, top)
    if argmax != NULL:
        transpose_words(<const char *>where, rows * columns, block, <char *>argmax)


def forward(const floating[:, :, :, :, ::1] features, const int[::1] images, const int[:, :, ::1] ys,
            const int[:, :, ::1] xs, floating[:, :, ::1] top, int[:, :, ::1] argmax, int threads):
    """Writes top and, unless None, argmax (R, C, bins): y * W + x of each maximum, -1 in empty bins."""
    cdef int rois = top.shape[0], channels = top.shape[1], bins = top.shape[2], width = features.shape[3]
    cdef int chunks = (rois + CHUNK - 1) // CHUNK, task, first, r
    cdef bint keep = argmax is not None
    cdef floating *best = NULL
    cdef int *where = NULL
    if channels == 0 or rois == 0:
        return
    if features.shape[2] == 0 or width == 0:
        top[...] = 0
        if keep:
            argmax[...] = -1
        return
    with nogil, parallel(num_threads=threads):
        best = <floating *>malloc(<size_t>bins * LANES * sizeof(floating))
        where = <int *>malloc(<size_t>bins * LANES * sizeof(int))
        if best == NULL or where == NULL:
            abort()
        for task in prange(features.shape[1] * chunks, schedule="dynamic"):
            first = task // chunks * LANES
            for r in range(task % chunks * CHUNK, min(rois, task % chunks * CHUNK + CHUNK)):
                pool(&features[images[r], task // chunks, 0, 0, 0], width, &ys[r, 0, 0], <int>ys.shape[1], &xs[r, 0, 0],
                     <int>xs.shape[1], min(<int>LANES, channels - first), &top[r, first, 0],
                     &argmax[r, first, 0] if keep else NULL, best, where)
        free(best)
        free(where)


def backward(const floating[:, :, ::1] top_diff, const int[:, :, ::1] argmax, const int[::1] images,
             floating[:, :, ::1] bottom_diff, int threads):
    """Adds top_diff (R, C, bins) to bottom_diff (N, C, H * W) at argmax; images (R): the RoIs' image indices.

    A thread owns whole channels and takes the RoIs in order, so the sums do not depend on the number of threads.
    """
    cdef int rois = top_diff.shape[0], channels = top_diff.shape[1], bins = top_diff.shape[2]
    cdef int blocks = (channels + 15) // 16, block, r, c, b
    cdef floating *plane
    for block in prange(blocks, schedule="static", num_threads=threads, nogil=True):
        for r in range(rois):
            for c in range(16 * block, min(16 * block + 16, channels)):
                plane = &bottom_diff[images[r], c, 0]
                for b in range(bins):
                    if argmax[r, c, b] >= 0:
                        plane[argmax[r, c, b]] += top_diff[r, c, b]
