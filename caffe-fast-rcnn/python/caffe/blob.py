"""Blob: an array of activations or parameters and its diff, seen as numpy by users and as torch by layers."""
import math

import torch

from . import common
from .kernels.pooled_regions import PooledRegions
from .reshaped_array import ReshapedArray

_MOST_PINNED = 2 ** 26     # bytes; what a data layer fills or a Python layer reads is smaller, fc6 of VGG16 is not


class SyncedArray:
    """One array with a host and a device side; a side is copied only when it is read and the other was written.

    In CPU mode both sides are the same memory.  On a GPU the host side is pinned memory, so that it is sent while the
    program goes on; only reading numbers on the host waits for the GPU.
    Rows that are repeated may be there once, RoIs pooled as distinct regions, and an array with a recipe may be
    forgotten: it is spread out, or computed anew, when somebody reads it.
    """

    __slots__ = ("shape", "_tensor", "_host", "_host_is_newer", "_sent", "_repeated", "recipe")

    def __init__(self, shape):
        self.shape, self._tensor, self._host, self._host_is_newer = tuple(shape), None, None, False
        self._sent = None       # event: the host side has left
        self._repeated = None   # (distinct rows or PooledRegions, each row's place in them), instead of both sides
        self.recipe = None      # function that gives a Blob with the same numbers; None once somebody may write them

    @property
    def allocated(self):
        return any(x is not None for x in (self._tensor, self._host, self._repeated, self.recipe))

    def tensor(self):
        """The array on the current device, for reading; zeros when nobody wrote it."""
        self._complete()
        device = common.device()
        if self._host_is_newer:
            self._tensor, self._host_is_newer = self._send(device), False
        elif self._tensor is None:
            self._tensor = torch.zeros(self.shape, dtype=common.dtype(), device=device)
        elif self._tensor.device != device:
            self._tensor, self._host = self._tensor.to(device), None
        return self._tensor

    def mutable_tensor(self):
        """The array on the current device, for writing in place."""
        tensor = self.tensor()
        self._host = self.recipe = None
        return tensor

    def set(self, tensor):
        """Take `tensor` as the new content, without a copy."""
        self.shape, self._tensor, self._host, self._host_is_newer = tuple(tensor.shape), tensor, None, False
        self._repeated = self.recipe = None

    def rows(self, regions=False):
        """(rows, repeats (R) int64): row r of the array is rows[repeats[r]]; repeats is None where all are there."""
        if self._repeated is None or self._repeated[0].device != common.device():
            return self.tensor(), None
        rows, repeats = self._repeated
        if isinstance(rows, PooledRegions) and not regions:
            if repeats is None:
                return self.tensor(), None
            rows = rows.tensor()
            self._repeated = rows, repeats
        return rows, repeats

    def set_rows(self, rows, repeats):
        """Take what `rows` gives as the new content, without a copy."""
        self.set(rows)
        if repeats is not None or isinstance(rows, PooledRegions):
            self.shape, self._tensor = (rows.shape[0] if repeats is None else len(repeats), *rows.shape[1:]), None
            self._repeated = rows, repeats

    def forget(self):
        """Give the memory up, where there is a recipe."""
        if self.recipe is not None:
            self._tensor = self._host = self._repeated = None

    def release(self):
        """Give the memory up: zeros until somebody writes."""
        self._tensor = self._host = self._repeated = self.recipe = None
        self._host_is_newer = False

    def _complete(self):
        """Make a side of what was forgotten or is there only once."""
        recipe = self.recipe
        if self._repeated is not None:
            rows, repeats = self._repeated
            rows = rows.tensor() if isinstance(rows, PooledRegions) else rows
            self.set(rows if repeats is None else rows.index_select(0, repeats))
        elif recipe is not None and self._tensor is None and self._host is None:
            self.set(recipe().tensor.reshape(self.shape))
        self.recipe = recipe

    def numpy(self):
        """A writable numpy view of the host side, which counts as written from now on."""
        self._complete()
        self.recipe = None
        if self._host is None:
            if self._tensor is None and common.device().type == "cpu":
                self.tensor()
            if self._tensor is not None and self._tensor.device.type == "cpu":
                return self._tensor.numpy()
            self._host = self._fetch()
        elif self._sent is not None:
            self._sent.synchronize()        # nobody may write what is still being sent
        self._sent, self._host_is_newer = None, True
        return self._host.numpy()

    def _send(self, device):
        tensor = self._host.to(device, non_blocking=True)
        if device.type == "cuda" and self._host.is_pinned():
            self._sent = torch.cuda.Event()
            self._sent.record()
        return tensor

    def _fetch(self):
        """A host side with the device side's numbers; zeros, without a copy, when nobody wrote that."""
        dtype = common.dtype() if self._tensor is None else self._tensor.dtype
        pinned = common.device().type == "cuda" and math.prod(self.shape) * dtype.itemsize <= _MOST_PINNED
        if self._tensor is None:
            return torch.zeros(self.shape, dtype=dtype, pin_memory=pinned)
        return torch.empty(self.shape, dtype=dtype, pin_memory=pinned).copy_(self._tensor)

    def reshaped(self, shape):
        """A SyncedArray of another shape: the same numbers where the count allows it, else unwritten."""
        out = SyncedArray(shape)
        if math.prod(self.shape) == math.prod(shape):
            out.recipe = self.recipe
            if self._repeated is not None:
                self._complete()
            if self._host_is_newer:
                out._host, out._host_is_newer = self._host.reshape(shape), True
            elif self._tensor is not None:
                out._tensor = self._tensor.reshape(shape)
        return out


class Blob:
    """data and diff of one shape; pycaffe's Blob.

    data, diff:  writable numpy arrays, C order not promised (as NCHW indices they always are)
    tensor:      the data as a torch tensor on the current device; assigning replaces it and the shape follows
    rows:        the data with rows that are repeated only once, for layers that work row by row
    diff_tensor: the same for the diff; zeros until somebody writes it
    A tensor that was read must not be written: ask `mutable_tensor()` for that.
    """

    def __init__(self, *shape):
        self._shape = tuple(int(d) for d in shape)
        self._data, self._diff = SyncedArray(self._shape), None

    # ---- pycaffe's side

    @property
    def shape(self):
        return self._shape

    @property
    def data(self):
        return self._data.numpy()

    @property
    def diff(self):
        return self._diff_array().numpy()

    @property
    def count(self):
        return torch.Size(self._shape).numel()

    num = property(lambda self: self._legacy_dim(0))
    channels = property(lambda self: self._legacy_dim(1))
    height = property(lambda self: self._legacy_dim(2))
    width = property(lambda self: self._legacy_dim(3))

    def _legacy_dim(self, axis):
        if len(self._shape) > 4:
            raise common.CaffeError("Blob of %d axes %s has no num/channels/height/width (at most 4 axes); use shape"
                                    % (len(self._shape), self._shape))
        return self._shape[axis] if axis < len(self._shape) else 1

    def reshape(self, *shape):
        """Change the shape; the numbers stay when their count does, else data and diff are zero again."""
        shape = tuple(int(d) for d in (shape[0] if len(shape) == 1 and hasattr(shape[0], "__len__") else shape))
        if shape == self._shape and self._data.shape == shape:
            return
        self._shape = shape
        self._data = self._data.reshaped(shape)
        self._diff = self._diff.reshaped(shape) if self._diff is not None else None

    # ---- the layers' side

    @property
    def tensor(self):
        return self._data.tensor()

    @tensor.setter
    def tensor(self, value):
        self.set_rows(value, None)

    def rows(self, regions=False):
        """(rows, repeats): row r of the data is rows[repeats[r]]; repeats is None where rows is simply the tensor.

        regions: the caller takes a PooledRegions for rows, too.
        """
        return self._data.rows(regions)

    def set_rows(self, rows, repeats):
        """Replace the data by what `rows` gives; the shape follows."""
        self._data.set_rows(rows, repeats)
        if self._shape != self._data.shape:
            self._shape, self._diff = self._data.shape, None

    def mutable_tensor(self):
        return self._data.mutable_tensor()

    @property
    def recipe(self):
        """Function that gives a Blob with the same data; None where there is none, or somebody may write the data."""
        return self._data.recipe

    @recipe.setter
    def recipe(self, value):
        self._data.recipe = value

    def forget(self):
        """Give the data's memory up, where there is a recipe for it."""
        self._data.forget()

    def release(self):
        """Give the memory of data and diff up: both read as zeros until they are written."""
        self._data.release()
        if self._diff is not None:
            self._diff.release()        # not None: another blob may share it

    @property
    def diff_tensor(self):
        return self._diff_array().tensor()

    @diff_tensor.setter
    def diff_tensor(self, value):
        if tuple(value.shape) != self._shape:
            raise common.CaffeError("diff of shape %s for a blob of shape %s" % (tuple(value.shape), self._shape))
        self._diff_array().set(value)

    def mutable_diff_tensor(self):
        return self._diff_array().mutable_tensor()

    def add_diff(self, value):
        """Accumulate into the diff (what backward does for parameters)."""
        if self.has_diff:
            self._diff.mutable_tensor().add_(value.reshape(self._shape))
        else:
            self._diff_array().set(value.reshape(self._shape).clone())

    def zero_diff(self):
        """Forget the diff: it reads as zeros from now on (the memory stays for views that users hold)."""
        if self.has_diff:
            self._diff.mutable_tensor().zero_()

    @property
    def has_diff(self):
        """Whether a diff was ever written; False means it reads as zeros and costs no memory."""
        return self._diff is not None and self._diff.allocated

    def share_data(self, other):
        """Show the very array of `other` (same shape): writing one writes both."""
        self._data, self._shape = other._data, other._shape
        if self._diff is not None and self._diff.shape != self._shape:
            self._diff = None

    def reshaped(self, shape):
        """A Blob of another shape and the same count that shows this one's data and diff: writing one writes both."""
        out = Blob(*shape)
        out._data, out._diff = ReshapedArray(self._data, shape), ReshapedArray(self._diff_array(), shape)
        return out

    def share_diff(self, other):
        """Use the diff array of `other`."""
        self._diff = other._diff_array()

    def _diff_array(self):
        if self._diff is None or self._diff.shape != self._shape:
            self._diff = SyncedArray(self._shape)
        return self._diff


class BlobVec(list):
    """A layer's parameters; pycaffe's vector of blobs, to which a Python layer adds its own."""

    def add_blob(self, *shape):
        """Append a Blob of zeros."""
        self.append(Blob(*shape))
