"""Content of an array that is computed when it is read, because computing all of it is expensive.

Arrays use `shape`, `device` and `tensor()`; layers that work row by row use `rows()` and `linear()`.
Kinds: RepeatedRows, the RoIs of layer_types/roi.py, Recomputation (recomputation.py).
"""
from .kernels.linear import linear


class Pending:
    """Base class.  shape: of the array; device: the torch.device of the result of `tensor`."""

    shape = device = None

    def tensor(self):
        """The whole array."""
        raise NotImplementedError

    def rows(self):
        """(rows, repeats (R) int64): row r of the array is rows[repeats[r]]; repeats None: rows is the whole array."""
        return self.tensor(), None

    def linear(self, weight, bias):
        """`rows` times weight (num_output, K)' + bias (num_output) or None: (products, repeats)."""
        rows, repeats = self.rows()
        return linear(rows.flatten(1), weight, bias), repeats


class Present(Pending):
    """An existing tensor, with the interface for layers that work row by row."""

    def __init__(self, tensor):
        self._tensor, self.shape, self.device = tensor, tensor.shape, tensor.device

    def tensor(self):
        return self._tensor


class RepeatedRows(Pending):
    """Distinct rows, and the index of each row of the array among them."""

    def __init__(self, rows, repeats):
        self._rows, self._repeats = rows, repeats
        self.shape, self.device = (len(repeats), *rows.shape[1:]), rows.device

    def tensor(self):
        return self._rows.index_select(0, self._repeats)

    def rows(self):
        return self._rows, self._repeats
