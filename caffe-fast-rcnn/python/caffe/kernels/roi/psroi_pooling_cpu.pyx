# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Position-sensitive RoI average pooling on the CPU, float32 and float64.

features and their diff: (N, bins, H, W, D), so that the inner loops run over the D output channels; top and its diff
(R, bins, D); images (R), ys and xs (R, G, 2): the bins as `psroi_pooling.psroi_bins` gives them, bins = G * G.
"""
from cython cimport floating
from cython.parallel cimport prange


cdef void add_bin(const floating *plane, int width, int depth, int y1, int y2, int x1, int x2,
                  floating *top) noexcept nogil:
    """top[:depth] = mean over the cells of plane (H, W, depth); 0 for an empty bin."""
    cdef int y, x, d
    cdef const floating *cell
    for d in range(depth):
        top[d] = 0
    if y2 <= y1 or x2 <= x1:
        return
    for y in range(y1, y2):
        for x in range(x1, x2):
            cell = plane + <size_t>(y * width + x) * depth
            for d in range(depth):
                top[d] += cell[d]
    for d in range(depth):
        top[d] /= <floating>((y2 - y1) * (x2 - x1))


cdef void spread_bin(const floating *top_diff, int width, int depth, int y1, int y2, int x1, int x2,
                     floating *plane) noexcept nogil:
    """Adds top_diff[:depth] / area to every cell of the bin."""
    cdef int y, x, d
    cdef floating *cell
    cdef floating area = <floating>((y2 - y1) * (x2 - x1))
    for y in range(y1, y2):
        for x in range(x1, x2):
            cell = plane + <size_t>(y * width + x) * depth
            for d in range(depth):
                cell[d] += top_diff[d] / area


def forward(const floating[:, :, :, :, ::1] features, const int[::1] images, const int[:, :, ::1] ys,
            const int[:, :, ::1] xs, floating[:, :, ::1] top, int threads):
    """Writes top."""
    cdef int rois = top.shape[0], group = ys.shape[1], depth = top.shape[2], width = features.shape[3], r, b
    if rois == 0 or depth == 0 or features.shape[2] == 0 or width == 0:
        top[...] = 0
        return
    for r in prange(rois, schedule="dynamic", chunksize=4, num_threads=threads, nogil=True):
        for b in range(group * group):
            add_bin(&features[images[r], b, 0, 0, 0], width, depth, ys[r, b // group, 0], ys[r, b // group, 1],
                    xs[r, b % group, 0], xs[r, b % group, 1], &top[r, b, 0])


def backward(const floating[:, :, ::1] top_diff, const int[::1] images, const int[:, :, ::1] ys,
             const int[:, :, ::1] xs, floating[:, :, :, :, ::1] diff, int threads):
    """Adds to diff.  A thread owns whole bins and takes the RoIs in order: the sums do not depend on the threads."""
    cdef int rois = top_diff.shape[0], group = ys.shape[1], depth = top_diff.shape[2], width = diff.shape[3], r, b
    if depth == 0 or diff.shape[0] == 0 or diff.shape[2] == 0 or width == 0:
        return
    for b in prange(group * group, schedule="dynamic", num_threads=threads, nogil=True):
        for r in range(rois):
            if ys[r, b // group, 0] < ys[r, b // group, 1]:
                spread_bin(&top_diff[r, b, 0], width, depth, ys[r, b // group, 0], ys[r, b // group, 1],
                           xs[r, b % group, 0], xs[r, b % group, 1], &diff[images[r], b, 0, 0, 0])
