"""Finds the rows of a roidb entry that are ground truth, and the proposals that reach them."""
import numpy as np
from utils.cython_bbox import bbox_overlaps

from datasets.crowds import crowd_rows

# area ranges of imdb.evaluate_recall, in square pixels
AREA_RANGES = {"all": (0, 1e5 ** 2), "small": (0, 32 ** 2), "medium": (32 ** 2, 96 ** 2), "large": (96 ** 2, 1e5 ** 2),
               "96-128": (96 ** 2, 128 ** 2), "128-256": (128 ** 2, 256 ** 2), "256-512": (256 ** 2, 512 ** 2),
               "512-inf": (512 ** 2, 1e5 ** 2)}


def object_rows(entry):
    """Indices (G,) of the objects of a roidb entry: rows with a class, except crowds (datasets.crowds).

    A proposal is not an object, even if it equals one.  A crowd has a class, but cannot be learned as one object.
    """
    is_object = entry["gt_classes"] > 0
    if "gt_overlaps" in entry:      # which testing needs nothing of
        is_object &= ~crowd_rows(entry["gt_overlaps"])
    return np.flatnonzero(is_object)


def matched_overlaps(boxes, gt_boxes):
    """(G,) IoU of each ground-truth box (G, 4) with its own candidate of boxes (R, 4), 0 for those left without one."""
    matched = np.zeros(len(gt_boxes))
    if len(boxes) == 0 or len(gt_boxes) == 0:
        return matched
    overlaps = bbox_overlaps(boxes, gt_boxes)                     # (R, G)
    for _ in range(min(overlaps.shape)):
        box, gt = np.unravel_index(overlaps.argmax(), overlaps.shape)
        matched[gt] = overlaps[box, gt]
        overlaps[box, :] = overlaps[:, gt] = -1
    return matched
