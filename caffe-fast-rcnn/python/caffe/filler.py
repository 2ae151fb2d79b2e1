"""Fillers: first values of parameters, as FillerParameter describes them."""
import math

import torch

from . import common
from .blob import Blob

_LARGEST = 1.7e38       # half of float32's range: max - min is a float32 too


def new_param(shape, filler_param):
    """A Blob of `shape` filled as `filler_param` says."""
    blob = Blob(*shape)
    fill(blob, filler_param)
    return blob


def fill(blob, filler_param):
    """Fill blob's data.  Random fillers draw from caffe's generator on the current device."""
    if filler_param.type not in _FILLERS:
        raise common.CaffeError("filler type %r is unknown; known types: %s"
                                % (filler_param.type, ", ".join(sorted(_FILLERS))))
    _FILLERS[filler_param.type](blob.mutable_tensor(), filler_param)


def _constant(x, p):
    x.fill_(p.value)


def _uniform(x, p):
    if not (-_LARGEST <= p.min <= p.max <= _LARGEST):
        raise common.CaffeError(f"uniform filler: min {p.min:g} and max {p.max:g}; expected finite numbers, min at "
                                "most max")
    x.uniform_(p.min, p.max, generator=common.generator())


def _gaussian(x, p):
    if not (p.std >= 0 and math.isfinite(p.std) and math.isfinite(p.mean)):
        raise common.CaffeError(f"gaussian filler: mean {p.mean:g} and std {p.std:g}; expected finite numbers, std 0 "
                                "or more")
    x.normal_(p.mean, p.std, generator=common.generator())
    if p.sparse >= 0:
        _require_numbers(x, p)
        keep = min(1.0, p.sparse / x.shape[0])      # about `sparse` weights of each input, as Caffe's code has it
        x.mul_(torch.rand(x.shape, generator=common.generator(), device=x.device, dtype=x.dtype) < keep)


def _require_numbers(x, p):
    if x.numel() == 0:
        raise common.CaffeError(f"{p.type} filler: the parameter has shape {tuple(x.shape)}, which holds no number; "
                                "give its layer a bottom that is not empty")


def _positive_unitball(x, p):
    _require_numbers(x, p)
    x.uniform_(0, 1, generator=common.generator())
    rows = x.view(x.shape[0], -1)
    rows.div_(rows.sum(1, keepdim=True))


def _fan(x, p):
    """The n of xavier and msra: numbers per output (FAN_IN), per input (FAN_OUT) or their mean."""
    _require_numbers(x, p)
    fan_in = x.numel() / x.shape[0]
    fan_out = x.numel() / x.shape[1] if x.dim() > 1 else x.numel()
    return {p.FAN_IN: fan_in, p.FAN_OUT: fan_out, p.AVERAGE: (fan_in + fan_out) / 2}[p.variance_norm]


def _xavier(x, p):
    limit = math.sqrt(3.0 / _fan(x, p))
    x.uniform_(-limit, limit, generator=common.generator())


def _msra(x, p):
    x.normal_(0, math.sqrt(2.0 / _fan(x, p)), generator=common.generator())


def _bilinear(x, p):
    """Bilinear upsampling kernels, one square kernel for all maps."""
    if x.dim() != 4 or x.shape[2] != x.shape[3]:
        raise common.CaffeError("bilinear filler: expected a 4-axis blob of square kernels, got %s" % (tuple(x.shape),))
    size = x.shape[3]
    factor = math.ceil(size / 2)
    centre = (size - 1) / (2.0 * factor)
    line = 1 - (torch.arange(size, dtype=x.dtype, device=x.device) / factor - centre).abs()
    x.copy_((line[:, None] * line[None, :]).expand_as(x))


_FILLERS = {"constant": _constant, "uniform": _uniform, "gaussian": _gaussian, "positive_unitball": _positive_unitball,
            "xavier": _xavier, "msra": _msra, "bilinear": _bilinear}
