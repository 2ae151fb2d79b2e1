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
    boxes = np.ascontiguousarray(dets[order, :4].T)  # (4, N), highest score first
    areas = (boxes[2] - boxes[0] + 1) * (boxes[3] - boxes[1] + 1)
    least = np.float32(thresh)  # a float32 IoU is >= thresh where it is >= the first float32 that is
    if float(least) < thresh:
        least = np.nextafter(least, np.float32(np.inf))
    dropped = np.zeros(len(order), dtype=np.int32)
    if len(order):
        _drop(boxes, areas, least, dropped)
    return order[dropped == 0].tolist()


cdef void _drop(const float[:, ::1] boxes, const float[::1] areas, float least, int[::1] dropped) noexcept nogil:
    cdef Py_ssize_t i, n = areas.shape[0]
    for i in range(n):
        if not dropped[i]:
            _drop_later(&boxes[0, 0], &boxes[1, 0], &boxes[2, 0], &boxes[3, 0], &areas[0], least, &dropped[0], i, n)


cdef void _drop_later(const float* x1, const float* y1, const float* x2, const float* y2, const float* areas,
                      float least, int* dropped, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Mark the boxes behind i whose IoU with it is >= least; without branches, so that compilers vectorise it."""
    cdef Py_ssize_t j
    cdef float left = x1[i], top = y1[i], right = x2[i], bottom = y2[i], area = areas[i]
    cdef float w, h, inter, union_
    for j in range(i + 1, n):
        w = (right if right < x2[j] else x2[j]) - (left if left > x1[j] else x1[j]) + 1
        h = (bottom if bottom < y2[j] else y2[j]) - (top if top > y1[j] else y1[j]) + 1
        inter = (w if w > 0 else <float>0) * (h if h > 0 else <float>0)
        union_ = area + areas[j] - inter
        dropped[j] |= inter / (union_ + (union_ == 0)) >= least
