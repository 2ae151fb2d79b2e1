# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of pooled_regions.py on the CPU, float32 and float64."""
from cython cimport floating
from cython.parallel cimport prange
from libc.float cimport FLT_MAX
from libc.stdint cimport int64_t

cdef enum:
    BLOCK = 16      # channels, or outputs, that are moved together


cdef void maximum(const floating *image, int width, int channels, const int *region, floating *best) noexcept nogil:
    """best[:channels]: the maxima over a region [image, y1, y2, x1, x2]; 0 where it has no cells."""
    cdef const floating *cell
    cdef floating least = -FLT_MAX
    cdef int y, x, c
    if region[1] >= region[2] or region[3] >= region[4]:
        least = 0
    for c in range(channels):
        best[c] = least
    for y in range(region[1], region[2]):
        for x in range(region[3], region[4]):
            cell = image + <ptrdiff_t>(y * width + x) * channels
            for c in range(channels):
                best[c] = cell[c] if cell[c] > best[c] else best[c]


def maxima(const floating[:, :, :, ::1] image, const int[:, ::1] regions, floating[:, ::1] out, int threads):
    """image (N, H, W, C), regions (T, 5) [image, y1, y2, x1, x2] -> out (T, C)."""
    cdef int r, width = image.shape[2], channels = image.shape[3]
    cdef ptrdiff_t size = <ptrdiff_t>image.shape[1] * width * channels
    if image.shape[0] == 0 or size == 0 or regions.shape[0] == 0:
        out[...] = 0
        return
    for r in prange(regions.shape[0], schedule="static", num_threads=threads, nogil=True):
        maximum(&image[0, 0, 0, 0] + regions[r, 0] * size, width, channels, &regions[r, 0], &out[r, 0])


cdef void spread_one(const floating[:, ::1] maxima, const int64_t *places, int bins, int channels,
                     floating *top) noexcept nogil:
    """top (C, bins) of one RoI."""
    cdef int block, b, c
    cdef const floating *row
    for block in range((channels + BLOCK - 1) // BLOCK):
        for b in range(bins):
            row = &maxima[places[b], 0]
            for c in range(block * BLOCK, min(block * BLOCK + BLOCK, channels)):
                top[<ptrdiff_t>c * bins + b] = row[c]


def spread(const floating[:, ::1] maxima, const int64_t[:, ::1] places, floating[:, :, ::1] top, int threads):
    """maxima (T, C), places (R, bins) -> top (R, C, bins)."""
    cdef int r, channels = top.shape[1], bins = top.shape[2]
    if channels == 0 or bins == 0:
        return
    for r in prange(top.shape[0], schedule="static", num_threads=threads, nogil=True):
        spread_one(maxima, &places[r, 0], bins, channels, &top[r, 0, 0])


cdef void turn(const floating *weight, ptrdiff_t inputs, int bins, ptrdiff_t bin_step, int outputs, int first,
               floating *out) noexcept nogil:
    """One channel's weights (outputs, bins), rows `inputs` apart -> out (bins, outputs), rows `bin_step` apart."""
    cdef int b, o
    for b in range(bins):
        for o in range(first, min(first + BLOCK, outputs)):
            out[b * bin_step + o] = weight[o * inputs + b]


def in_bins(const floating[:, ::1] weight, floating[:, :, ::1] out, int threads):
    """weight (O, C * bins) -> out (bins, C, O)."""
    cdef int bins = out.shape[0], channels = out.shape[1], outputs = out.shape[2], block, c
    if bins == 0 or channels == 0 or outputs == 0:
        return
    for block in prange((outputs + BLOCK - 1) // BLOCK, schedule="static", num_threads=threads, nogil=True):
        for c in range(channels):
            turn(&weight[0, 0] + <ptrdiff_t>c * bins, weight.shape[1], bins, <ptrdiff_t>channels * outputs, outputs,
                 block * BLOCK, &out[0, c, 0])


cdef void add(const floating *row, int count, floating *total) noexcept nogil:
    cdef int i
    for i in range(count):
        total[i] = total[i] + row[i]


def add_repeated(const floating[:, ::1] products, const int[::1] repeats, floating[:, ::1] sums, int threads):
    """sums (R, O): each row += row repeats[r] of products."""
    cdef int r, outputs = sums.shape[1]
    if outputs == 0:
        return
    for r in prange(sums.shape[0], schedule="static", num_threads=threads, nogil=True):
        add(&products[repeats[r], 0], outputs, &sums[r, 0])
