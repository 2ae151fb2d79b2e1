"""What the Python layers of this package read: anchors from a param_str, objects from the gt_boxes blob."""
import numpy as np
from utils.errors import UserError
from utils.python_layer import read_params

from rpn.generate_anchors import generate_anchors


def read_anchors(layer, channels):
    """(params, anchors (A, 4)) of a layer with feat_stride and perhaps scales in its param_str.

    channels: of the scores, which must be 2 for each anchor.
    """
    params = read_params(layer, "'feat_stride': 16")
    # Otherwise its own defaults, which a fork may have changed.
    anchors = generate_anchors(scales=np.array(params["scales"])) if "scales" in params else generate_anchors()
    if channels != 2 * len(anchors):
        raise UserError("%s: bottom 0 has %d channels, expected %d for the %d anchors of scales %s; change num_output "
                        "of rpn_cls_score, or scales in param_str"
                        % (type(layer).__name__, channels, 2 * len(anchors), len(anchors),
                           params.get("scales", "by default")))
    return params, anchors


def objects_of(gt_boxes, image):
    """Rows (G, 5) [x1 y1 x2 y2 class] of the gt_boxes blob that are of image number `image`.

    The blob is (G, 5) for one image, and (G, 6) with the number of the image last for several.
    """
    return gt_boxes if gt_boxes.shape[1] == 5 else gt_boxes[gt_boxes[:, 5] == image, :5]
