"""Which rows of a roidb entry are ground truth: the one way to tell."""
import numpy as np

from datasets.crowds import crowd_rows


def object_rows(entry):
    """Indices (G,) of the objects of a roidb entry: rows with a class, but for crowds (datasets.crowds).

    A proposal is no object, though it may be equal to one; a crowd has a class, and cannot be learned as one object.
    """
    is_object = entry["gt_classes"] > 0
    if "gt_overlaps" in entry:      # which testing needs nothing of
        is_object &= ~crowd_rows(entry["gt_overlaps"])
    return np.flatnonzero(is_object)
