# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of winograd.py in this folder: Winograd's filtering with products of bfloat16 pairs.

Images are (N, H, W, C); an image has down x across tiles of 2 x 2 pixels, a tile 16 places.
"""
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint16_t
from libc.string cimport memcpy

from .product cimport BF16_COMPILED, BF16_OUTPUTS, BF16_ROWS, product_bf16

cdef extern from "winograd_tiles.h" nogil:
    void tile_input_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step)
    void tile_diff_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step)
    void tile_output_bf16(const float *s, ptrdiff_t step, const float *bias, float *o, ptrdiff_t row, ptrdiff_t col)
    void filters_bf16(const float *weight, ptrdiff_t out_step, ptrdiff_t in_step, int inputs, int turned, uint16_t *o,
                      ptrdiff_t step)

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
