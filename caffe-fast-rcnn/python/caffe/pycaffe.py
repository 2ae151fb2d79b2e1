"""caffe.pycaffe: the module old scripts import nets and solvers from, and pycaffe's functions of logging."""
import torch

from . import common
from .net import Net
from .parallel import NCCL
from .solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
)
from .timer import Timer

__all__ = ["AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "NCCL", "NesterovSolver", "Net", "RMSPropSolver",
           "SGDSolver", "Timer", "has_nccl", "init_log", "log"]


def log(message):
    """Write a line among Caffe's own log lines."""
    common.log("_caffe.cpp:52", message)


def init_log():
    """Nothing: lines go to stderr from the start (`set_log_level` says which); C++ Caffe must be told."""


def has_nccl():
    """Whether `NCCL` can join processes: always where PyTorch can, on the CPU too."""
    return torch.distributed.is_available()
