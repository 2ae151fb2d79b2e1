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


def shifted_anchors(anchors, height, width, feat_stride):
    """The anchors (A, 4) at every cell of a feature map: (height * width * A, 4), rows by y, x, anchor."""
    y, x = np.mgrid[:height, :width] * feat_stride
    shifts = np.stack([x, y, x, y], axis=-1)                                # (H, W, 4)
    return (shifts[:, :, np.newaxis] + anchors).reshape(-1, 4)
