"""Non-maximum suppression by the name that callers know."""
from nms.cpu_nms import cpu_nms


def nms(dets, thresh, force_cpu=False):
    """Indices of the rows of dets (N, 5) [x1 y1 x2 y2 score] that survive, by falling score; [] for no rows.

    There is one implementation, on the CPU (a few milliseconds for 2000 boxes): cfg.USE_GPU_NMS and force_cpu choose
    nothing, so that what is dropped at the threshold does not depend on the machine (the original's CUDA kernel
    drops at > thresh, its CPU one at >= thresh).
    """
    return cpu_nms(dets, thresh) if len(dets) else []
