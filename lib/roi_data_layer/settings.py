"""Reads the training settings from cfg, for the Python layers, as records for the functions on arrays."""
from dataclasses import replace

import numpy as np
from fast_rcnn.config import cfg
from utils.images import Scaling

from roi_data_layer.bbox_targets import Targets
from roi_data_layer.ohem import Mining
from roi_data_layer.sampling import Sampling


def scaling():
    """The scaling of training images."""
    return Scaling(tuple(cfg.TRAIN.SCALES), cfg.TRAIN.MAX_SIZE, cfg.PIXEL_MEANS)


def sampling():
    """The sampling of RoIs."""
    train = cfg.TRAIN
    return Sampling(train.BATCH_SIZE, train.FG_FRACTION, train.FG_THRESH, train.BG_THRESH_HI, train.BG_THRESH_LO)


def sampling_of_image(fg_rois_per_image, rois_per_image):
    """The sampling of at most so many RoIs from one image, infinity for all, as the original's _sample_rois has it."""
    if np.isinf(rois_per_image):
        return replace(sampling(), batch_size=-1)
    return replace(sampling(), batch_size=int(rois_per_image), fg_fraction=fg_rois_per_image / max(rois_per_image, 1))


def mining():
    """The selection of hard RoIs."""
    train = cfg.TRAIN
    count = train.BATCH_SIZE // train.IMS_PER_BATCH if train.OHEM_PER_IMAGE else train.BATCH_SIZE
    return Mining(count, train.OHEM_PER_IMAGE, train.OHEM_NMS_THRESH if train.OHEM_USE_NMS else None,
                  train.OHEM_NMS_PER_CLASS)


def targets():
    """The computation of box regression targets."""
    train = cfg.TRAIN
    precomputed = None
    if train.BBOX_NORMALIZE_TARGETS_PRECOMPUTED:
        precomputed = np.array(train.BBOX_NORMALIZE_MEANS, float), np.array(train.BBOX_NORMALIZE_STDS, float)
    return Targets(train.BBOX_THRESH, train.BBOX_NORMALIZE_TARGETS, precomputed)


def inside_weights():
    """The loss weights of a target's four numbers; None if boxes are not regressed."""
    return tuple(cfg.TRAIN.BBOX_INSIDE_WEIGHTS) if cfg.TRAIN.BBOX_REG else None
