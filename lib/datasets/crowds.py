"""Crowd regions of COCO: one box around many objects, in which nothing can be called background or an object.

In a roidb a row whose gt_overlaps are all -1 is a crowd, or a proposal inside one.  No minibatch takes such a row:
-1 is neither foreground nor background.
"""
import numpy as np
import scipy.sparse

CROWD_THRESH = 0.7      # of a proposal's area, from which a crowd covers it; the original's setting


def crowd_rows(gt_overlaps):
    """(R,) bool of the rows of gt_overlaps (R, num_classes), csr or an array, that are -1."""
    if not scipy.sparse.issparse(gt_overlaps):
        return (np.asarray(gt_overlaps) < 0).any(axis=1)
    if not (gt_overlaps.data < 0).any():
        return np.zeros(gt_overlaps.shape[0], dtype=bool)
    return gt_overlaps.min(axis=1).toarray().ravel() < 0


def covered_by(boxes, crowds, thresh=CROWD_THRESH):
    """(R,) bool: more than `thresh` of the area of a box (R, 4) lies in one of the crowds (C, 4)."""
    if len(crowds) == 0:
        return np.zeros(len(boxes), dtype=bool)
    low = np.maximum(boxes[:, None, :2], crowds[None, :, :2])                       # (R, C, 2)
    high = np.minimum(boxes[:, None, 2:], crowds[None, :, 2:])
    inside = np.prod(np.maximum(high - low + 1, 0), axis=2)                         # (R, C) pixels
    areas = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
    return (inside > thresh * areas[:, None]).any(axis=1)
