"""All that lib and tools ask of `caffe` beyond pycaffe's public interface, and what holds with a caffe that lacks it.

With such a caffe a run is one process in float32; asking for more is one error line.
"""
import importlib
from contextlib import nullcontext

import caffe

from utils.errors import UserError


class _NeverRaised(Exception):
    """In place of an error that the caffe at hand does not know."""


CaffeError = getattr(caffe, "CaffeError", _NeverRaised)         # a mistake of the user, in one line
LostProcess = getattr(caffe, "LostProcess", _NeverRaised)       # another process of the run ended


class Alone:
    """What binds the processes of a run of one: as this project's caffe.NCCL, with nothing to send."""

    count, rank = 1, 0

    def mean(self, values):
        """The mean over the processes of each of some numbers."""
        return list(values)

    def gather(self, item):
        """[item of each process] in rank 0, None in the others."""
        return [item]

    def root_first(self):
        """Within it rank 0 works alone, before the others do."""
        return nullcontext()


def join(solver=None):
    """What binds the processes of this run: an Alone, or the caffe.NCCL of several, of which each calls this.

    solver: whose gradients they share; None: they only wait for each other and tell each other numbers.
    """
    return Alone() if solver_count() == 1 else caffe.NCCL(solver, caffe.NCCL.new_uid())


def require_memory(byte_count, what):
    """UserError if `what` would take more bytes than the machine has, or than CAFFE_MEMORY_LIMIT allows."""
    if hasattr(caffe, "CaffeError"):
        try:
            importlib.import_module("caffe.memory_limit").require_memory(byte_count, what)
        except CaffeError as e:
            raise UserError(str(e)) from None


def take_rank(count, rank):
    """Tell caffe that this is process number `rank` of `count`."""
    if not hasattr(getattr(caffe, "NCCL", None), "gather"):
        raise _lacks("training or testing in %d processes" % count, "start one process")
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)


def solver_count():
    """How many processes the run has."""
    return caffe.solver_count() if hasattr(caffe, "solver_count") else 1


def solver_rank():
    """Which of them this is."""
    return caffe.solver_rank() if hasattr(caffe, "solver_rank") else 0


def set_precision(name):
    """Choose how convolutions and fully connected layers multiply: float32, tf32 or bf16."""
    if hasattr(caffe, "set_precision"):
        caffe.set_precision(name)
    elif name != "float32":
        raise _lacks("--precision %s" % name, "leave it out")


def precision():
    """The name given to set_precision."""
    return caffe.precision() if hasattr(caffe, "precision") else "float32"


def set_deterministic():
    """Ask for the same numbers in every run on a GPU."""
    if not hasattr(caffe, "set_deterministic"):
        raise _lacks("--deterministic", "leave it out")
    caffe.set_deterministic()


def device_name():
    """Model of the GPU in GPU mode, of the CPU otherwise; None where caffe does not tell."""
    return caffe.device_name() if hasattr(caffe, "device_name") else None


def peak_device_memory():
    """The most memory taken on the GPU, bytes; None in CPU mode, and where caffe does not tell."""
    return caffe.peak_device_memory() if hasattr(caffe, "peak_device_memory") else None


def version():
    """caffe's; None where it does not tell."""
    return getattr(caffe, "__version__", None)


def keep_freed_memory():
    """Let the C library reuse the memory of large arrays: quicker, where caffe knows how."""
    if hasattr(caffe, "keep_freed_memory"):
        caffe.keep_freed_memory()


def log(message):
    """Write a line among Caffe's own log lines, where it takes any."""
    if hasattr(caffe, "log"):
        caffe.log(message)


def exporters():
    """The module caffe.export."""
    try:
        return importlib.import_module("caffe.export")
    except ModuleNotFoundError as e:
        if e.name != "caffe.export":
            raise
        raise _lacks("tools/export.py", "export there") from e


def _lacks(what, remedy):
    return UserError("%s needs the caffe of this project, got the one in %s; %s, or put caffe-fast-rcnn/python first "
                     "on PYTHONPATH" % (what, getattr(caffe, "__file__", "an unknown place"), remedy))
