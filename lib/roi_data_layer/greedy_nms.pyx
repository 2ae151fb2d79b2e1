# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The inner loop of the selection of hard RoIs, built as roi_data_layer.greedy_nms."""
import numpy as np


def greedy_nms(boxes, scores, groups, Py_ssize_t enough, double thresh):
    """Rows that survive NMS within their group, of rows that stand in order of falling score.

    boxes (R, 4) float32 [x1 y1 x2 y2]; scores (R,) float32, falling; groups (R,) int64.  A row is dropped when its IoU
    (float32, as in nms.cpu_nms) with a surviving row of its group is >= thresh.
    The pass ends when `enough` rows survive and the score falls below that of the last of them: rows of equal score
    are all looked at, as the caller may order them by more digits.  Returns indices, (K,) int64, rising.
    """
    kept = np.empty(len(scores), np.int64)
    cdef Py_ssize_t n = _greedy(boxes, scores, groups, enough, thresh, kept)
    return kept[:n]


cdef Py_ssize_t _greedy(const float[:, ::1] boxes, const float[::1] scores, const long long[::1] groups,
                        Py_ssize_t enough, double thresh, long long[::1] kept) noexcept nogil:
    cdef Py_ssize_t i, k, n = 0
    for i in range(scores.shape[0]):
        if n >= enough and (n == 0 or scores[i] < scores[kept[n - 1]]):
            break
        for k in range(n):
            if groups[kept[k]] == groups[i] and _overlap(boxes, kept[k], i) >= thresh:
                break
        else:
            kept[n] = i
            n += 1
    return n


cdef inline float _overlap(const float[:, ::1] boxes, Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    cdef float w = max(<float>0, min(boxes[a, 2], boxes[b, 2]) - max(boxes[a, 0], boxes[b, 0]) + 1)
    cdef float h = max(<float>0, min(boxes[a, 3], boxes[b, 3]) - max(boxes[a, 1], boxes[b, 1]) + 1)
    cdef float inter = w * h
    cdef float union_ = ((boxes[a, 2] - boxes[a, 0] + 1) * (boxes[a, 3] - boxes[a, 1] + 1)
                         + (boxes[b, 2] - boxes[b, 0] + 1) * (boxes[b, 3] - boxes[b, 1] + 1) - inter)
    return inter / union_ if union_ != 0 else 0
