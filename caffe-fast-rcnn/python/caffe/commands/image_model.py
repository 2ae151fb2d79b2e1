"""What classify and detect share: the flags of a model for images, and what they ask of Classifier and Detector."""
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
               Flag("raw_scale", 255.0, "factor of the image, before: images are read as numbers from 0 to 1"),
               Flag("channel_swap", "2,1,0", "order of the channels; 2,1,0 makes BGR of RGB")]


def use_mode(flags):
    """GPU or CPU, as -gpu says."""
    common.set_mode_gpu() if flags.gpu else common.set_mode_cpu()
    print("GPU mode" if flags.gpu else "CPU mode")


def model_settings(flags):
    """The keywords of Classifier and Detector."""
    for name in ("model_def", "pretrained_model"):
        if not flags[name]:
            raise CaffeError("need -%s" % name)
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
        raise CaffeError("-%s %s: expected numbers with commas between them" % (name, flags[name])) from None


def read_array(path):
    """The array of a .npy file."""
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as e:
        reason = getattr(e, "strerror", None) or "it is not a .npy file"
        raise CaffeError("%s: cannot read this array: %s" % (path, reason)) from None


def need_file(path):
    """CaffeError unless `path` is there."""
    if not os.path.exists(path):
        raise CaffeError("%s: no such file" % path)
