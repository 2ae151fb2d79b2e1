"""Finds the rows of a roidb entry that are ground truth."""
import numpy as np

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
