# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Greedy non-maximum suppression on the CPU, built as nms.cpu_nms: of detections, of proposals, and of hard RoIs."""
import numpy as np

cdef extern from *:
    """
    #if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
    #define WIDEST __attribute__((target_clones("avx2", "default")))
    #else
    #define WIDEST
    #endif

    /* Whether one of the n kept boxes has group g and an IoU >= thresh with the box; written to be vectorised. */
    WIDEST static int covered(const float *x1, const float *y1, const float *x2, const float *y2, const float *areas,
                              const int *groups, long n, float bx1, float by1, float bx2, float by2, int g,
                              float thresh) {
        float area = (bx2 - bx1 + 1) * (by2 - by1 + 1);
        for (long start = 0; start < n; start += 128) {
            long stop = start + 128 < n ? start + 128 : n;
            int hit = 0;
            for (long k = start; k < stop; k++) {
                float w = (x2[k] < bx2 ? x2[k] : bx2) - (x1[k] > bx1 ? x1[k] : bx1) + 1;
                float h = (y2[k] < by2 ? y2[k] : by2) - (y1[k] > by1 ? y1[k] : by1) + 1;
                float inter = (w > 0 ? w : 0) * (h > 0 ? h : 0);
                float both = areas[k] + area - inter;
                float iou = inter / (both != 0 ? both : 1);
                hit |= (iou >= thresh) & (groups[k] == g);
            }
            if (hit) return 1;
        }
        return 0;
    }
    """
    int covered(const float *x1, const float *y1, const float *x2, const float *y2, const float *areas,
                const int *groups, long n, float bx1, float by1, float bx2, float by2, int g, float thresh) nogil


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
    kept = greedy_nms(dets[order, :4], dets[order, 4], np.zeros(len(order), np.int32), len(order), thresh)
    return order[kept].tolist()


def greedy_nms(boxes, scores, groups, Py_ssize_t enough, double thresh):
    """Rows that survive NMS within their group, of rows that stand in order of falling score.

    boxes (R, 4) float32 [x1 y1 x2 y2]; scores (R,) float32, falling; groups (R,) integers.  A row is dropped when its
    IoU (as in cpu_nms) with a surviving row of its group is >= thresh.
    The pass ends when `enough` rows survive and the score falls below that of the last of them: rows of equal score
    are all looked at, as the caller may order them by more digits.  Returns indices, (K,) int64, rising.
    """
    least = np.float32(thresh)      # a float32 IoU is >= thresh where it is >= the first float32 that is
    if float(least) < thresh:       # float(): numpy would round thresh to float32 first
        least = np.nextafter(least, np.float32(np.inf))
    kept = np.empty(len(scores), np.int64)
    columns = np.empty((5, len(scores)), np.float32)    # x1 y1 x2 y2 area of the survivors
    cdef Py_ssize_t n = _greedy(boxes, scores, np.asarray(groups, np.int32), enough, least, kept, columns,
                                np.empty(len(scores), np.int32))
    return kept[:n]


cdef Py_ssize_t _greedy(const float[:, ::1] boxes, const float[::1] scores, const int[::1] groups, Py_ssize_t enough,
                        float thresh, long long[::1] kept, float[:, ::1] columns, int[::1] kept_groups) noexcept nogil:
    cdef Py_ssize_t i, k, n = 0
    for i in range(scores.shape[0]):
        if n >= enough and (n == 0 or scores[i] < scores[kept[n - 1]]):
            break
        if n and covered(&columns[0, 0], &columns[1, 0], &columns[2, 0], &columns[3, 0], &columns[4, 0],
                         &kept_groups[0], n, boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], groups[i], thresh):
            continue
        for k in range(4):
            columns[k, n] = boxes[i, k]
        columns[4, n] = (boxes[i, 2] - boxes[i, 0] + 1) * (boxes[i, 3] - boxes[i, 1] + 1)
        kept_groups[n] = groups[i]
        kept[n] = i
        n += 1
    return n
