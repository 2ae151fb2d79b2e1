"""Small functions on boxes under the original's names, which forks import."""
import numpy as np
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
