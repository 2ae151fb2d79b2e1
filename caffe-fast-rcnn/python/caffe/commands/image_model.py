"""Shared by classify and detect: the flags of an image model, and the arguments of Classifier and Detector."""
import os

import numpy as np

from .. import common
from ..common import CaffeError
from .flags import Flag, whole_list

MODEL_FLAGS = [Flag("model_def", "", "deploy prototxt"),
               Flag("pretrained_model", "", "caffemodel"),
               Flag("gpu", False, "run on the GPU"),
               Flag("mean_file", "", "mean image that is subtracted, .npy of (channels, height, width)"),
               Flag("input_scale", "", "factor of the input, after the mean is subtracted"),
               Flag("raw_scale", 255.0,
                    "factor of the image, before the mean is subtracted; images are read as values from 0 to 1"),
               Flag("channel_swap", "2,1,0", "order of the channels; 2,1,0 converts RGB to BGR")]


def use_mode(flags):
    """Set GPU or CPU mode according to -gpu."""
    common.set_mode_gpu() if flags.gpu else common.set_mode_cpu()
    print("GPU mode" if flags.gpu else "CPU mode")


def model_settings(flags):
    """The keyword arguments of Classifier and Detector."""
    for name in ("model_def", "pretrained_model"):
        if not flags[name]:
            raise CaffeError("the flag -%s is required" % name)
    settings = {"raw_scale": flags.raw_scale, "channel_swap": numbers(flags, "channel_swap") or None}
    if flags.mean_file:
        settings["mean"] = read_array(flags.mean_file)
    if flags.input_scale:
        settings["input_scale"] = numbers(flags, "input_scale", float)[0]
    return settings


def numbers(flags, name, kind=int):
    """[numbers] of a flag's value such as 2,1,0."""
    try:
        return [kind(part) for part in whole_list(flags[name])]
    except ValueError:
        raise CaffeError("-%s %s: expected numbers separated by commas" % (name, flags[name])) from None


def read_array(path):
    """The array of a .npy file."""
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as e:
        reason = getattr(e, "strerror", None) or "it is not a .npy file"
        raise CaffeError("%s: cannot read this array: %s" % (path, reason)) from None


def need_file(path):
    """Raise CaffeError unless `path` exists."""
    if not os.path.exists(path):
        raise CaffeError("%s: no such file" % path)
