"""Finds the rows of a roidb entry that are ground truth."""
import numpy as np

from datasets.crowds import crowd_rows


def object_rows(entry):
    """Indices (G,) of the objects of a roidb entry: rows with a class, except crowds (datasets.crowds).

    A proposal is not an object, even if it equals one.  A crowd has a class, but cannot be learned as one object.
    """
    is_object = entry["gt_classes"] > 0
    if "gt_overlaps" in entry:      # which testing needs nothing of
        is_object &= ~crowd_rows(entry["gt_overlaps"])
    return np.flatnonzero(is_object)
