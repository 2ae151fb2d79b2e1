"""caffe: pycaffe's interface and Caffe's files, with PyTorch's arithmetic."""
from . import layer_types, proto
from .blob import Blob
from .common import (
    TEST,
    TRAIN,
    CaffeError,
    device_name,
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
from .host_memory import keep_freed_memory
from .layer import Layer, layer_type_list
from .net import Net
from .parallel import NCCL, LostProcess
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
    "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "CaffeError", "Layer", "LostProcess", "NCCL",
    "NesterovSolver", "Net", "RMSPropSolver", "SGDSolver", "TEST", "TRAIN", "device_name", "get_solver",
    "keep_freed_memory", "layer_type_list", "layer_types", "precision", "proto", "set_deterministic", "set_device",
    "set_log_level", "set_mode_cpu", "set_mode_gpu", "set_multiprocess", "set_precision", "set_random_seed",
    "set_solver_count", "set_solver_rank", "solver_count", "solver_rank",
]
