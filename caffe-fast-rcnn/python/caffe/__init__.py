"""caffe: pycaffe's interface and Caffe's files, with PyTorch's arithmetic."""
from . import layers, proto
from .blob import Blob
from .common import (
    TEST,
    TRAIN,
    CaffeError,
    precision,
    set_device,
    set_log_level,
    set_mode_cpu,
    set_mode_gpu,
    set_precision,
    set_random_seed,
)
from .layer import Layer, layer_type_list
from .net import Net
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
    "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "CaffeError", "Layer", "NesterovSolver", "Net",
    "RMSPropSolver", "SGDSolver", "TEST", "TRAIN", "get_solver", "layer_type_list", "layers", "precision", "proto",
    "set_device", "set_log_level", "set_mode_cpu", "set_mode_gpu", "set_precision", "set_random_seed",
]
