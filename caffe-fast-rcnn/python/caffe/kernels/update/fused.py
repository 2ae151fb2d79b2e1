"""One kernel for the update of all parameters: weights, diffs and history are read and written once.

What update_rules.py says, of SGD and Nesterov; the others go through it, an operation at a time.
"""
import functools
import importlib.util

import torch

from ...common import on_gpu

RULES = ("SGD", "Nesterov")
CHUNK = 8192        # numbers of one program
FIELDS = 5          # of a row of the table: addresses of weights, diff and history, and of the bfloat16 copy; count


class FusedUpdate:
    """The update of one solver; keeps the table of addresses that its kernel reads, which rarely change."""

    def __init__(self):
        self._key = None

    def fits(self, param, tensors):
        """Whether the kernel takes a SolverParameter and [(weights, diff, history...)]."""
        return (param.type in RULES and param.regularization_type in ("L2", "L1") and bool(tensors) and _has_triton()
                and all(on_gpu(t) and t.dtype == torch.float32 and t.is_contiguous() for row in tensors for t in row))

    def __call__(self, param, rate, tensors, multipliers):
        """tensors: [(weights, diff, history)]; multipliers: [(of the rate, of the decay)] of each."""
        from . import fused_triton
        copies = [_copy_of(weights) for weights, *_ in tensors]
        self._describe(tensors, copies, multipliers)
        fused_triton.update(param, rate, self._table, self._multipliers, self._parts, self._starts)
        for (weights, *_), copy in zip(tensors, copies):
            torch.autograd.graph.increment_version(weights)
            if copy is not None:
                weights.rounded_copy = weights._version, copy

    def _describe(self, tensors, copies, multipliers):
        rows = [[*(t.data_ptr() for t in row), 0 if copy is None else copy.data_ptr(), row[0].numel()]
                for row, copy in zip(tensors, copies)]
        key = rows, multipliers, tensors[0][0].device
        if key == self._key:
            return
        device = tensors[0][0].device
        parts = [(i, start) for i, row in enumerate(rows) for start in range(0, row[-1], CHUNK)]
        self._key = key
        self._table = torch.tensor(rows, dtype=torch.int64).to(device)
        self._multipliers = torch.tensor(multipliers, dtype=torch.float32).to(device)
        self._parts = torch.tensor([part for part, _ in parts], dtype=torch.int32).to(device)
        self._starts = torch.tensor([start for _, start in parts], dtype=torch.int64).to(device)


def _copy_of(weights):
    """The bfloat16 copy that products read (kernels/rounding.py), if it lies as the weights do and is up to date."""
    version, copy = getattr(weights, "rounded_copy", (None, None))
    return copy if version == weights._version and copy.stride() == weights.stride() else None


@functools.cache
def _has_triton():
    return importlib.util.find_spec("triton") is not None
