# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Winograd's transforms of whole images on the CPU: between pixels, channels last, and tiles.

Images are (N, H, W, C), tiles (36, T, C), C a multiple of 16.  An image has down x across tiles of 4 x 4 pixels; a call
does the rows of tiles first .. first + T / across of all the N * down, so T is a multiple of `across`.
"""
from cython.parallel cimport prange

cdef extern from "winograd_tiles.h" nogil:
    void tile_input(const float *s, ptrdiff_t row, ptrdiff_t col, float *o, ptrdiff_t step)
    void tile_output(const float *s, ptrdiff_t step, float *o, ptrdiff_t row, ptrdiff_t col)
    void tile_diff(const float *s, ptrdiff_t row, ptrdiff_t col, float *o, ptrdiff_t step)

cdef extern from "winograd_window.h" nogil:
    void window(const float *image, int height, int width, int channels, int y, int x, int size, float *out)


cdef enum:
    LANES = 16      # WINOGRAD_LANES of the headers


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
