# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of linear_of_regions.py: pooled regions times the weights of their bins."""
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint16_t
from libc.string cimport memcpy

from .product cimport BF16_OUTPUTS, BF16_ROWS, product_bf16

cdef extern from "regions.h" nogil:
    void filters_of_bins(const float *weight, ptrdiff_t step, int channels, int bins, uint16_t *filters)
    void add_repeated(const float *products, const int *repeats, int rows, int width, float *sums)

cdef enum:
    LANES = 16      # outputs of one step of filters_of_bins


def multiply_regions(const uint16_t[:, ::1] factors, const int[::1] first, const int[:, ::1] repeats,
                     const float[:, ::1] weight, const float[::1] bias, uint16_t[:, :, :, :, :, ::1] filters,
                     float[:, :, ::1] products, float[:, :, ::1] sums, float[:, ::1] out):
    """out (R, O) = bias + for each bin b its row repeats[b, r] of factors[first[b]:] times its columns of weight.

    factors (U + ROWS - 1, C), first (bins + 1), repeats (bins, R), weight (O, C * bins), bias (O).
    filters (threads, panels, bins, C / 2, 32, 2), products (threads, rows of a bin + ROWS - 1, width) and sums (threads,
    R, width): room for each thread; width = 32 * panels, of which O is a multiple.
    """
    cdef int channels = factors.shape[1], bins = repeats.shape[0], rois = repeats.shape[1]
    cdef int panels = filters.shape[1], width = panels * BF16_OUTPUTS, block, start, thread, p, b, r
    cdef ptrdiff_t inputs = weight.shape[1]
    if rois == 0:
        return
    for block in prange(weight.shape[0] // width, schedule="dynamic", num_threads=filters.shape[0], nogil=True):
        thread, start = threadid(), block * width
        for p in range(2 * panels):
            filters_of_bins(&weight[start + p * LANES, 0], inputs, channels, bins,
                            &filters[thread, p // 2, 0, 0, p % 2 * LANES, 0])
        for r in range(rois):
            memcpy(&sums[thread, r, 0], &bias[start], width * sizeof(float))
        for b in range(bins):
            for p in range(panels):
                for r in range((first[b + 1] - first[b] + BF16_ROWS - 1) // BF16_ROWS):
                    product_bf16(&factors[first[b] + r * BF16_ROWS, 0], channels, &filters[thread, p, b, 0, 0, 0], NULL,
                                 &products[thread, r * BF16_ROWS, p * BF16_OUTPUTS], width)
            add_repeated(&products[thread, 0, 0], &repeats[b, 0], rois, width, &sums[thread, 0, 0])
        for r in range(rois):
            memcpy(&out[r, start], &sums[thread, r, 0], width * sizeof(float))
