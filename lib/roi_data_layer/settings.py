"""The settings of training as the records that functions on arrays take: cfg is read here, for the Python layers."""
import numpy as np
from fast_rcnn.config import cfg
from utils.blob import Scaling

from roi_data_layer.bbox_targets import Targets
from roi_data_layer.ohem import Mining
from roi_data_layer.sampling import Sampling


def scaling():
    """How training scales its images."""
    return Scaling(tuple(cfg.TRAIN.SCALES), cfg.TRAIN.MAX_SIZE, cfg.PIXEL_MEANS)


def sampling():
    """Which RoIs training takes."""
    train = cfg.TRAIN
    return Sampling(train.BATCH_SIZE, train.FG_FRACTION, train.FG_THRESH, train.BG_THRESH_HI, train.BG_THRESH_LO)


def mining():
    """Which RoIs are hard."""
    train = cfg.TRAIN
    count = train.BATCH_SIZE // train.IMS_PER_BATCH if train.OHEM_PER_IMAGE else train.BATCH_SIZE
    return Mining(count, train.OHEM_PER_IMAGE, train.OHEM_NMS_THRESH if train.OHEM_USE_NMS else None,
                  train.OHEM_NMS_PER_CLASS)


def targets():
    """How box regression targets are made."""
    train = cfg.TRAIN
    precomputed = None
    if train.BBOX_NORMALIZE_TARGETS_PRECOMPUTED:
        precomputed = np.array(train.BBOX_NORMALIZE_MEANS, float), np.array(train.BBOX_NORMALIZE_STDS, float)
    return Targets(train.BBOX_THRESH, train.BBOX_NORMALIZE_TARGETS, precomputed)


def inside_weights():
    """Of a target's four numbers in the loss; None where boxes are not regressed."""
    return tuple(cfg.TRAIN.BBOX_INSIDE_WEIGHTS) if cfg.TRAIN.BBOX_REG else None
