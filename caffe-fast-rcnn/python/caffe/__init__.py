"""caffe: pycaffe's interface and Caffe's files, with PyTorch's arithmetic."""
from .common import (
    TEST,
    TRAIN,
    CaffeError,
    set_device,
    set_log_level,
    set_mode_cpu,
    set_mode_gpu,
    set_random_seed,
)
from .blob import Blob  # noqa: I001
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
from . import layers, proto

__version__ = "1.0.0"
__all__ = [
    "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "CaffeError", "Layer", "NesterovSolver", "Net",
    "RMSPropSolver", "SGDSolver", "TEST", "TRAIN", "get_solver", "layer_type_list", "layers", "proto", "set_device",
    "set_log_level", "set_mode_cpu", "set_mode_gpu", "set_random_seed",
]
