"""The original's GPU version of NMS, a name that forks import: it runs on the CPU and drops what its kernel drops."""
import numpy as np

from nms.cpu_nms import cpu_nms


def gpu_nms(dets, thresh, device_id=0):
    """Indices of the rows of dets (N, 5) [x1 y1 x2 y2 score] that survive, by falling score.

    As the original's kernel, and other than nms.cpu_nms, it drops a box at IoU > thresh; device_id chooses nothing.
    """
    return cpu_nms(dets, float(np.nextafter(np.float32(thresh), np.float32(np.inf))))
