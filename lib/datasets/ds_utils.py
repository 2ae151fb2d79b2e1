"""Small functions on boxes that the loaders share."""
import numpy as np
import scipy.sparse
from utils.errors import UserError


def unique_boxes(boxes, scale=1.0):
    """Indices, ascending, of the first of each set of boxes that are equal after rounding boxes * scale.

    boxes (N, 4).  (The original compared a base-1000 hash, which collides once a coordinate reaches 1000.)
    """
    rounded = np.round(np.asarray(boxes, dtype=np.float64) * scale).astype(np.int64)
    low, high = rounded.min(initial=0), rounded.max(initial=0)
    upper, lower = ((rounded[:, k] - low) * (high - low + 1) + rounded[:, k + 1] for k in (0, 2))    # a number a corner
    order = np.lexsort((lower, upper))          # stable: of equal rows the first stays first
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (np.diff(upper[order]) != 0) | (np.diff(lower[order]) != 0)
    return np.sort(order[is_new])


def filter_small_boxes(boxes, min_size):
    """Indices of boxes (N, 4) with x2 - x1 >= min_size and y2 - y1 > min_size.

    The asymmetry, and the missing + 1, are the original's: they decide which proposals it trains on.
    """
    w = boxes[:, 2] - boxes[:, 0]
    h = boxes[:, 3] - boxes[:, 1]
    return np.where((w >= min_size) & (h > min_size))[0]


def xywh_to_xyxy(boxes):
    """Boxes (N, 4) [x y w h] as [x1 y1 x2 y2], both corners inside the box; the original's name."""
    return np.hstack((boxes[:, :2], boxes[:, :2] + boxes[:, 2:4] - 1))


def xyxy_to_xywh(boxes):
    """Boxes (N, 4) [x1 y1 x2 y2], both corners inside the box, as [x y w h]; the original's name."""
    return np.hstack((boxes[:, :2], boxes[:, 2:4] - boxes[:, :2] + 1))


def validate_boxes(boxes, width=0, height=0):
    """UserError unless boxes (N, 4) [x1 y1 x2 y2] lie in an image of width x height pixels; the original's name."""
    x1, y1, x2, y2 = np.asarray(boxes).T
    sound = (x1 >= 0) & (y1 >= 0) & (x2 >= x1) & (y2 >= y1) & (x2 < width) & (y2 < height)
    if not sound.all():
        first = " ".join("%g" % x for x in np.asarray(boxes)[~sound][0])
        raise UserError("%d of %d boxes are inverted or outside the image of %d x %d pixels, the first is x1 y1 x2 y2 "
                        "= %s (0-based); correct them"
                        % (np.count_nonzero(~sound), len(sound), width, height, first))


def clip_one_pixel(boxes, width, height):
    """Clip boxes (N, 4) that reach at most one pixel beyond the image; returns (clipped float32, how many were).

    0-based or 1-based coordinates used the wrong way round end there; whatever is further out is not ours to mend.
    """
    clipped = np.clip(boxes, 0, [width - 1, height - 1, width - 1, height - 1])
    return clipped.astype(np.float32), int((clipped != boxes).any(axis=1).sum())


def bad_boxes(boxes, width, height):
    """(N,) bool: not finite, inverted, or more than one pixel outside the image.  boxes 0-based [x1 y1 x2 y2]."""
    x1, y1, x2, y2 = boxes.T
    sound = (x1 <= x2) & (y1 <= y2) & (x1 >= -1) & (y1 >= -1) & (x2 <= width) & (y2 <= height)
    return ~sound               # a comparison with nan is False, so nan is bad


def look_like_fractions(boxes):
    """(N,) bool: boxes (N, 4) [x1 y1 x2 y2] lie in 0 to 1 and are not whole numbers: parts of the image's width and
    height, not pixels, 0-based or 1-based.

    A hundredth more to both sides is what rounding adds.
    """
    in_first_pixel = (boxes < 1).any(axis=1)
    if not in_first_pixel.any():
        return in_first_pixel
    within = in_first_pixel & ((boxes > -0.01) & (boxes < 1.01)).all(axis=1)
    return within & (boxes != np.round(boxes)).any(axis=1)


def one_a_row(values, columns, num_columns):
    """(R, num_columns) csr with values[r] at columns[r] of row r, where it is not 0."""
    found = values != 0
    ends = np.concatenate(([0], np.cumsum(found)))
    return scipy.sparse.csr_matrix((values[found], columns[found], ends), shape=(len(values), num_columns))
