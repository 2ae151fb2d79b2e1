"""Anchors: the boxes that a region proposal network moves and scores, the same around every cell of its feature map.

Boxes are [x1 y1 x2 y2] pixels of the scaled image, width = x2 - x1 + 1.
"""
import numpy as np

BASE_SIZE = 16          # pixels of the window that a scale of 1 has the area of, whatever the stride
RATIOS = (0.5, 1, 2)    # height / width
SCALES = (8, 16, 32)    # sides in units of BASE_SIZE: 128, 256 and 512 pixels, for images of 600


def generate_anchors(base_size=BASE_SIZE, ratios=RATIOS, scales=SCALES):
    """The anchors around the window (0, 0, base_size - 1, base_size - 1): (len(ratios) * len(scales), 4) float64.

    Ratio by ratio, within one by scale.  Sizes are rounded for scale 1, half to even, and multiplied by the scale then.
    """
    ratios, scales = np.array(ratios, dtype=float), np.array(scales, dtype=float)
    base_widths = np.round(np.sqrt(base_size ** 2 / ratios))
    widths = np.outer(base_widths, scales).ravel()                          # (ratios, scales) -> (A,)
    heights = np.outer(np.round(base_widths * ratios), scales).ravel()
    centre = (base_size - 1) / 2
    half_w, half_h = (widths - 1) / 2, (heights - 1) / 2
    return np.stack([centre - half_w, centre - half_h, centre + half_w, centre + half_h], axis=1)


# The original's names for the steps, which forks import.

def _whctrs(anchor):
    """Width, height and centre (x, y) of an anchor (4,)."""
    w, h = anchor[2] - anchor[0] + 1, anchor[3] - anchor[1] + 1
    return w, h, anchor[0] + 0.5 * (w - 1), anchor[1] + 0.5 * (h - 1)


def _mkanchors(ws, hs, x_ctr, y_ctr):
    """Anchors (A, 4) of widths and heights (A,) around one centre."""
    half_w, half_h = 0.5 * (np.asarray(ws) - 1), 0.5 * (np.asarray(hs) - 1)
    return np.stack([x_ctr - half_w, y_ctr - half_h, x_ctr + half_w, y_ctr + half_h], axis=1)


def _ratio_enum(anchor, ratios):
    """Anchors (A, 4) with the area and the centre of one, for each ratio of height to width; sides are rounded."""
    w, h, x_ctr, y_ctr = _whctrs(anchor)
    ws = np.round(np.sqrt(w * h / np.asarray(ratios)))
    return _mkanchors(ws, np.round(ws * ratios), x_ctr, y_ctr)


def _scale_enum(anchor, scales):
    """Anchors (A, 4) with the centre of one and its sides times each scale."""
    w, h, x_ctr, y_ctr = _whctrs(anchor)
    return _mkanchors(w * np.asarray(scales), h * np.asarray(scales), x_ctr, y_ctr)
