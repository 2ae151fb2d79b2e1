"""Small functions on boxes that the loaders share."""
import numpy as np
import scipy.sparse


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
