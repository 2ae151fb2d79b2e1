"""What training needs of a roidb beyond what a data set gives: best overlaps, and box regression targets."""
import numpy as np
from datasets.ground_truth import object_rows
from datasets.image_files import image_size
from utils.errors import UserError
from utils.progress import progress

from roi_data_layer import settings
from roi_data_layer.bbox_targets import compute_targets, normalize, target_statistics


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

    They are made, and normalised by class, as cfg.TRAIN.BBOX_* say (roi_data_layer.bbox_targets).  Returns the means
    and the standard deviations, each (4 * num_classes,) float64, of what is subtracted and divided by; both are 0 for a
    class without targets.
    """
    if not roidb:
        raise UserError("the roidb is empty: there are no images to train on")
    num_classes, rules = roidb[0]["gt_overlaps"].shape[1], settings.targets()
    for entry in roidb:
        entry["bbox_targets"] = compute_targets(entry["boxes"], entry["boxes"][object_rows(entry)],
                                                entry["max_overlaps"], entry["max_classes"], rules.overlap)
    if rules.precomputed:
        means, stds = (np.tile(values, (num_classes, 1)) for values in rules.precomputed)
    else:
        means, stds = target_statistics([entry["bbox_targets"] for entry in roidb], num_classes)
    if rules.normalized:
        for entry in roidb:
            normalize(entry["bbox_targets"], means, stds)
    return means.ravel(), stds.ravel()


def _dense(overlaps):
    return overlaps.toarray() if hasattr(overlaps, "toarray") else np.asarray(overlaps)


def _compute_targets(rois, overlaps, labels):
    """bbox_targets (R, 5) of an image whose objects are the rows with overlap 1; the original's name."""
    return compute_targets(rois, rois[overlaps == 1], overlaps, labels, settings.targets().overlap)
