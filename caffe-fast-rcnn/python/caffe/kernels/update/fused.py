"""One kernel for the update of all parameters: weights, diffs and history are read and written once.

What update_rules.py says, of SGD and Nesterov; the others go through it, an operation at a time.
"""
import functools
import importlib.util

import torch

from ...common import on_gpu

RULES = ("SGD", "Nesterov")
CHUNK = 8192        # numbers of one program
FIELDS = 9          # of a row of the table, see _row


class FusedUpdate:
    """The update of one solver; keeps the table of addresses that its kernel reads, which rarely change."""

    def __init__(self):
        self._key = None

    def fits(self, param, tensors):
        """Whether the kernel takes a SolverParameter and [(weights, diff, history...)]."""
        return (param.type in RULES and param.regularization_type in ("L2", "L1") and bool(tensors) and _has_triton()
                and all(_usual(t) for row in tensors for t in row)
                and all(weights.is_contiguous() and history.is_contiguous() for weights, _, history in tensors)
                and all(diff.is_contiguous() or _is_channels_last(diff) for _, diff, _ in tensors))

    def __call__(self, param, rate, tensors, multipliers):
        """tensors: [(weights, diff, history)]; multipliers: [(of the rate, of the decay)] of each."""
        from . import fused_triton
        copies = [_copy_of(weights) for weights, *_ in tensors]
        self._describe(tensors, copies, multipliers)
        fused_triton.update(param, rate, self._table, self._multipliers, self._chunks)
        for (weights, *_), copy in zip(tensors, copies):
            torch.autograd.graph.increment_version(weights)
            if copy is not None:
                weights.rounded_copy = weights._version, copy

    def _describe(self, tensors, copies, multipliers):
        rows = [_row(*row, copy) for row, copy in zip(tensors, copies)]
        key = rows, multipliers, tensors[0][0].device
        if key == self._key:
            return
        chunks = [(i, start) for i, row in enumerate(tensors) for start in range(0, row[0].numel(), CHUNK)]
        self._key = key
        self._table = _send(rows, torch.int64, key[2])
        self._multipliers = _send(multipliers, torch.float32, key[2])
        self._chunks = _send(chunks, torch.int32, key[2])


def _row(weights, diff, history, copy):
    """Addresses of weights, diff, history and bfloat16 copy (0: none), count, and the layouts of diff and copy."""
    address = 0 if copy is None else copy.data_ptr()
    return [weights.data_ptr(), diff.data_ptr(), history.data_ptr(), address, weights.numel(), *_layout(diff),
            *_layout(weights if copy is None else copy)]


def _layout(x):
    """(channels, cells of a kernel) of kernels that lie channels last; (1, 1) of what is contiguous."""
    return (1, 1) if x.is_contiguous() else (x.shape[1], x.shape[2] * x.shape[3])


def _usual(x):
    return on_gpu(x) and x.dtype == torch.float32 and x.numel() < 2 ** 31


def _is_channels_last(x):
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)


def _copy_of(weights):
    """The bfloat16 copy that products read (kernels/rounding.py), if it is up to date."""
    version, copy = getattr(weights, "rounded_copy", (None, None))
    return copy if version == weights._version else None


def _send(rows, dtype, device):
    """A table on the device; the host does not wait."""
    table = torch.tensor(rows, dtype=dtype)
    return table.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else table.to(device)


@functools.cache
def _has_triton():
    return importlib.util.find_spec("triton") is not None
