"""What Python layers share: settings in, arrays out."""
import math

import yaml

from utils.errors import UserError
from utils.yaml_files import load_yaml


def _is_number(value):
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2 ** 63
    return isinstance(value, float) and math.isfinite(value)


# {key of a param_str: (what is expected, whether a value is that)}
PARAMS = {
    "feat_stride": ("a number above 0, pixels", lambda v: _is_number(v) and v > 0),
    "num_classes": ("2 or more classes, an int, with the background", lambda v: type(v) is int and 2 <= v < 2 ** 31),
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
        params = load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError):    # the last two: thousands of digits or brackets
        params = None
    if not isinstance(params, dict) or not set(load_yaml(example)) <= set(params):
        raise UserError("%s: param_str must be like %s, got %.200r" % (type(layer).__name__, example, text))
    for key, (expected, holds) in PARAMS.items():
        if key in params and not holds(params[key]):
            raise UserError("%s: %s in param_str is %s; expected %s"
                            % (type(layer).__name__, key, _short(params[key]), expected))
    return params


def _short(value):
    try:
        return "%.200r" % (value,)
    except ValueError:          # Python writes no int of thousands of digits
        return "a number of thousands of digits"


def phase_of(layer):
    """'TRAIN' or 'TEST'.  In pycaffe a phase is a number, in py-faster-rcnn's caffe text."""
    text = str(layer.phase)
    return ("TRAIN", "TEST")[int(text)] if text.isdecimal() else text


def put(blob, array):
    """Give a blob an array's shape and numbers."""
    blob.reshape(*array.shape)
    blob.data[...] = array
