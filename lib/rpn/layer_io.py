"""What the Python layers of this package share: settings in, arrays out."""
import math

import yaml
from utils.errors import UserError

from rpn.generate_anchors import SCALES, generate_anchors


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


# {key of a param_str: (what is expected, whether a value is that)}
PARAMS = {
    "feat_stride": ("a number above 0, pixels", lambda v: _is_number(v) and v > 0),
    "num_classes": ("an int of 2 or more, with the background", lambda v: type(v) is int and v >= 2),
    "allowed_border": ("a number of pixels", _is_number),
    "scales": ("a list of numbers above 0",
               lambda v: isinstance(v, (list, tuple)) and len(v) > 0 and all(_is_number(s) and s > 0 for s in v)),
}


def read_params(layer, example):
    """The mapping in a layer's param_str ("'feat_stride': 16", YAML or JSON; param_str_ in older pycaffe).

    example: a param_str with the key that must be there, for the error.
    """
    text = getattr(layer, "param_str", None) or getattr(layer, "param_str_", "")
    try:
        params = yaml.safe_load(text)
    except yaml.YAMLError:
        params = None
    if not isinstance(params, dict) or not set(yaml.safe_load(example)) <= set(params):
        raise UserError("%s: param_str must be like %s, got %r" % (type(layer).__name__, example, text))
    for key, (expected, holds) in PARAMS.items():
        if key in params and not holds(params[key]):
            raise UserError("%s: %s in param_str is %r; expected %s"
                            % (type(layer).__name__, key, params[key], expected))
    return params


def read_anchors(layer, channels):
    """(params, anchors (A, 4)) of a layer with feat_stride and perhaps scales in its param_str.

    channels: of the scores, which must be 2 for each anchor.
    """
    params = read_params(layer, "'feat_stride': 16")
    scales = params.get("scales", SCALES)
    anchors = generate_anchors(scales=scales)
    if channels != 2 * len(anchors):
        raise UserError("%s: bottom 0 has %d channels, expected %d for the %d anchors of scales %s; change num_output "
                        "of rpn_cls_score, or scales in param_str"
                        % (type(layer).__name__, channels, 2 * len(anchors), len(anchors), list(scales)))
    return params, anchors


def objects_of(gt_boxes, image):
    """Rows (G, 5) [x1 y1 x2 y2 class] of the gt_boxes blob that are of image number `image`.

    The blob is (G, 5) for one image, and (G, 6) with the number of the image last for several.
    """
    return gt_boxes if gt_boxes.shape[1] == 5 else gt_boxes[gt_boxes[:, 5] == image, :5]


def put(blob, array):
    """Give a blob an array's shape and numbers."""
    blob.reshape(*array.shape)
    blob.data[...] = array
