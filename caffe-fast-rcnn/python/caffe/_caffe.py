"""caffe._caffe: the names that pycaffe's compiled module has, for scripts that import from it."""
from .blob import Blob, BlobVec
from .common import (
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from .layer import Layer, layer_type_list
from .net import Net
from .parallel import NCCL
from .proto.caffe_pb2 import LayerParameter, SolverParameter
from .pycaffe import has_nccl, init_log, log
from .solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    Solver,
    get_solver,
)
from .timer import Timer

__all__ = [
    "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "BlobVec", "Layer", "LayerParameter", "NCCL",
    "NesterovSolver", "Net", "RMSPropSolver", "SGDSolver", "Solver", "SolverParameter", "Timer", "get_solver",
    "has_nccl", "init_log", "layer_type_list", "log", "set_device", "set_mode_cpu", "set_mode_gpu",
    "set_multiprocess", "set_random_seed", "set_solver_count", "set_solver_rank", "solver_count", "solver_rank",
]
