"""What training needs of a roidb beyond what a data set gives: best overlaps, and box regression targets."""
import numpy as np
from datasets.image_files import image_size
from fast_rcnn.bbox_transform import bbox_transform
from fast_rcnn.config import cfg
from utils.cython_bbox import bbox_overlaps
from utils.errors import UserError
from utils.progress import progress

LEAST_STD = 1e-6  # a smaller deviation is the rounding of targets that are all equal


def prepare_roidb(imdb):
    """Add to each entry of imdb.roidb what minibatches are made from.

    image: path; width, height: pixels of it; max_overlaps (R,) float32: IoU with the best ground-truth box;
    max_classes (R,): that box's class, 0 where the overlap is 0.  An entry may have no boxes and no objects.
    """
    for i, entry in enumerate(progress(imdb.roidb, "Preparing " + imdb.name, unit="images")):
        entry["image"] = imdb.image_path_at(i)
        if "width" not in entry or "height" not in entry:
            entry["width"], entry["height"] = image_size(entry["image"])
        gt_overlaps = _dense(entry["gt_overlaps"])
        entry["max_overlaps"] = gt_overlaps.max(axis=1)
        entry["max_classes"] = gt_overlaps.argmax(axis=1)
        if (entry["max_classes"][entry["max_overlaps"] > 0] == 0).any():
            raise UserError("image %s: a RoI overlaps an object of class 0, which is the background; object classes "
                            "are 1 to %d" % (entry["image"], gt_overlaps.shape[1] - 1))


def add_bbox_regression_targets(roidb):
    """Add bbox_targets (R, 5) float32 [class, dx, dy, dw, dh] to each entry; rows without a target are 0.

    Targets are normalised by class as cfg.TRAIN.BBOX_NORMALIZE_TARGETS* say.  Returns the means and the standard
    deviations, each (4 * num_classes,) float64, of what is subtracted and divided by; both are 0 for a class without
    targets.  Where all targets of a class are equal the deviation is taken as 1 (the original divides by 0 there).
    """
    if not roidb:
        raise UserError("the roidb is empty: there are no images to train on")
    num_classes = roidb[0]["gt_overlaps"].shape[1]
    for entry in roidb:
        entry["bbox_targets"] = _compute_targets(entry["boxes"], entry["max_overlaps"], entry["max_classes"],
                                                 cfg.TRAIN.BBOX_THRESH)
    if cfg.TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED:
        means = np.tile(np.array(cfg.TRAIN.BBOX_NORMALIZE_MEANS, float), (num_classes, 1))
        stds = np.tile(np.array(cfg.TRAIN.BBOX_NORMALIZE_STDS, float), (num_classes, 1))
    else:
        means, stds = _target_statistics([entry["bbox_targets"] for entry in roidb], num_classes)
    if cfg.TRAIN.BBOX_NORMALIZE_TARGETS:
        for entry in roidb:
            _normalize(entry["bbox_targets"], means, stds)
    return means.ravel(), stds.ravel()


def _dense(overlaps):
    return overlaps.toarray() if hasattr(overlaps, "toarray") else np.asarray(overlaps)


def _compute_targets(rois, overlaps, labels, thresh):
    """bbox_targets of one image: rois (R, 4), overlaps (R,), labels (R,).

    Rows with overlap >= thresh get their class and the transform to the ground-truth box they overlap most (the first
    on ties).  Ground truth are the rows with overlap 1, which a proposal equal to a ground-truth box is too.
    """
    targets = np.zeros((len(rois), 5), dtype=np.float32)
    gt_inds = np.flatnonzero(overlaps == 1)
    ex_inds = np.flatnonzero(overlaps >= thresh)
    if len(gt_inds) and len(ex_inds):
        ex_rois, gt_rois = rois[ex_inds].astype(np.float64), rois[gt_inds].astype(np.float64)
        nearest = bbox_overlaps(ex_rois, gt_rois).argmax(axis=1)  # (E, G) -> (E,)
        targets[ex_inds, 0] = labels[ex_inds]
        targets[ex_inds, 1:] = bbox_transform(ex_rois, gt_rois[nearest])
    return targets


def _target_statistics(all_targets, num_classes):
    """Means and stds, (num_classes, 4) float64, of the target rows of each class; var = E(x^2) - E(x)^2."""
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


def _normalize(targets, means, stds):
    """Subtract the class mean and divide by the class deviation, in place."""
    rows = np.flatnonzero(targets[:, 0] > 0)
    classes = targets[rows, 0].astype(int)
    targets[rows, 1:] = (targets[rows, 1:] - means[classes]) / stds[classes]
