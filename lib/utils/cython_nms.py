"""Where Fast R-CNN's first version has NMS, a name that forks import."""
from nms.cpu_nms import cpu_nms as nms

__all__ = ["nms"]
