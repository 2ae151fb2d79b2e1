# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Greedy non-maximum suppression on the CPU, built as nms.cpu_nms."""
import numpy as np


def cpu_nms(dets, double thresh):
    """Indices of the rows of dets that survive, in order of falling score.

    dets (N, 5): [x1 y1 x2 y2 score], pixels, both corners inside the box (width = x2 - x1 + 1).
    Going down the scores, each surviving box drops the later ones whose IoU with it is >= thresh.

    As in the original, the IoU is rounded to float32 and thresh is a double: an exact 0.7 is below 0.7 and stays, an
    exact 0.5 is dropped.  Of equal scores the later row goes first (a stable sort, reversed).  Where the original
    raises ZeroDivisionError, on two boxes without area, the IoU is 0 here.
    """
    dets = np.asarray(dets, dtype=np.float32)
    if dets.ndim != 2 or dets.shape[1] != 5:
        raise ValueError("cpu_nms: dets must have shape (n, 5), got %s" % (dets.shape,))
    order = np.argsort(dets[:, 4], kind="stable")[::-1]
    dropped = np.zeros(len(order), dtype=np.uint8)
    _drop(np.ascontiguousarray(dets[order, :4].T), thresh, dropped)  # (4, N), highest score first
    return order[dropped == 0].tolist()


cdef void _drop(const float[:, ::1] boxes, double thresh, unsigned char[::1] dropped) noexcept nogil:
    cdef Py_ssize_t i, j, n = boxes.shape[1]
    cdef float area, w, h, inter, union_, iou
    for i in range(n):
        if dropped[i]:
            continue
        area = (boxes[2, i] - boxes[0, i] + 1) * (boxes[3, i] - boxes[1, i] + 1)
        for j in range(i + 1, n):
            if dropped[j]:
                continue
            w = max(<float>0, min(boxes[2, i], boxes[2, j]) - max(boxes[0, i], boxes[0, j]) + 1)
            h = max(<float>0, min(boxes[3, i], boxes[3, j]) - max(boxes[1, i], boxes[1, j]) + 1)
            inter = w * h
            union_ = area + (boxes[2, j] - boxes[0, j] + 1) * (boxes[3, j] - boxes[1, j] + 1) - inter
            iou = inter / union_ if union_ != 0 else 0
            dropped[j] = iou >= thresh
