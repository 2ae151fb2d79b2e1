"""Multi-stage bounding-box regression (+B): which boxes of the first stage are seen again, and what comes of them.

MR-CNN (Gidaris and Komodakis, ICCV 2015) and the OHEM paper: the net scores and moves the proposals, which gives R1;
those of R1 that score high go through its RoI layers again, which gives R2; detections are chosen from both together.
"""
import numpy as np

from fast_rcnn.nms_wrapper import nms


def class_dets(scores, pred_boxes, thresh, classes=None):
    """For each class (n, 5) float32 [x1 y1 x2 y2 score] of the rows that score above thresh; none of class 0.

    scores (R, K); pred_boxes (R, 4*K), class c in columns 4c .. 4c+3.
    classes (R,): row r counts for classes[r] alone; None: for every class.
    """
    dets = [np.zeros((0, 5), np.float32)]
    for cls in range(1, scores.shape[1]):
        high = scores[:, cls] > thresh
        inds = np.flatnonzero(high if classes is None else high & (classes == cls))
        dets.append(np.column_stack((pred_boxes[inds, 4 * cls:4 * cls + 4], scores[inds, cls])).astype(np.float32))
    return dets


def high_scoring(scores, pred_boxes, thresh, nms_thresh):
    """R1's part for the second stage: boxes (Q, 4) float32 and the class (Q,) each was moved for.

    Of every class those above thresh, less those that NMS at nms_thresh takes for copies.
    """
    dets = [of_class[nms(of_class, nms_thresh)] for of_class in class_dets(scores, pred_boxes, thresh)]
    classes = np.repeat(np.arange(len(dets)), [len(of_class) for of_class in dets])
    return np.concatenate(dets)[:, :4], classes
