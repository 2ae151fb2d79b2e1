# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of im2col.py: windows of an image as rows, times all filters."""
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint16_t
from libc.string cimport memcpy

from .product cimport BF16_OUTPUTS, BF16_ROWS, product_bf16


cdef void cut_windows(const uint16_t[:, :, :, ::1] image, int n, int y, int x, int count, int kernel_h, int run,
                      int stride, uint16_t[:, ::1] windows) noexcept nogil:
    """windows (at least count, inputs): kernel_h runs of `run` numbers of each, from row y and column x on."""
    cdef int i, k
    cdef uint16_t *target
    for i in range(count):
        target = &windows[i, 0]
        for k in range(kernel_h):
            memcpy(target + k * run, &image[n, y + k, x + i * stride, 0], run * sizeof(uint16_t))


def filter_windows(const uint16_t[:, :, :, ::1] image, int kernel_h, int kernel_w, stride,
                   const uint16_t[:, :, :, ::1] filters, const float[::1] bias, uint16_t[:, :, ::1] windows,
                   float[:, :, ::1] sums, float[:, :, :, ::1] out):
    """image (N, H, W, C), padded; filters (O / 32, inputs / 2, 32, 2), bias (O) -> out (N, H', W', O).

    windows (threads, ROWS, inputs), zeros behind kernel_h * kernel_w * C, and sums (threads, ROWS, 32): room for each
    thread.
    """
    cdef int stride_y = stride[0], stride_x = stride[1], run = kernel_w * image.shape[3], inputs = windows.shape[2]
    cdef int height = out.shape[1], width = out.shape[2], channels = out.shape[3], r, n, y, x, b, c, i, count, thread
    for r in prange(out.shape[0] * height, schedule="static", num_threads=windows.shape[0], nogil=True):
        thread, n, y = threadid(), r // height, r % height
        for b in range((width + BF16_ROWS - 1) // BF16_ROWS):
            x = b * BF16_ROWS
            count = min(<int>BF16_ROWS, width - x)
            cut_windows(image, n, y * stride_y, x * stride_x, count, kernel_h, run, stride_x, windows[thread])
            for c in range(filters.shape[0]):
                if count == BF16_ROWS:
                    product_bf16(&windows[thread, 0, 0], inputs, &filters[c, 0, 0, 0], &bias[c * BF16_OUTPUTS],
                                 &out[n, y, x, c * BF16_OUTPUTS], channels)
                else:
                    product_bf16(&windows[thread, 0, 0], inputs, &filters[c, 0, 0, 0], &bias[c * BF16_OUTPUTS],
                                 &sums[thread, 0, 0], BF16_OUTPUTS)
                    for i in range(count):
                        memcpy(&out[n, y, x + i, c * BF16_OUTPUTS], &sums[thread, i, 0], BF16_OUTPUTS * sizeof(float))
