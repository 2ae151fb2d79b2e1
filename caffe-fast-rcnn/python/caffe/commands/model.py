"""Shared by train, test and time: the device of -gpu, and the net of -model, -phase, -level and -stage."""
import torch

from .. import common
from ..common import CaffeError, log
from ..net import Net
from .flags import Flag, whole_list

GPU = Flag("gpu", "", "GPU number, several as 0,1, or all (default: CPU)")
WEIGHTS = Flag("weights", "", "caffemodel to load, several as a,b")
MODEL_FLAGS = [Flag("model", "", "net prototxt"), GPU,
               Flag("iterations", 50, "number of iterations to run"),
               Flag("level", 0, "network level"), Flag("stage", "", "network stages, as a,b")]
PHASES = {"TRAIN": common.TRAIN, "TEST": common.TEST}


def phase_flag(default):
    """The flag -phase."""
    return Flag("phase", default, "TRAIN or TEST", tuple(PHASES))


def gpus(text):
    """[GPU numbers] of the value of -gpu; [] without any."""
    if text == "all":
        return list(range(torch.cuda.device_count())) or [0]
    if not all(part.isdecimal() for part in whole_list(text)):
        raise CaffeError("-gpu %s: expected the number of a GPU, several as 0,1, or all" % text)
    return [int(part) for part in whole_list(text)]


def use_device(text):
    """Run on the first GPU of -gpu, or on the CPU without it."""
    chosen = gpus(text)
    if not chosen:
        log("caffe.cpp:280", "Use CPU.")
        common.set_mode_cpu()
        return
    log("caffe.cpp:274", "Use GPU with device ID %d" % chosen[0])
    common.set_device(chosen[0])
    common.set_mode_gpu()


def load_net(flags):
    """The net of -model in -phase, -level and -stage."""
    if not flags.model:
        raise CaffeError("need a model definition: -model net.prototxt")
    if flags.iterations < 1:
        raise CaffeError("-iterations %d: expected 1 or more" % flags.iterations)
    return Net(flags.model, PHASES[flags.phase], level=flags.level, stages=whole_list(flags.stage))
