# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Winograd's transforms of whole images on the CPU: between pixels, channels last, and tiles.

Images are (N, H, W, C), tiles (36, T, C), C a multiple of 16.  An image has down x across tiles of 4 x 4 pixels; a call
does the rows of tiles first .. first + T / across of all the N * down, so T is a multiple of `across`.

The functions with bf16 in their names have tiles of 2 x 2 pixels and 16 places, and do the products themselves.
"""
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset

cdef extern from "winograd_tiles.h" nogil:
    void tile_input(const float *s, ptrdiff_t row, ptrdiff_t col, float *o, ptrdiff_t step)
    void tile_output(const float *s, ptrdiff_t step, float *o, ptrdiff_t row, ptrdiff_t col)
    void tile_diff(const float *s, ptrdiff_t row, ptrdiff_t col, float *o, ptrdiff_t step)

cdef extern from "winograd_bf16.h" nogil:
    enum:
        WINOGRAD_BF16_COMPILED
        WINOGRAD_ROWS
        WINOGRAD_OUTPUTS
    void tile_input_bf16(const float *s, ptrdiff_t row, ptrdiff_t col, int channels, uint16_t *o, ptrdiff_t step)
    void tile_output_bf16(const float *s, ptrdiff_t step, const float *bias, float *o, ptrdiff_t row, ptrdiff_t col)
    void filters_bf16(const float *weight, ptrdiff_t out_step, ptrdiff_t in_step, int inputs, int turned, uint16_t *o,
                      ptrdiff_t step)
    void product_bf16(const uint16_t *tiles, int inputs, const uint16_t *filters, float *products)

BF16_COMPILED, BF16_ROWS, BF16_OUTPUTS = bool(WINOGRAD_BF16_COMPILED), WINOGRAD_ROWS, WINOGRAD_OUTPUTS

cdef enum:
    LANES = 16      # WINOGRAD_LANES of the header


cdef void window(const float *image, int height, int width, int channels, int y, int x, int size, float *out) noexcept nogil:
    """out (size, size, LANES) = pixels from (y, x) on, 0 outside the image."""
    cdef int i, j
    for i in range(size):
        for j in range(size):
            if 0 <= y + i < height and 0 <= x + j < width:
                memcpy(out + (i * size + j) * LANES,
                       image + <ptrdiff_t>((y + i) * width + x + j) * channels, LANES * sizeof(float))
            else:
                memset(out + (i * size + j) * LANES, 0, LANES * sizeof(float))


cdef void to_tile(const float *image, int height, int width, int channels, int y, int x, int size, float *out,
                  ptrdiff_t step) noexcept nogil:
    """The transform of size x size pixels from (y, x) on: 6 of an input, 4 of a diff; all channels."""
    cdef float edge[36 * 16]
    cdef const float *source
    cdef ptrdiff_t row, col
    cdef int b, c
    cdef bint inside = y >= 0 and x >= 0 and y + size <= height and x + size <= width
    for b in range(channels // LANES):
        c = b * LANES
        if inside:
            source, row, col = image + <ptrdiff_t>(y * width + x) * channels + c, <ptrdiff_t>width * channels, channels
        else:
            window(image + c, height, width, channels, y, x, size, edge)
            source, row, col = edge, size * LANES, LANES
        if size == 6:
            tile_input(source, row, col, out + c, step)
        else:
            tile_diff(source, row, col, out + c, step)


cdef void from_tile(const float *tile, ptrdiff_t step, const float *bias, float *image, int height, int width,
                    int channels, int y, int x) noexcept nogil:
    """4 x 4 pixels from (y, x) on, those inside the image, plus bias (channels)."""
    cdef float pixels[16 * 16]
    cdef float *target
    cdef int b, c, i, j, k
    for b in range(channels // LANES):
        c = b * LANES
        tile_output(tile + c, step, pixels, 4 * LANES, LANES)
        for i in range(min(4, height - y)):
            for j in range(min(4, width - x)):
                target = image + <ptrdiff_t>((y + i) * width + x + j) * channels + c
                for k in range(LANES):
                    target[k] = pixels[(i * 4 + j) * LANES + k] + bias[c + k]


def to_tiles(const float[:, :, :, ::1] image, int size, int pad_y, int pad_x, int down, int across, int first,
             float[:, :, ::1] tiles, int threads):
    """image -> tiles (36, T, C); size 6: of an input with that padding; size 4: of a diff (padding 0)."""
    cdef int height = image.shape[1], width = image.shape[2], channels = image.shape[3], t, r
    cdef ptrdiff_t step = tiles.shape[1] * tiles.shape[2]
    for t in prange(tiles.shape[1], schedule="static", num_threads=threads, nogil=True):
        r = first + t // across
        to_tile(&image[r // down, 0, 0, 0], height, width, channels, 4 * (r % down) - pad_y, 4 * (t % across) - pad_x,
                size, &tiles[0, t, 0], step)


def from_tiles(const float[:, :, ::1] tiles, const float[::1] bias, int down, int across, int first,
               float[:, :, :, ::1] image, int threads):
    """tiles (36, T, C) of products -> their pixels in image, plus bias (C)."""
    cdef int height = image.shape[1], width = image.shape[2], channels = image.shape[3], t, r
    cdef ptrdiff_t step = tiles.shape[1] * tiles.shape[2]
    for t in prange(tiles.shape[1], schedule="static", num_threads=threads, nogil=True):
        r = first + t // across
        from_tile(&tiles[0, t, 0], step, &bias[0], &image[r // down, 0, 0, 0], height, width, channels, 4 * (r % down),
                  4 * (t % across))


def spread_bf16(const float[:, :, ::1] weight, bint backward, uint16_t[:, :, :, :, ::1] filters, int threads):
    """weight (O, C, 9) -> filters (O / 32, 16, C / 2, 32, 2), of bfloat16.

    backward: those that filter the diff: (C / 32, 16, O / 2, 32, 2), each weight turned by 180 degrees.
    """
    cdef ptrdiff_t row = weight.shape[1] * 9, out_step = 9 if backward else row, in_step = row if backward else 9
    cdef int b, inputs = 2 * filters.shape[2]
    for b in prange(filters.shape[0], schedule="static", num_threads=threads, nogil=True):
        filters_bf16(&weight[0, 0, 0] + b * WINOGRAD_OUTPUTS * out_step, out_step, in_step, inputs, backward,
                     &filters[b, 0, 0, 0, 0], <ptrdiff_t>inputs * WINOGRAD_OUTPUTS)


cdef void to_tiles_bf16(const float[:, :, :, ::1] image, int pad_y, int pad_x, int down, int across, int first, int count,
                        uint16_t[:, :, ::1] tiles) noexcept nogil:
    """image -> tiles (16, T, C): `count` of them from `first` on, then zeros up to a multiple of WINOGRAD_ROWS."""
    cdef float edge[16 * 16]
    cdef int height = image.shape[1], width = image.shape[2], channels = image.shape[3], t, r, y, x, b, c, place
    cdef ptrdiff_t step = tiles.shape[1] * tiles.shape[2]
    cdef const float *source
    cdef bint inside
    for t in range(count):
        r, x = (first + t) // across, 2 * ((first + t) % across) - pad_x
        y = 2 * (r % down) - pad_y
        inside = y >= 0 and x >= 0 and y + 4 <= height and x + 4 <= width
        source = &image[r // down, 0, 0, 0]
        if inside:
            tile_input_bf16(source + <ptrdiff_t>(y * width + x) * channels, <ptrdiff_t>width * channels, channels, channels,
                            &tiles[0, t, 0], step)
        else:
            for b in range(channels // LANES):
                c = b * LANES
                window(source + c, height, width, channels, y, x, 4, edge)
                tile_input_bf16(edge, 4 * LANES, LANES, LANES, &tiles[0, t, c], step)
    for place in range(16):
        for t in range(count, (count + WINOGRAD_ROWS - 1) // WINOGRAD_ROWS * WINOGRAD_ROWS):
            memset(&tiles[place, t, 0], 0, channels * sizeof(uint16_t))


cdef void from_tiles_bf16(const float[:, :, ::1] products, const float *bias, int down, int across, int first, int count,
                          int output, float[:, :, :, ::1] image) noexcept nogil:
    """products (16, T, 32) of the outputs from `output` on -> their pixels in image, plus bias (32)."""
    cdef float pixels[4 * 32]
    cdef int height = image.shape[1], width = image.shape[2], channels = image.shape[3], t, r, y, x, i, j
    cdef ptrdiff_t step = products.shape[1] * WINOGRAD_OUTPUTS, row = <ptrdiff_t>width * channels
    cdef float *target
    for t in range(count):
        r, x = (first + t) // across, 2 * ((first + t) % across)
        y = 2 * (r % down)
        target = &image[r // down, y, x, output]
        if y + 2 <= height and x + 2 <= width:
            tile_output_bf16(&products[0, t, 0], step, bias, target, row, channels)
        else:
            tile_output_bf16(&products[0, t, 0], step, bias, pixels, 2 * WINOGRAD_OUTPUTS, WINOGRAD_OUTPUTS)
            for i in range(min(2, height - y)):
                for j in range(min(2, width - x)):
                    memcpy(target + i * row + j * channels, pixels + (i * 2 + j) * WINOGRAD_OUTPUTS,
                           WINOGRAD_OUTPUTS * sizeof(float))


def filter_bf16(const float[:, :, :, ::1] image, int pad_y, int pad_x, const uint16_t[:, :, :, :, ::1] filters,
                const float[::1] bias, int down, int across, uint16_t[:, :, :, ::1] tiles, float[:, :, :, ::1] products,
                float[:, :, :, ::1] out):
    """image (N, H, W, C), filters (O / 32, 16, C / 2, 32, 2), bias (O) -> out (N, H', W', O).

    tiles (threads, 16, T, C), products (threads, 16, T, 32): room for each thread; T a multiple of WINOGRAD_ROWS.
    """
    cdef int size = tiles.shape[2], channels = image.shape[3], total = image.shape[0] * down * across
    cdef int block, first, count, thread, b, place, t
    for block in prange((total + size - 1) // size, schedule="dynamic", num_threads=tiles.shape[0], nogil=True):
        thread, first = threadid(), block * size
        count = min(size, total - first)
        to_tiles_bf16(image, pad_y, pad_x, down, across, first, count, tiles[thread])
        for b in range(filters.shape[0]):
            for place in range(16):
                for t in range((count + WINOGRAD_ROWS - 1) // WINOGRAD_ROWS):
                    product_bf16(&tiles[thread, place, t * WINOGRAD_ROWS, 0], channels, &filters[b, place, 0, 0, 0],
                                 &products[thread, place, t * WINOGRAD_ROWS, 0])
            from_tiles_bf16(products[thread], &bias[b * WINOGRAD_OUTPUTS], down, across, first, count,
                            b * WINOGRAD_OUTPUTS, out)
