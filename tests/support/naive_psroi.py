"""Position-sensitive RoI pooling in loops, number by number: what both kernels must agree with."""
import math

import numpy as np


def half_away(x):
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)


def bins_of(start, end, group, limit, real):
    """[(first, past last)] of the bins of [start, end), in the arithmetic of the number type `real`."""
    bin_size = real(max(end - start, real(0.1))) / real(group)
    return [(min(max(math.floor(real(b) * bin_size + start), 0), limit),
             min(max(math.ceil(real(b + 1) * bin_size + start), 0), limit)) for b in range(group)]


def roi_bins(roi, group, scale, height, width):
    """(image, bins in y, bins in x) of one RoI."""
    real = roi.dtype.type
    x1, y1 = (real(half_away(float(v))) * real(scale) for v in roi[1:3])
    x2, y2 = (real(half_away(float(v)) + 1) * real(scale) for v in roi[3:5])
    return int(roi[0]), bins_of(y1, y2, group, height, real), bins_of(x1, x2, group, width, real)


def naive_forward(features, rois, output_dim, group, scale):
    top = np.zeros((len(rois), output_dim, group, group), features.dtype)
    for r, roi in enumerate(rois):
        image, ys, xs = roi_bins(roi, group, scale, *features.shape[2:])
        for d, ph, pw in np.ndindex(*top.shape[1:]):
            (y1, y2), (x1, x2) = ys[ph], xs[pw]
            if y1 < y2 and x1 < x2:
                total = features.dtype.type(0)
                for cell in features[image, (d * group + ph) * group + pw, y1:y2, x1:x2].flat:
                    total += cell
                top[r, d, ph, pw] = total / features.dtype.type((y2 - y1) * (x2 - x1))
    return top


def naive_backward(top_diff, rois, shape, scale):
    diff = np.zeros(shape, top_diff.dtype)
    group = top_diff.shape[2]
    for r, roi in enumerate(rois):
        image, ys, xs = roi_bins(roi, group, scale, *shape[2:])
        for d, ph, pw in np.ndindex(*top_diff.shape[1:]):
            (y1, y2), (x1, x2) = ys[ph], xs[pw]
            if y1 < y2 and x1 < x2:
                share = top_diff[r, d, ph, pw] / top_diff.dtype.type((y2 - y1) * (x2 - x1))
                diff[image, (d * group + ph) * group + pw, y1:y2, x1:x2] += share
    return diff


def random_rois(rng, count, images, width, height):
    """Any corners in pixels, some beyond the image, some inverted, some twice, some at half pixels."""
    rois = np.column_stack([rng.integers(0, images, count), rng.uniform(-0.3, 1.3, (count, 4))
                            * [width, height, width, height]])
    rois[1::2, 3:] = rois[1::2, 1:3] + abs(rois[1::2, 3:] - rois[1::2, 1:3])
    rois[::3, 1:] = np.round(rois[::3, 1:]) + 0.5
    rois[-2:] = rois[:2]
    return rois
