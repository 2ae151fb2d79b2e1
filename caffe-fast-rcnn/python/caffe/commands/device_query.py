"""caffe device_query: the properties of the GPUs, from PyTorch."""
import torch

from ..common import CaffeError, log
from .flags import Flag
from .model import gpus

USAGE = "-gpu 0"
FLAGS = [Flag("gpu", "0", "GPU number, several as 0,1, or all")]

# label as Caffe prints it: attribute of PyTorch's device properties
PROPERTIES = {
    "Major revision number:": "major",
    "Minor revision number:": "minor",
    "Name:": "name",
    "Total global memory:": "total_memory",
    "Total shared memory per block:": "shared_memory_per_block",
    "Total registers per multiprocessor:": "regs_per_multiprocessor",
    "Warp size:": "warp_size",
    "Maximum threads per multiprocessor:": "max_threads_per_multi_processor",
    "Clock rate:": "clock_rate",
    "Number of multiprocessors:": "multi_processor_count",
}


def run(flags, _arguments):
    """Print the properties of each GPU of -gpu."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise CaffeError("this PyTorch (%s) finds no CUDA device; install a CUDA build of PyTorch and check nvidia-smi"
                         % torch.__version__)
    log("caffe.cpp:138", "Querying GPUs %s" % flags.gpu)
    for index in gpus(flags.gpu):
        if index >= count:
            raise CaffeError("-gpu %s: there are %d CUDA devices, numbered from 0" % (flags.gpu, count))
        _show(index, torch.cuda.get_device_properties(index))


def _show(index, properties):
    log("common.cpp:178", "%-36s %s" % ("Device id:", index))
    for label, attribute in PROPERTIES.items():
        if hasattr(properties, attribute):      # which there are depends on PyTorch's version
            log("common.cpp:179", "%-36s %s" % (label, getattr(properties, attribute)))
