"""RoIs pooled as distinct regions of cells."""
import numpy as np
import torch
from caffe.kernels.roi.roi_pooling import roi_pooling_distinct, roi_pooling_forward

from .naive_roi import random_rois


def pooled(rois=300, channels=6, pooled_h=3, pooled_w=5, dtype=torch.float32, features=None):
    """(PooledRegions, all rows of it)."""
    if features is None:
        features = torch.randn(2, channels, 9, 12, generator=torch.Generator().manual_seed(1)).to(dtype)
    boxes = torch.from_numpy(random_rois(np.random.default_rng(2), rois, 2, 12 * 16, 9 * 16)).to(dtype)
    args = features, boxes, pooled_h, pooled_w, 1 / 16
    regions, repeats = roi_pooling_distinct(*args)
    assert regions.shape[0] < rois
    rows = regions.tensor()
    assert torch.equal(rows[repeats], roi_pooling_forward(*args, with_argmax=False)[0])
    return regions, rows.flatten(1)
