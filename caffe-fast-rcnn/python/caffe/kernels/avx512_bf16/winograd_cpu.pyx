# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Products of bfloat16 pairs (product.h): the loops of im2col.py, winograd.py and pooled_regions.py.

Images are (N, H, W, C).  For Winograd's filtering an image has down x across tiles of 2 x 2 pixels, a tile 16 places.
"""
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint16_t
from libc.string cimport memcpy

cdef extern from "product.h" nogil:
    enum:
        BF16_COMPILED
        BF16_ROWS
        BF16_OUTPUTS
    void product_bf16(const uint16_t *factors, int inputs, const uint16_t *filters, const float *bias, float *sums,
                      ptrdiff_t step)

cdef extern from "winograd_tiles.h" nogil:
    void tile_input_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step)
    void tile_diff_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step)
    void tile_output_bf16(const float *s, ptrdiff_t step, const float *bias, float *o, ptrdiff_t row, ptrdiff_t col)
    void filters_bf16(const float *weight, ptrdiff_t out_step, ptrdiff_t in_step, int inputs, int turned, uint16_t *o,
                      ptrdiff_t step)

cdef extern from "regions.h" nogil:
    void filters_of_bins(const float *weight, ptrdiff_t step, int channels, int bins, uint16_t *filters)
    void add_repeated(const float *products, const int *repeats, int rows, int width, float *sums)

cdef extern from "../conv/winograd_window.h" nogil:
    void window(const float *image, int height, int width, int channels, int y, int x, int size, float *out)

COMPILED, ROWS, OUTPUTS = bool(BF16_COMPILED), BF16_ROWS, BF16_OUTPUTS

cdef enum:
    LANES = 16      # WINOGRAD_LANES of the headers


def spread(const float[:, :, ::1] weight, bint backward, uint16_t[:, :, :, :, ::1] filters, int threads):
    """weight (O, C, 9) -> filters (O / 32, 16, C / 2, 32, 2), of bfloat16.

    backward: those that filter the diff: (C / 32, 16, O / 2, 32, 2), each weight turned by 180 degrees.
    """
    cdef ptrdiff_t row = weight.shape[1] * 9, out_step = 9 if backward else row, in_step = row if backward else 9
    cdef int b, inputs = 2 * filters.shape[2]
    for b in prange(filters.shape[0], schedule="static", num_threads=threads, nogil=True):
        filters_bf16(&weight[0, 0, 0] + b * BF16_OUTPUTS * out_step, out_step, in_step, inputs, backward,
                     &filters[b, 0, 0, 0, 0], <ptrdiff_t>inputs * BF16_OUTPUTS)


cdef void transform(const float *source, ptrdiff_t row, ptrdiff_t col, int channels, int size, uint16_t *tile,
                    ptrdiff_t step) noexcept nogil:
    if size == 4:
        tile_input_bf16(source, row, col, channels, tile, step)
    else:
        tile_diff_bf16(source, row, col, channels, tile, step)


cdef void to_tile(const float[:, :, :, ::1] image, int size, int pad_y, int pad_x, int down, int across, int number,
                  uint16_t *tile, ptrdiff_t step) noexcept nogil:
    """The transform of tile `number`, of size x size pixels (4 of an input, 2 of a diff); places `step` apart."""
    cdef float edge[16 * 16]
    cdef int height = image.shape[1], width = image.shape[2], channels = image.shape[3]
    cdef int r = number // across, y = 2 * (r % down) - pad_y, x = 2 * (number % across) - pad_x, b
    cdef const float *source = &image[r // down, 0, 0, 0]
    if y >= 0 and x >= 0 and y + size <= height and x + size <= width:
        source += <ptrdiff_t>(y * width + x) * channels
        transform(source, <ptrdiff_t>width * channels, channels, channels, size, tile, step)
        return
    for b in range(channels // LANES):
        window(source + b * LANES, height, width, channels, y, x, size, edge)
        transform(edge, size * LANES, LANES, LANES, size, tile + b * LANES, step)


def to_tiles(const float[:, :, :, ::1] image, int size, int pad_y, int pad_x, int down, int across, int first,
             uint16_t[:, :, ::1] tiles, int threads):
    """image (N, H, W, C) -> tiles (16, T, C), from tile `first` on; size 4: of an input; 2: of a diff (padding 0)."""
    cdef ptrdiff_t step = tiles.shape[1] * tiles.shape[2]
    cdef int t
    for t in prange(tiles.shape[1], schedule="static", num_threads=threads, nogil=True):
        to_tile(image, size, pad_y, pad_x, down, across, first + t, &tiles[0, t, 0], step)


cdef void from_tiles(const float[:, :, ::1] products, const float *bias, int down, int across, int first, int count,
                     int output, float[:, :, :, ::1] image) noexcept nogil:
    """products (16, T, 32) of the outputs from `output` on -> their pixels in image, plus bias (32)."""
    cdef float pixels[4 * 32]
    cdef int height = image.shape[1], width = image.shape[2], channels = image.shape[3], t, r, y, x, i, j
    cdef ptrdiff_t step = products.shape[1] * BF16_OUTPUTS, row = <ptrdiff_t>width * channels
    cdef float *target
    for t in range(count):
        r, x = (first + t) // across, 2 * ((first + t) % across)
        y = 2 * (r % down)
        target = &image[r // down, y, x, output]
        if y + 2 <= height and x + 2 <= width:
            tile_output_bf16(&products[0, t, 0], step, bias, target, row, channels)
        else:
            tile_output_bf16(&products[0, t, 0], step, bias, pixels, 2 * BF16_OUTPUTS, BF16_OUTPUTS)
            for i in range(min(2, height - y)):
                for j in range(min(2, width - x)):
                    memcpy(target + i * row + j * channels, pixels + (i * 2 + j) * BF16_OUTPUTS,
                           BF16_OUTPUTS * sizeof(float))


def filter_tiles(const float[:, :, :, ::1] image, int pad_y, int pad_x, const uint16_t[:, :, :, :, ::1] filters,
                 const float[::1] bias, int down, int across, uint16_t[:, :, :, ::1] tiles,
                 float[:, :, :, ::1] products, float[:, :, :, ::1] out):
    """image (N, H, W, C), filters (O / 32, 16, C / 2, 32, 2), bias (O) -> out (N, H', W', O).

    tiles (threads, 16, T, C), products (threads, 16, T, 32): room for each thread; T a multiple of BF16_ROWS.
    Rows of a product behind the last tile are never read.
    """
    cdef int size = tiles.shape[2], channels = image.shape[3], total = image.shape[0] * down * across
    cdef int block, first, count, thread, b, place, t
    cdef ptrdiff_t step = <ptrdiff_t>size * channels
    for block in prange((total + size - 1) // size, schedule="dynamic", num_threads=tiles.shape[0], nogil=True):
        thread, first = threadid(), block * size
        count = min(size, total - first)
        for t in range(count):
            to_tile(image, 4, pad_y, pad_x, down, across, first + t, &tiles[thread, 0, t, 0], step)
        for b in range(filters.shape[0]):
            for place in range(16):
                for t in range((count + BF16_ROWS - 1) // BF16_ROWS):
                    product_bf16(&tiles[thread, place, t * BF16_ROWS, 0], channels, &filters[b, place, 0, 0, 0],
                                 NULL, &products[thread, place, t * BF16_ROWS, 0], BF16_OUTPUTS)
            from_tiles(products[thread], &bias[b * BF16_OUTPUTS], down, across, first, count, b * BF16_OUTPUTS, out)


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
