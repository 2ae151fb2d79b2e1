"""One kernel for the update of all parameters: weights, diffs and history are read and written once.

What update_rules.py says, of SGD and Nesterov; the others go through it, an operation at a time.
"""
import torch

from ...common import has_triton, on_gpu

RULES = ("SGD", "Nesterov")
CHUNK = 8192        # numbers of one program
FIELDS = 9          # of a row of the table, see _row


class FusedUpdate:
    """The update of one solver; keeps the tables that its kernel reads while they are right."""

    def __init__(self):
        self._kept = {}

    def fits(self, param, tensors):
        """Whether the kernel takes a SolverParameter and [(weights, diff, history...)]."""
        return (param.type in RULES and param.regularization_type in ("L2", "L1") and bool(tensors) and has_triton()
                and all(_usual(t) for row in tensors for t in row)
                and all(weights.is_contiguous() and history.is_contiguous() for weights, _, history in tensors)
                and all(diff.is_contiguous() or _is_channels_last(diff) for _, diff, _ in tensors))

    def __call__(self, param, rate, tensors, multipliers):
        """tensors: [(weights, diff, history)]; multipliers: [(of the rate, of the decay)] of each."""
        from . import fused_triton
        copies = [_copy_of(weights) for weights, *_ in tensors]
        device, counts = tensors[0][0].device, [weights.numel() for weights, *_ in tensors]
        rows = [_row(*row, copy) for row, copy in zip(tensors, copies)]
        fused_triton.update(param, rate, self._table("rows", rows, torch.int64, device),
                            self._table("multipliers", multipliers, torch.float32, device),
                            self._table("chunks", counts, torch.int32, device, _chunks))
        for (weights, *_), copy in zip(tensors, copies):
            torch.autograd.graph.increment_version(weights)
            if copy is not None:
                weights.rounded_copy = weights._version, copy

    def _table(self, name, content, dtype, device, make=torch.tensor):
        """make(content) on the device, made again only for other content.  The host does not wait."""
        key = content, device
        if self._kept.get(name, (None,))[0] != key:
            table = make(content).to(dtype)
            table = table.pin_memory() if device.type == "cuda" else table
            self._kept[name] = key, table.to(device, non_blocking=True)
        return self._kept[name][1]


def _chunks(counts):
    """(programs, 2): the parameter, and the first of its numbers, that each program updates."""
    starts = [torch.arange(0, count, CHUNK) for count in counts]
    return torch.cat([torch.stack([torch.full_like(start, i), start], 1) for i, start in enumerate(starts)])


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
