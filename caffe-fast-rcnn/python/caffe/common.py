"""State that one process has once: mode, device, precision, seed, log, and the error every mistake of a user ends in.

Follows Caffe's `Caffe` singleton: CPU mode at start, the GPU of `set_device` in GPU mode.
"""
import datetime
import enum
import functools
import importlib.util
import os
import platform
import sys
from typing import TextIO

import numpy as np
import torch


class CaffeError(RuntimeError):
    """A mistake in a prototxt, a weight file or a call; one line: who, expected, got, remedy."""


class Phase(enum.IntEnum):
    """TRAIN or TEST: pycaffe's integers, but `str` gives the name, by which py-faster-rcnn's layers find settings."""

    TRAIN = 0
    TEST = 1

    __repr__ = int.__repr__

    def __str__(self):
        return self.name


TRAIN, TEST = Phase.TRAIN, Phase.TEST


class _State:
    device = torch.device("cpu")
    gpu_index = 0
    dtype = torch.float32
    precision = "float32"
    generator = None
    seed = None     # of set_random_seed
    log_level = int(os.environ.get("GLOG_minloglevel", "0"))
    log_file: TextIO | None = None       # that takes the log's lines too
    solver_count, solver_rank, multiprocess = 1, 0, False


def set_mode_cpu():
    """Run every layer on the CPU (the mode at start)."""
    _use(torch.device("cpu"))


def set_mode_gpu():
    """Run every layer on the GPU of `set_device` (GPU 0 unless said).  Raises CaffeError without CUDA."""
    if not torch.cuda.is_available():
        raise CaffeError("set_mode_gpu: this PyTorch (%s) finds no CUDA device; use set_mode_cpu(), or install a "
                         "CUDA build of PyTorch and check nvidia-smi" % torch.__version__)
    if _State.gpu_index >= torch.cuda.device_count():
        raise CaffeError("set_device(%d): there are %d CUDA devices, numbered from 0"
                         % (_State.gpu_index, torch.cuda.device_count()))
    torch.cuda.set_device(_State.gpu_index)
    _switch_products()
    _use(torch.device("cuda", _State.gpu_index))


def _use(device):
    """Another device draws from a generator of its own."""
    if device != _State.device:
        _State.device, _State.generator = device, None


def set_device(index):
    """Choose the GPU that GPU mode uses."""
    _State.gpu_index = int(index)
    if _State.device.type == "cuda":
        set_mode_gpu()


def device():
    """The torch.device that arithmetic runs on now."""
    return _State.device


def on_gpu(tensor):
    """Whether `tensor` lies on a GPU: looking at its numbers would halt the queue of work there."""
    return tensor.is_cuda


@functools.cache
def has_triton():
    """Whether Triton is installed, which compiles our kernels for a GPU; a line in the log where it is not."""
    found = importlib.util.find_spec("triton") is not None
    if not found:
        log("common.cpp:2", "Triton is not installed (it is made for Linux): RoI pooling runs on the CPU, to which its "
            "inputs are copied, and an update in several operations", "W")
    return found


def device_name():
    """The model name of the GPU in GPU mode, of the CPU otherwise."""
    if _State.device.type == "cuda":
        return torch.cuda.get_device_name(_State.device)
    return _cpu_name()


def peak_device_memory():
    """The most memory that blobs have taken on the GPU, bytes; None in CPU mode."""
    if _State.device.type == "cuda":
        return torch.cuda.max_memory_allocated(_State.device)
    return None


@functools.cache
def _cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            names = [line.partition(":")[2].strip() for line in f if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def dtype():
    """The number type of new blobs: float32, unless a gradient check runs in float64."""
    return _State.dtype


def set_dtype(value):
    """Set the number type of blobs made from now on (torch.float32 or torch.float64)."""
    _State.dtype = value


PRECISIONS = ("float32", "tf32", "bf16")


def set_precision(name):
    """Choose how Convolution, Deconvolution and InnerProduct multiply, forward and backward, from now on.

    "float32"  exactly (the state at start)
    "tf32"     on a GPU the factors are rounded to TensorFloat-32 (10 bits of mantissa); on the CPU as float32
    "bf16"     the factors are rounded to bfloat16 (8 bits) and the products added up in float32; see
               kernels/rounding.py for what runs where
    Parameters, their diffs and updates, all other layers and the losses stay float32 in every precision, and so do
    blobs as numpy sees them.
    """
    if name not in PRECISIONS:
        raise CaffeError("set_precision: unknown precision %r; use one of %s" % (name, ", ".join(PRECISIONS)))
    _State.precision = name
    _switch_products()


def precision():
    """The name given to `set_precision`: float32, tf32 or bf16."""
    return _State.precision


def _switch_products():
    """What PyTorch does on a GPU unless told otherwise: it rounds convolutions to TF32, and may add up in bfloat16.

    Both of PyTorch's settings are made, the old one first: reading it raises where the two contradict each other, in
    a host program that asks for either.
    """
    tf32 = _State.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    for part in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
        part.fp32_precision = "tf32" if tf32 else "ieee"
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def set_deterministic(value=True):
    """Ask for the same numbers in every run on a GPU; on the CPU they are the same always (for a number of threads).

    The region layers' kernels add in a fixed order anyhow; this chooses such algorithms in cuDNN, cuBLAS and PyTorch,
    which may be slower.  Call it before the first work on the GPU: cuBLAS looks once.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(bool(value), warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False     # it would clear memory that is overwritten anyhow


def native_bf16():
    """Whether the current device multiplies bfloat16 itself (PyTorch does it in software elsewhere, far too slowly)."""
    return _State.device.type == "cuda" or _cpu_has_bf16()


@functools.cache
def _cpu_has_bf16():
    if platform.machine() not in ("x86_64", "AMD64"):
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def set_random_seed(seed):
    """Seed fillers, dropout and random data, on the current device and on one that is chosen later."""
    _State.seed = int(seed)
    generator().manual_seed(_State.seed)


def generator():
    """The torch.Generator of the current device; seeded from the system until `set_random_seed`."""
    if _State.generator is None:
        _State.generator = torch.Generator(_State.device)
        if _State.seed is None:
            _State.generator.seed()
        else:
            _State.generator.manual_seed(_State.seed)
    return _State.generator


def random_state():
    """The generator's state as bytes, for exact resume."""
    return generator().get_state().numpy().tobytes()


def set_random_state(state):
    """Put back what `random_state` gave; that of another kind of device is left, with a warning."""
    if len(state) != generator().get_state().numel():
        log("common.cpp:1", "A random state of %d bytes is that of another kind of device than %s: dropout draws other "
            "numbers than the run that is continued" % (len(state), _State.device.type), "W")
        return
    generator().set_state(torch.from_numpy(np.frombuffer(state, np.uint8).copy()))


def set_solver_count(count):
    """Say how many solvers train together, each in a process of its own (1 at start)."""
    _State.solver_count = int(count)


def solver_count():
    """How many solvers train together."""
    return _State.solver_count


def set_solver_rank(rank):
    """Say which of the solvers this process holds: 0, the one that logs and writes files, to solver_count - 1."""
    _State.solver_rank = int(rank)


def solver_rank():
    """Which of the solvers this process holds."""
    return _State.solver_rank


def set_multiprocess(value):
    """Say that the solvers are processes; there is no other way here, and `NCCL` insists on it."""
    _State.multiprocess = bool(value)


def multiprocess():
    """What `set_multiprocess` was told."""
    return _State.multiprocess


def set_log_level(level):
    """0 shows all lines, 1 warnings and errors, 2 errors only (as GLOG_minloglevel)."""
    _State.log_level = int(level)


def set_log_file(file):
    """Write the log's lines to an open text file too; None: to stderr alone."""
    _State.log_file = file


def log(where, message, severity="I"):
    """Write one line in Caffe's glog form to stderr; `where` is like 'solver.cpp:228', which log parsers know.

    Of several processes only that of rank 0 informs; all of them warn.
    """
    if "IWE".index(severity) < _State.log_level or (severity == "I" and _State.solver_rank):
        return
    stamp = datetime.datetime.now().strftime("%m%d %H:%M:%S.%f")
    # One write, so that the lines of several processes do not run together.
    line = f"{severity}{stamp} {os.getpid():5d} {where}] {message}\n"
    sys.stderr.write(line)
    sys.stderr.flush()
    if _State.log_file is not None:
        _State.log_file.write(line)
