"""NMS of 2000 boxes and overlaps of 2000 with 20, against loops over boxes in Python."""
import numpy as np
from _inputs import SEED, random_boxes
from _report import Row
from _timing import interleaved
from fast_rcnn.nms_wrapper import nms
from mining_layer import naive_iou, naive_nms
from utils.cython_bbox import bbox_overlaps

THRESH = 0.3
OBJECTS = 20


def cases(sizes):
    """{case name: function of the settings}."""
    return {"boxes": _measure}


def _measure(settings):
    sizes, rng = settings.sizes, np.random.default_rng(SEED)
    boxes = random_boxes(sizes.rois, sizes.height, sizes.width, rng)
    dets = np.column_stack((boxes, rng.uniform(size=sizes.rois))).astype(np.float32)
    objects = random_boxes(OBJECTS, sizes.height, sizes.width, rng)
    rows, objects_of_peer = boxes.tolist(), objects.tolist()
    exact, exact_objects = boxes.astype(np.float64), objects.astype(np.float64)
    arms = {"nms": lambda: nms(dets, THRESH),
            "naive nms": lambda: naive_nms(range(sizes.rois), dets[:, 4].tolist(), rows, THRESH),
            "overlaps": lambda: bbox_overlaps(exact, exact_objects),
            "naive overlaps": lambda: [[naive_iou(a, b) for b in objects_of_peer] for a in rows]}
    if arms["nms"]() != arms["naive nms"]() or not np.allclose(arms["overlaps"](), arms["naive overlaps"]()):
        raise RuntimeError("boxes: the naive loops give another result")
    seconds = interleaved(arms, settings.repeats)
    return [Row("boxes/" + name, seconds[name], seconds["naive " + name], "loops over boxes in Python", target=1)
            for name in ("nms", "overlaps")]
