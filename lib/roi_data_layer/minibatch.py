"""Minibatches under the original's names, under the settings of cfg and drawn from numpy's generator.

What they are made of is in roi_data_layer.blobs and ohem; the layers use these.
"""
import numpy.random as npr
from fast_rcnn.config import cfg

from roi_data_layer import settings
from roi_data_layer.blobs import draw_all, draw_rpn, draw_sampled, make_blobs
from roi_data_layer.ohem import hard_roi_inds


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
