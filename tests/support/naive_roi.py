"""RoI max pooling in loops, number by number: what both kernels must agree with."""
import math

import numpy as np


def half_away(x):
    return int(math.floor(abs(x) + 0.5)) * (1 if x >= 0 else -1)


def bins_of(start, end, count, limit, real):
    """[(first, past last)] of the bins, in the arithmetic of the number type `real`."""
    bin_size = real(max(end - start + 1, 1)) / real(count)
    return [(min(max(start + int(math.floor(real(b) * bin_size)), 0), limit),
             min(max(start + int(math.ceil(real(b + 1) * bin_size)), 0), limit)) for b in range(count)]


def naive_forward(features, rois, pooled_h, pooled_w, scale):
    """Top and argmax, number by number."""
    real, (_, channels, height, width) = features.dtype.type, features.shape
    top = np.zeros((len(rois), channels, pooled_h, pooled_w), features.dtype)
    argmax = np.full(top.shape, -1, np.int32)
    for r, roi in enumerate(rois):
        x1, y1, x2, y2 = [half_away(float(real(v) * real(scale))) for v in roi[1:]]
        for ph, (h1, h2) in enumerate(bins_of(y1, y2, pooled_h, height, real)):
            for pw, (w1, w2) in enumerate(bins_of(x1, x2, pooled_w, width, real)):
                for c in range(channels):
                    best = -np.inf
                    for h in range(h1, h2):
                        for w in range(w1, w2):
                            if features[int(roi[0]), c, h, w] > best:
                                best = top[r, c, ph, pw] = features[int(roi[0]), c, h, w]
                                argmax[r, c, ph, pw] = h * width + w
    return top, argmax


def naive_backward(top_diff, rois, argmax, shape):
    diff = np.zeros((*shape[:2], shape[2] * shape[3]), top_diff.dtype)
    for r, c, ph, pw in np.ndindex(*top_diff.shape):
        if argmax[r, c, ph, pw] >= 0:
            diff[int(rois[r, 0]), c, argmax[r, c, ph, pw]] += top_diff[r, c, ph, pw]
    return diff.reshape(shape)


def random_rois(rng, count, images, width, height):
    """Any corners, some beyond the image, some inverted, some twice."""
    rois = np.column_stack([rng.integers(0, images, count), rng.uniform(-0.3, 1.3, (count, 4))
                            * [width, height, width, height]])
    rois[1::2, 3:] = rois[1::2, 1:3] + abs(rois[1::2, 3:] - rois[1::2, 1:3])
    rois[-2:] = rois[:2]
    return rois
