"""This project's caffe with pycaffe's public names alone: what is beyond them looks absent to lib and tools.

On PYTHONPATH before the real one, with the `tests` folder.  PYCAFFE=older leaves out what was not in py-faster-rcnn's.
"""
import importlib
import os
import sys

from support.pycaffe_names import BLOB, LAYER, NET, NEWER, PACKAGE, SOLVER

FOLDERS = ("lib", "tools")


def _real_caffe():
    """The package behind this one on the path, under the name `caffe` while it is imported."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    this = sys.modules.pop("caffe")
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != here]
    real = importlib.import_module("caffe")
    sys.modules["caffe"] = this
    return real


def _hide(cls, public):
    """Let lib and tools see of the members that cls defines the public ones, and of its attributes those they set."""
    own = {name for base in cls.__mro__[:-1] for name in vars(base)} - public

    def get(self, name):
        if name in own and not name.startswith("__") and _is_asked_by_us(sys._getframe(1)):
            raise AttributeError("%s has no %r, says the stub" % (cls.__name__, name))
        return object.__getattribute__(self, name)
    cls.__getattribute__ = get


def _is_asked_by_us(frame):
    return os.path.relpath(frame.f_code.co_filename, _ROOT).split(os.sep)[0] in FOLDERS


class _NCCL:
    """As in a build without NCCL."""

    def __init__(self, solver, uid):
        if solver is None:
            raise TypeError("NCCL needs a solver")


_REAL = _real_caffe()
_ROOT = os.path.abspath(os.path.join(os.path.dirname(_REAL.__file__), "..", "..", ".."))
for _cls, _public in ((_REAL.Net, NET), (_REAL.SGDSolver.__mro__[1], SOLVER), (_REAL.Blob, BLOB), (_REAL.Layer, LAYER)):
    _hide(_cls, _public)
__path__ = _REAL.__path__
_SHOWN = PACKAGE - NEWER if os.environ.get("PYCAFFE") == "older" else PACKAGE
globals().update({_name: getattr(_REAL, _name) for _name in _SHOWN})
if "NCCL" in _SHOWN:
    NCCL = _NCCL
