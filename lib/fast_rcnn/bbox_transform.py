"""Regression targets of boxes, and back (appendix C of the R-CNN paper).

Boxes are [x1 y1 x2 y2] pixels with width = x2 - x1 + 1; targets are [dx dy dw dh]: the shift of the centre in units of
the old size, and the logarithm of the growth.
"""
import numpy as np


def bbox_transform(ex_rois, gt_rois):
    """Targets that take ex_rois (N, 4) to gt_rois (N, 4): (N, 4), float64 for integer boxes."""
    ex_x, ex_y, ex_w, ex_h = _centre_and_size(ex_rois)
    gt_x, gt_y, gt_w, gt_h = _centre_and_size(gt_rois)
    return np.stack([(gt_x - ex_x) / ex_w, (gt_y - ex_y) / ex_h, np.log(gt_w / ex_w), np.log(gt_h / ex_h)], axis=1)


def bbox_transform_inv(boxes, deltas):
    """Boxes moved by deltas.

    boxes (N, 4); deltas (N, 4*C), class c in columns 4c .. 4c+3.  Returns (N, 4*C) in the deltas' type.
    Kept from the original: x2 = centre + w / 2 without - 1, so zero deltas grow a box by a pixel (the published
    weights are trained against this).  Mended: dw and dh end where exp() squared leaves the type (44 in float32), so
    neither exp() nor the product with a width overflows.
    """
    x, y, w, h = (v[:, np.newaxis] for v in _centre_and_size(boxes.astype(deltas.dtype, copy=False)))
    largest = np.log(np.finfo(deltas.dtype).max) / 2
    ctr_x = deltas[:, 0::4] * w + x  # (N, C), like all below
    ctr_y = deltas[:, 1::4] * h + y
    half_w = 0.5 * (np.exp(np.minimum(deltas[:, 2::4], largest)) * w)
    half_h = 0.5 * (np.exp(np.minimum(deltas[:, 3::4], largest)) * h)
    pred_boxes = np.empty_like(deltas)
    pred_boxes[:, 0::4] = ctr_x - half_w
    pred_boxes[:, 1::4] = ctr_y - half_h
    pred_boxes[:, 2::4] = ctr_x + half_w
    pred_boxes[:, 3::4] = ctr_y + half_h
    return pred_boxes


def clip_boxes(boxes, im_shape):
    """Boxes (N, 4*C) with every coordinate moved into the image: x to [0, width - 1], y to [0, height - 1].

    im_shape: (height, width, ...).  Returns a new array.
    """
    height, width = im_shape[:2]
    clipped = np.empty_like(boxes)
    clipped[:, 0::2] = np.clip(boxes[:, 0::2], 0, width - 1)
    clipped[:, 1::2] = np.clip(boxes[:, 1::2], 0, height - 1)
    return clipped


def _centre_and_size(boxes):
    """x, y, w, h, each (N,), of boxes (N, 4); the centre is x1 + w / 2, as in the original."""
    if boxes.dtype.kind in "iu":
        boxes = boxes.astype(np.float64)  # unsigned differences would wrap
    w = boxes[:, 2] - boxes[:, 0] + 1
    h = boxes[:, 3] - boxes[:, 1] + 1
    return boxes[:, 0] + 0.5 * w, boxes[:, 1] + 0.5 * h, w, h
