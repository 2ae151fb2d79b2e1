"""caffe: pycaffe's interface and Caffe's files, with PyTorch's arithmetic."""
from . import _caffe as _caffe
from . import io, layer_types, proto
from .blob import Blob
from .classifier import Classifier
from .common import (
    TEST,
    TRAIN,
    CaffeError,
    device_name,
    peak_device_memory,
    precision,
    set_deterministic,
    set_device,
    set_log_level,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_precision,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from .detector import Detector
from .host_memory import keep_freed_memory
from .layer import Layer, layer_type_list
from .net import Net
from .net_spec import NetSpec, layers, params, to_proto
from .parallel import NCCL, LostProcess
from .pycaffe import Timer, has_nccl, init_log, log
from .solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

__version__ = "1.0.0"
__all__ = [
    "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "CaffeError", "Classifier", "Detector", "Layer",
    "LostProcess", "NCCL", "NesterovSolver", "Net", "NetSpec", "RMSPropSolver", "SGDSolver", "TEST", "TRAIN", "Timer",
    "device_name", "get_solver", "has_nccl", "init_log", "io", "keep_freed_memory", "layer_type_list", "layer_types",
    "layers", "log", "params", "peak_device_memory", "precision", "proto", "set_deterministic", "set_device",
    "set_log_level", "set_mode_cpu", "set_mode_gpu", "set_multiprocess", "set_precision", "set_random_seed",
    "set_solver_count", "set_solver_rank", "solver_count", "solver_rank", "to_proto",
]
