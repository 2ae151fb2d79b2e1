"""Online hard example mining (Shrivastava, Gupta and Girshick, CVPR 2016, section 4): which RoIs are hard?

1. Give every RoI the loss the detector would have on it (`roi_losses`).
2. Go through the RoIs from the largest loss down; skip those that overlap a chosen one, because they see nearly the
   same features and would count one mistake many times (`select_hard`).
3. Stop when the minibatch is full.

The original sorts and suppresses all RoIs of each label and image first and takes the hardest survivors after that; its
answer is the same, because a RoI is never suppressed by one with a smaller loss.

Arrays and numbers only: R RoIs, C classes with 0 the background.
"""
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from nms.cpu_nms import greedy_nms

EPS = np.finfo(np.float64).eps  # least probability, as in the original: no classification loss above 36.04


@dataclass(frozen=True)
class Mining:
    """The settings for selecting hard RoIs.

    count: in the whole minibatch, or with per_image in each image.
    nms_thresh: a RoI is dropped at this IoU with a harder RoI or above; None: no RoI is dropped.
    per_class: that IoU counts only between RoIs of the same label.
    """

    count: int
    per_image: bool
    nms_thresh: float | None
    per_class: bool


class Mined(NamedTuple):
    """The result of mining in a pass.

    loss (R,) of all RoIs; indices (B,), rois (B, 5) and labels (B,) of the hard ones.
    """

    loss: np.ndarray
    hard_inds: np.ndarray
    rois: np.ndarray
    labels: np.ndarray


class Pass(NamedTuple):
    """All RoIs of a pass: loss, labels (R,), rois (R, 5), prob (R, C); hard_inds (B,) of those that were mined."""

    loss: np.ndarray
    rois: np.ndarray
    labels: np.ndarray
    prob: np.ndarray
    hard_inds: np.ndarray


def hard_roi_inds(loss, rois, labels, mining):
    """Indices of the hard RoIs by falling loss: loss (R,), rois (R, 5) [image, x1 y1 x2 y2], labels (R,)."""
    select = select_hard_per_image if mining.per_image else select_hard
    return select(np.asarray(loss, np.float64), rois, labels, mining.count, mining.nms_thresh, mining.per_class)


def roi_losses(cls_prob, labels, bbox_pred=None, bbox_targets=None, inside_weights=None, outside_weights=None):
    """Loss of each RoI, (R,) float64: log loss, and for foreground the smooth L1 loss of its box where that is given.

    cls_prob (R, C) softmax output; labels (R,); the others (R, 4*C), normalised targets.  Logarithms and box terms are
    float32 and their sum float64, as in the original; smooth L1 has its knee at 1.
    """
    classes = labels.astype(np.int64)
    prob = cls_prob[np.arange(len(classes)), classes]
    losses = -np.log(np.maximum(prob, np.float32(EPS))).astype(np.float64)
    losses[prob < EPS] = -np.log(EPS)
    if bbox_pred is not None:
        fg_inds = np.flatnonzero(labels > 0)
        inside = inside_weights[fg_inds]  # (R, 4*C) -> (F, 4*C)
        diff = inside * (bbox_pred[fg_inds] - bbox_targets[fg_inds])
        size = np.abs(diff)
        smooth_l1 = np.where(size < 1, 0.5 * diff * diff, size - 0.5)
        terms = np.where(inside != 0, outside_weights[fg_inds] * smooth_l1, 0)
        losses[fg_inds] += terms.sum(axis=1, dtype=np.float64)
    return losses


def select_hard(loss, rois, labels, batch_size, nms_thresh=None, per_class=True):
    """Indices of the batch_size hardest RoIs (fewer where not so many are left), by falling loss.

    loss (R,) float64; rois (R, 5) [image, x1 y1 x2 y2]; labels (R,).  nms_thresh: a RoI is no candidate when its IoU
    with a chosen one of the same image (per_class: and the same label) is >= nms_thresh; None: all are.
    Of equal losses the original's order with a stable sort, reversed: without NMS the later row comes first; with NMS
    the later (image, label), then the earlier row.
    """
    if nms_thresh is None:
        return np.lexsort((np.arange(len(loss)), loss))[::-1][:batch_size]
    _, image_inds = np.unique(rois[:, 0], return_inverse=True)
    classes = labels.astype(np.int64) if per_class else np.zeros(len(labels), np.int64)
    groups = image_inds * (classes.max(initial=0) + 1) + classes
    scores = loss.astype(np.float32)
    order = np.lexsort((np.arange(len(scores)), scores))[::-1]  # of equal losses the later row first
    kept = order[greedy_nms(rois[order, 1:].astype(np.float32), scores[order], groups[order], batch_size, nms_thresh)]
    return kept[np.lexsort((-kept, groups[kept], loss[kept]))[::-1][:batch_size]]


def select_hard_per_image(loss, rois, labels, per_image, nms_thresh=None, per_class=True):
    """As select_hard, but the `per_image` hardest of every image (the paper's B / N), by falling loss together."""
    parts = [np.zeros(0, np.int64)]
    for image in np.unique(rois[:, 0]):
        inds = np.flatnonzero(rois[:, 0] == image)
        parts.append(inds[select_hard(loss[inds], rois[inds], labels[inds], per_image, nms_thresh, per_class)])
    hard_inds = np.concatenate(parts)
    return hard_inds[np.argsort(-loss[hard_inds], kind="stable")]
