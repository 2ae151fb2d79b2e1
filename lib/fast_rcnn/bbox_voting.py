"""Box voting: a detection moves to the average of the candidates around it.

Gidaris and Komodakis, "Object detection via a multi-region and semantic segmentation-aware CNN model" (MR-CNN), ICCV
2015; the OHEM paper takes it over as the last part of +B.
"""
import numpy as np
from utils.cython_bbox import bbox_overlaps


def bbox_vote(dets, candidates, thresh):
    """Detections with their boxes voted on, scores as they were.

    dets (N, 5) [x1 y1 x2 y2 score], what NMS kept of one class; candidates (M, 5), all that class had before NMS.
    The new box of a detection is sum(w * box) / sum(w) over the candidates whose IoU with it is >= thresh, where
    w = max(0, score); one that nobody with a weight votes for stays.  Returns (N, 5) float32.
    """
    voted = np.array(dets, dtype=np.float32).reshape(-1, 5)
    voters = candidates[candidates[:, 4] > 0].astype(np.float64)
    near = bbox_overlaps(voted[:, :4], voters[:, :4]) >= thresh  # (N, M)
    shares = np.column_stack((voters[:, :4] * voters[:, 4:], voters[:, 4]))  # (M, 5), w * box and w
    sums = near.astype(np.float64) @ shares  # (N, 5)
    some = sums[:, 4] > 0
    voted[some, :4] = sums[some, :4] / sums[some, 4:]
    return voted
