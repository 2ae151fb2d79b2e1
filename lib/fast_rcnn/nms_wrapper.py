"""Non-maximum suppression by the name that callers know."""
from nms.cpu_nms import cpu_nms


def nms(dets, thresh, force_cpu=False):
    """Indices of the rows of dets (N, 5) [x1 y1 x2 y2 score] that survive, by falling score; [] for no rows.

    There is one implementation, on the CPU, where the boxes are (1 ms for 2000): cfg.USE_GPU_NMS and force_cpu choose
    nothing.  A GPU would have to get them, compare all pairs and send the answer back, while the CPU stops at as many
    as are wanted; and what is dropped at the threshold does not depend on the machine (the original's CUDA kernel
    drops at > thresh, its CPU one at >= thresh).
    """
    return cpu_nms(dets, thresh) if len(dets) else []
