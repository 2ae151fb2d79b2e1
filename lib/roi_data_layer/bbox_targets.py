"""Regression targets of the RoIs of a data set, and their statistics.  Arrays and numbers only."""
from dataclasses import dataclass

import numpy as np
from fast_rcnn.bbox_transform import bbox_transform
from utils.cython_bbox import bbox_overlaps

LEAST_STD = 1e-6  # a smaller deviation is the rounding of targets that are all equal


@dataclass(frozen=True)
class Targets:
    """The settings of regression targets.

    overlap: lowest IoU with an object at which a RoI has a target.
    normalized: whether to subtract the mean of a class and divide by its deviation.
    precomputed: means (4,) and deviations (4,) for every class; None: computed from the targets.
    """

    overlap: float
    normalized: bool
    precomputed: tuple | None

    def normalize_precomputed(self, targets):
        """Targets (F, 4) for training, of RoIs proposed during training, normalised if `precomputed` is used."""
        if not self.normalized or self.precomputed is None:
            return targets
        means, stds = self.precomputed
        return (targets - means) / stds


def compute_targets(rois, gt_boxes, overlaps, labels, thresh):
    """bbox_targets of one image: rois (R, 4), gt_boxes (G, 4), overlaps (R,), labels (R,).

    Rows with overlap >= thresh get their class and the transform to the ground-truth box they overlap most (the first
    on ties).
    """
    targets = np.zeros((len(rois), 5), dtype=np.float32)
    ex_inds = np.flatnonzero(overlaps >= thresh)
    if len(gt_boxes) and len(ex_inds):
        ex_rois, gt_rois = rois[ex_inds].astype(np.float64), gt_boxes.astype(np.float64)
        nearest = bbox_overlaps(ex_rois, gt_rois).argmax(axis=1)  # (E, G) -> (E,)
        targets[ex_inds, 0] = labels[ex_inds]
        targets[ex_inds, 1:] = bbox_transform(ex_rois, gt_rois[nearest])
    return targets


def target_statistics(all_targets, num_classes):
    """Means and stds, (num_classes, 4) float64, of the target rows of each class; var = E(x^2) - E(x)^2.

    Where all targets of a class are equal the deviation is taken as 1 (the original divides by 0 there).
    """
    counts = np.zeros((num_classes, 1))
    sums = np.zeros((num_classes, 4))
    squared_sums = np.zeros((num_classes, 4))
    for targets in all_targets:
        rows = targets[targets[:, 0] > 0].astype(np.float64)
        classes = rows[:, 0].astype(int)
        np.add.at(counts, classes, 1)
        np.add.at(sums, classes, rows[:, 1:])
        np.add.at(squared_sums, classes, rows[:, 1:] ** 2)
    means = sums / np.maximum(counts, 1)
    stds = np.sqrt(np.maximum(squared_sums / np.maximum(counts, 1) - means ** 2, 0))
    stds[(counts > 0) & (stds < LEAST_STD)] = 1
    return means, stds


def normalize(targets, means, stds):
    """Subtract the class mean and divide by the class deviation, in place."""
    rows = np.flatnonzero(targets[:, 0] > 0)
    classes = targets[rows, 0].astype(int)
    targets[rows, 1:] = (targets[rows, 1:] - means[classes]) / stds[classes]
