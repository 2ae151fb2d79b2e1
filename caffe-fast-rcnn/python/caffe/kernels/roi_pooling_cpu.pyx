# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""RoI max pooling on the CPU, float32 and float64.

Features come channels-last, so that the inner loops run over channels and the compiler vectorises them; what goes
out is NCHW, which an InnerProduct behind it flattens for free.  A RoI is five ints, [image, x1, y1, x2, y2] in cells
of the feature map, both ends inclusive, already rounded and checked by `roi_pooling.roi_cells`.
"""
from cython cimport floating
from cython.parallel cimport parallel, prange
from libc.float cimport FLT_MAX
from libc.math cimport ceil, floor
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy

cdef enum:
    BLOCK = 64      # channels pooled together: 7x7 bins of them stay in the first-level cache


cdef inline int clip(int value, int high) noexcept nogil:
    return 0 if value < 0 else high if value > high else value


cdef void bin_edges(floating _, int start, int end, int bins, int limit, int *edges) noexcept nogil:
    """edges[2b], edges[2b + 1] = first cell of bin b and one past its last, clipped to [0, limit].

    The arithmetic is that of the features' number type, as in Caffe: float32 rounding moves some edges.
    """
    cdef int size = end - start + 1 if end > start else 1, b
    cdef floating bin_size = <floating>size / <floating>bins
    for b in range(bins):
        edges[2 * b] = clip(start + <int>floor(<floating>b * bin_size), limit)
        edges[2 * b + 1] = clip(start + <int>ceil(<floating>(b + 1) * bin_size), limit)


cdef void bin_max(const floating *image, int width, int channels, int block,
                  int y1, int y2, int x1, int x2, floating *best) noexcept nogil:
    """best[:block] = maximum over the bin's cells; 0 for an empty bin."""
    cdef int y, x, c
    cdef const floating *cell
    for c in range(block):
        best[c] = <floating>-FLT_MAX if y1 < y2 and x1 < x2 else 0
    for y in range(y1, y2):
        for x in range(x1, x2):
            cell = image + <size_t>(y * width + x) * channels
            for c in range(block):
                best[c] = cell[c] if cell[c] > best[c] else best[c]


cdef void bin_argmax(const floating *image, int width, int channels, int block,
                     int y1, int y2, int x1, int x2, floating *best, int *where) noexcept nogil:
    """As bin_max, and where[:block] = the cell of the first maximum in row order, -1 for an empty bin."""
    cdef int y, x, c, index
    cdef const floating *cell
    for c in range(block):
        best[c] = <floating>-FLT_MAX if y1 < y2 and x1 < x2 else 0
        where[c] = -1
    for y in range(y1, y2):
        for x in range(x1, x2):
            index = y * width + x
            cell = image + <size_t>index * channels
            for c in range(block):      # two loops: compilers vectorise them, and not the one of both
                where[c] = index if cell[c] > best[c] else where[c]
            for c in range(block):
                best[c] = cell[c] if cell[c] > best[c] else best[c]


ctypedef fused number:
    int
    float
    double


cdef void transpose(const number *source, int rows, int block, number *target) noexcept nogil:
    """(rows, BLOCK) -> (block, rows)."""
    cdef int r, c
    for c in range(block):
        for r in range(rows):
            target[c * rows + r] = source[r * BLOCK + c]


cdef void pool_roi(const floating *image, int height, int width, int channels, const int *cells, int pooled_h,
                   int pooled_w, floating *top, int *argmax, floating *best, int *where, int *edges) noexcept nogil:
    """One RoI into top (and argmax unless NULL), both (channels, pooled_h, pooled_w); best, where, edges: scratch."""
    cdef int i, first, block, ph, pw, b, bins = pooled_h * pooled_w
    cdef int *ys = edges
    cdef int *xs = edges + 2 * pooled_h
    bin_edges[floating](0, cells[2], cells[4], pooled_h, height, ys)
    bin_edges[floating](0, cells[1], cells[3], pooled_w, width, xs)
    for i in range((channels + BLOCK - 1) // BLOCK):
        first, block = i * BLOCK, min(BLOCK, channels - i * BLOCK)
        for ph in range(pooled_h):
            for pw in range(pooled_w):
                b = (ph * pooled_w + pw) * BLOCK
                if argmax == NULL:
                    bin_max(image + first, width, channels, block,
                            ys[2 * ph], ys[2 * ph + 1], xs[2 * pw], xs[2 * pw + 1], best + b)
                else:
                    bin_argmax(image + first, width, channels, block,
                               ys[2 * ph], ys[2 * ph + 1], xs[2 * pw], xs[2 * pw + 1], best + b, where + b)
        transpose(best, bins, block, top + <size_t>first * bins)
        if argmax != NULL:
            transpose(where, bins, block, argmax + <size_t>first * bins)


def forward(const floating[:, :, :, ::1] features, const int[:, ::1] cells, const int[::1] first,
            floating[:, :, :, ::1] top, int[:, :, :, ::1] argmax, int threads):
    """features (N, H, W, C), cells (R, 5) -> top and, unless None, argmax (R, C, pooled_h, pooled_w).

    first (R): a RoI's first row with the same cells; only that one is computed.
    argmax: y * W + x of each maximum, -1 in empty bins.
    """
    cdef int height = features.shape[1], width = features.shape[2], channels = features.shape[3]
    cdef int pooled_h = top.shape[2], pooled_w = top.shape[3], rois = cells.shape[0], r
    cdef size_t count = <size_t>channels * pooled_h * pooled_w, scratch = <size_t>pooled_h * pooled_w * BLOCK
    cdef bint keep = argmax is not None
    cdef floating *best = NULL
    cdef int *where = NULL
    if count == 0 or rois == 0:
        return
    with nogil, parallel(num_threads=threads):
        best = <floating *>malloc(scratch * sizeof(floating))
        where = <int *>malloc((scratch + 2 * (pooled_h + pooled_w)) * sizeof(int))
        if best == NULL or where == NULL:
            abort()
        for r in prange(rois, schedule="dynamic", chunksize=4):
            if first[r] == r:
                pool_roi(&features[cells[r, 0], 0, 0, 0], height, width, channels, &cells[r, 0], pooled_h, pooled_w,
                         &top[r, 0, 0, 0], &argmax[r, 0, 0, 0] if keep else NULL, best, where, where + scratch)
        for r in prange(rois, schedule="static"):
            if first[r] != r:
                memcpy(&top[r, 0, 0, 0], &top[first[r], 0, 0, 0], count * sizeof(floating))
                if keep:
                    memcpy(&argmax[r, 0, 0, 0], &argmax[first[r], 0, 0, 0], count * sizeof(int))
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
