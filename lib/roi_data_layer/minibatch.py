"""Minibatches under the original's names, under the settings of cfg and drawn from numpy's generator.

What they are made of is in roi_data_layer.blobs and ohem; the layers use these.  A fork may have its own minibatch.py
in place of this file, or put a function of its own in place of one of the first three here; then the layers call that
(roi_data_layer.own_minibatch).
"""
import numpy as np
import numpy.random as npr
from fast_rcnn.config import cfg

from roi_data_layer import settings
from roi_data_layer.blobs import (
    draw_all,
    draw_rpn,
    draw_sampled,
    expand_targets,
    make_blobs,
    make_image_blob,
)
from roi_data_layer.ohem import hard_roi_inds, select_hard
from roi_data_layer.sampling import all_rois, sample_rois


def get_minibatch(roidb, num_classes):
    """Blobs of a minibatch of sampled RoIs, or with cfg.TRAIN.HAS_RPN of objects."""
    return _made(draw_rpn if cfg.TRAIN.HAS_RPN else draw_sampled, roidb, num_classes)


def get_allrois_minibatch(roidb, num_classes):
    """Blobs of a minibatch of all RoIs, for mining: of each image first the foreground, then the background."""
    return _made(draw_all, roidb, num_classes)


def get_ohem_minibatch(loss, rois, labels, bbox_targets=None, bbox_inside_weights=None, bbox_outside_weights=None):
    """Rows of the arguments for the hard RoIs, by falling loss, under their names + _hard.

    loss (R,); rois (R, 5); labels (R,); the others (R, 4*C), or None where boxes are not regressed.
    """
    hard_inds = hard_roi_inds(loss, rois, labels, settings.mining())
    arrays = {"rois": rois, "labels": labels}
    if bbox_targets is not None:
        arrays.update(bbox_targets=bbox_targets, bbox_inside_weights=bbox_inside_weights,
                      bbox_outside_weights=bbox_outside_weights)
    return {name + "_hard": array[hard_inds] for name, array in arrays.items()}


def _made(draw, roidb, num_classes):
    scaling = settings.scaling()
    drawn = draw(roidb, scaling.sizes, settings.sampling(), npr)
    return make_blobs(drawn, num_classes, scaling, settings.inside_weights())[0]


OURS = (get_minibatch, get_allrois_minibatch, get_ohem_minibatch)      # until a fork puts others in their place


# The original's names for parts of these, which forks import.

def select_hard_examples(loss):
    """Indices of the cfg.TRAIN.BATCH_SIZE largest of losses (R,), by falling loss."""
    return select_hard(np.asarray(loss, np.float64), None, None, cfg.TRAIN.BATCH_SIZE)


def _sample_rois(roidb, fg_rois_per_image, rois_per_image, num_classes):
    """labels, overlaps, rois, bbox_targets and bbox_inside_weights of RoIs drawn from one prepared roidb entry.

    fg_rois_per_image, rois_per_image: the most of the foreground, and of all.
    """
    rules = settings.sampling_of_image(fg_rois_per_image, rois_per_image)
    return _of_inds(roidb, *sample_rois(roidb["max_overlaps"], 1, rules, npr), num_classes)


def _all_rois(roidb, num_classes):
    """As _sample_rois, but all RoIs: first the foreground, then the background."""
    return _of_inds(roidb, *all_rois(roidb["max_overlaps"], settings.sampling()), num_classes)


def _of_inds(roidb, fg_inds, bg_inds, num_classes):
    keep_inds = np.append(fg_inds, bg_inds).astype(int)
    labels = np.append(roidb["max_classes"][fg_inds], np.zeros(len(bg_inds), int))
    targets, inside_weights = _get_bbox_regression_labels(roidb["bbox_targets"][keep_inds], num_classes)
    return labels, roidb["max_overlaps"][keep_inds], roidb["boxes"][keep_inds], targets, inside_weights


def _get_bbox_regression_labels(bbox_target_data, num_classes):
    """Targets and inside weights (R, 4*C) of rows (R, 5) [class, dx, dy, dw, dh]."""
    return expand_targets(bbox_target_data, num_classes, cfg.TRAIN.BBOX_INSIDE_WEIGHTS)


def _get_image_blob(roidb, scale_inds):
    """data blob (N, 3, H, W) of the entries' images at cfg.TRAIN.SCALES[i] for i in scale_inds, and their scales."""
    blob, im_infos = make_image_blob(roidb, [cfg.TRAIN.SCALES[i] for i in scale_inds], settings.scaling())
    return blob, [im_scale for _, _, im_scale in im_infos]


def _project_im_rois(im_rois, im_scale_factor):
    """Boxes (R, 4) of an image in pixels of the scaled image."""
    return im_rois * im_scale_factor
