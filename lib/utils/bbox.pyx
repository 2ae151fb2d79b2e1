# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Overlaps of boxes, built as utils.cython_bbox."""
import numpy as np


def bbox_overlaps(boxes, query_boxes):
    """Intersection over union of every box with every query box.

    boxes (N, 4), query_boxes (K, 4): [x1 y1 x2 y2] pixels, both corners inside the box (width = x2 - x1 + 1); any number
    type and layout.  Further columns, such as the class in gt_boxes, are not looked at, as in the original.  Returns (N, K) float64 in [0, 1]; boxes that do not meet, empty and inverted ones give 0.
    """
    boxes = _as_boxes(boxes, "boxes")
    query_boxes = _as_boxes(query_boxes, "query_boxes")
    overlaps = np.zeros((boxes.shape[0], query_boxes.shape[0]))
    _fill_overlaps(boxes, query_boxes, overlaps)
    return overlaps


def _as_boxes(array, name):
    array = np.asarray(array, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 4:
        raise ValueError("bbox_overlaps: %s must have shape (n, 4), got %s" % (name, array.shape))
    return np.ascontiguousarray(array[:, :4])


cdef void _fill_overlaps(const double[:, ::1] boxes, const double[:, ::1] query_boxes,
                         double[:, ::1] overlaps) noexcept nogil:
    cdef Py_ssize_t n, k
    cdef double query_area, iw, ih, area
    for k in range(query_boxes.shape[0]):
        query_area = (query_boxes[k, 2] - query_boxes[k, 0] + 1) * (query_boxes[k, 3] - query_boxes[k, 1] + 1)
        for n in range(boxes.shape[0]):
            iw = min(boxes[n, 2], query_boxes[k, 2]) - max(boxes[n, 0], query_boxes[k, 0]) + 1
            if iw <= 0:
                continue
            ih = min(boxes[n, 3], query_boxes[k, 3]) - max(boxes[n, 1], query_boxes[k, 1]) + 1
            if ih <= 0:
                continue
            area = (boxes[n, 2] - boxes[n, 0] + 1) * (boxes[n, 3] - boxes[n, 1] + 1)
            overlaps[n, k] = iw * ih / (area + query_area - iw * ih)
