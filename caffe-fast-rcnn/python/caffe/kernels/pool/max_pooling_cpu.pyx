# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Max pooling of images with the channels last, on the CPU.

Forward keeps nothing for backward, which finds the maxima again: an index of 8 bytes for each output, as PyTorch keeps
it, costs more than the pooling.
"""
from cython cimport floating
from cython.parallel cimport prange

cdef enum:
    LANES = 16      # channels that backward does together


cdef inline int first_of(int out, int stride, int pad) noexcept nogil:
    """A window's first pixel inside the image."""
    return max(out * stride - pad, 0)


cdef inline int last_of(int out, int stride, int pad, int kernel, int size) noexcept nogil:
    """One past a window's last pixel inside the image."""
    return min(out * stride - pad + kernel, size)


cdef void pool(const floating *image, int width, int channels, int y1, int y2, int x1, int x2,
               floating *best) noexcept nogil:
    """best[:channels] = maximum over the pixels of a window."""
    cdef const floating *pixel = image + <ptrdiff_t>(y1 * width + x1) * channels
    cdef int y, x, c
    for c in range(channels):
        best[c] = pixel[c]
    for y in range(y1, y2):
        for x in range(x1, x2):
            pixel = image + <ptrdiff_t>(y * width + x) * channels
            for c in range(channels):
                best[c] = best[c] if best[c] >= pixel[c] else pixel[c]


cdef void send_back(const floating *image, floating *image_diff, int width, int channels, int lanes,
                    int y1, int y2, int x1, int x2, const floating *diff) noexcept nogil:
    """Add diff[:lanes] to the first maximum of the window, in row order."""
    cdef floating best[LANES]
    cdef int where[LANES]
    cdef const floating *pixel
    cdef int y, x, c, index
    for c in range(lanes):
        best[c], where[c] = (image + <ptrdiff_t>(y1 * width + x1) * channels)[c], y1 * width + x1
    for y in range(y1, y2):
        for x in range(x1, x2):
            index = y * width + x
            pixel = image + <ptrdiff_t>index * channels
            for c in range(lanes):
                where[c] = where[c] if best[c] >= pixel[c] else index
            for c in range(lanes):
                best[c] = best[c] if best[c] >= pixel[c] else pixel[c]
    for c in range(lanes):
        image_diff[<ptrdiff_t>where[c] * channels + c] += diff[c]


def forward(const floating[:, :, :, ::1] image, kernel, stride, pad, floating[:, :, :, ::1] top, int threads):
    """image (N, H, W, C) -> top (N, H', W', C); kernel, stride, pad: (vertical, horizontal); no window is empty."""
    cdef int height = image.shape[1], width = image.shape[2], channels = image.shape[3], rows = top.shape[1]
    cdef int kh = kernel[0], kw = kernel[1], sh = stride[0], sw = stride[1], ph = pad[0], pw = pad[1]
    cdef int r, n, x, y1, y2, x1, x2
    for r in prange(image.shape[0] * rows, schedule="static", num_threads=threads, nogil=True):
        n = r // rows
        y2, y1 = last_of(r % rows, sh, ph, kh, height), first_of(r % rows, sh, ph)
        for x in range(top.shape[2]):
            x2, x1 = last_of(x, sw, pw, kw, width), first_of(x, sw, pw)
            pool(&image[n, 0, 0, 0], width, channels, y1, y2, x1, x2, &top[n, r % rows, x, 0])


def backward(const floating[:, :, :, ::1] top_diff, const floating[:, :, :, ::1] image, kernel, stride, pad,
             floating[:, :, :, ::1] image_diff, int threads):
    """Adds top_diff (N, H', W', C) to image_diff (N, H, W, C) at the maxima; a thread owns whole channels."""
    cdef int height = image.shape[1], width = image.shape[2], channels = image.shape[3]
    cdef int kh = kernel[0], kw = kernel[1], sh = stride[0], sw = stride[1], ph = pad[0], pw = pad[1]
    cdef int blocks = (channels + LANES - 1) // LANES, b, n, c, y, x, y1, y2, x1, x2
    for b in prange(image.shape[0] * blocks, schedule="static", num_threads=threads, nogil=True):
        n, c = b // blocks, b % blocks * LANES
        for y in range(top_diff.shape[1]):
            y2, y1 = last_of(y, sh, ph, kh, height), first_of(y, sh, ph)
            for x in range(top_diff.shape[2]):
                x2, x1 = last_of(x, sw, pw, kw, width), first_of(x, sw, pw)
                send_back(&image[n, 0, 0, c], &image_diff[n, 0, 0, c], width, channels, min(<int>LANES, channels - c),
                          y1, y2, x1, x2, &top_diff[n, y, x, c])
