"""Anchors at every cell of a feature map."""
import numpy as np


def shifted_anchors(anchors, height, width, feat_stride):
    """The anchors (A, 4) at every cell of a feature map: (height * width * A, 4), rows by y, x, anchor."""
    y, x = np.mgrid[:height, :width] * feat_stride
    shifts = np.stack([x, y, x, y], axis=-1)                                # (H, W, 4)
    return (shifts[:, :, np.newaxis] + anchors).reshape(-1, 4)
