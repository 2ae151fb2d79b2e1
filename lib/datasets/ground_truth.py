"""Which rows of a roidb entry are ground truth: the one way to tell."""
import numpy as np

from datasets.crowds import crowd_rows


def object_rows(entry):
    """Indices (G,) of the objects of a roidb entry: rows with a class, but for crowds (datasets.crowds).

    A proposal is no object, though it may be equal to one; a crowd has a class, and cannot be learned as one object.
    """
    return np.flatnonzero((entry["gt_classes"] > 0) & ~crowd_rows(entry["gt_overlaps"]))
