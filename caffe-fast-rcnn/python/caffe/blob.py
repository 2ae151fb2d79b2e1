"""Blob: an array of activations or parameters and its diff, seen as numpy by users and as torch by layers."""
import math
import operator

from . import common
from .memory_limit import require_memory
from .pending import Present, RepeatedRows
from .synced_array import SyncedArray

_SMALL = 2 ** 20    # numbers for which nobody asks how much memory there is
MAX_AXES = 32       # as Caffe


class Blob:
    """data and diff of one shape; pycaffe's Blob.

    data, diff:  writable, C-ordered numpy views; as long as they are held, they show what passes write
    tensor:      the data as a torch tensor on the current device; assigning replaces it and the shape follows
    rows:        the data with rows that are repeated only once, for layers that work row by row
    diff_tensor: the same for the diff; zeros until it is written
    A tensor that was read must not be written: ask `mutable_tensor()` for that.
    In GPU mode a view shows what was fetched last: read `data` again after a pass, and write to what it gives.
    """

    def __init__(self, *shape):
        self._shape = _dims(shape)
        self._data, self._diff = SyncedArray(math.prod(self._shape)), None

    # ---- pycaffe's side

    @property
    def shape(self):
        return self._shape

    @property
    def data(self):
        return self._data.numpy(self._shape)

    @property
    def diff(self):
        return self._diff_array().numpy(self._shape)

    @property
    def count(self):
        return math.prod(self._shape)

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
        """Change the shape.  The memory stays, and with it the numbers, unless more are asked for than ever before.

        Then data and diff are zero, and views of the old memory keep its numbers.
        """
        shape = _dims(shape[0] if len(shape) == 1 and hasattr(shape[0], "__len__") else shape)
        if shape == self._shape:
            return
        self._shape = shape
        if self.count > self._data.capacity:
            self._data = SyncedArray(self.count)
        if self._diff is not None and self.count > self._diff.capacity:
            self._diff = None

    # ---- the layers' side

    @property
    def tensor(self):
        return self._data.tensor(self._shape)

    @tensor.setter
    def tensor(self, value):
        self.reshape(*value.shape)
        self._data.set(value)

    def mutable_tensor(self):
        return self._data.mutable_tensor(self._shape)

    def rows(self):
        """(rows, repeats): row r of the data is rows[repeats[r]]; repeats is None where rows is simply the tensor."""
        return self._content().rows()

    def set_rows(self, rows, repeats):
        """Replace the data by rows[repeats], or by rows where repeats is None; the shape follows."""
        if repeats is None:
            self.tensor = rows
        else:
            self.set_pending(RepeatedRows(rows, repeats))

    def linear(self, weight, bias):
        """(products, repeats): as `rows`, of the data's rows times weight (num_output, K)' + bias (num_output)."""
        return self._content().linear(weight, bias)

    def _content(self):
        return self._data.pending(self._shape) or Present(self.tensor)

    def set_pending(self, content):
        """Replace the data by what a Pending gives when it is read; the shape follows."""
        self.reshape(*content.shape)
        self._data.set_pending(content)

    def put_off(self, content):
        """Give the data's memory up: the Pending gives the same numbers.  Nothing happens while a view is held."""
        self._data.put_off(content)

    @property
    def held(self):
        """Whether anybody holds a numpy view of the data."""
        return self._data.held

    @property
    def version(self):
        """A number that is another one when the data were written since, or handed out to be written."""
        return self._data.version

    def show_views(self):
        """Have the numpy views that users hold show what layers gave; Net does it before users can look."""
        self._data.show_views()
        if self._diff is not None:
            self._diff.show_views()

    def release(self):
        """Give the memory of data and diff up: both read as zeros until written.  What a view shows stays."""
        self._data.release()
        if self._diff is not None:
            self._diff.release()

    @property
    def diff_tensor(self):
        return self._diff_array().tensor(self._shape)

    @diff_tensor.setter
    def diff_tensor(self, value):
        if tuple(value.shape) != self._shape:
            raise common.CaffeError("diff of shape %s for a blob of shape %s" % (tuple(value.shape), self._shape))
        self._diff_array().set(value)

    def mutable_diff_tensor(self):
        return self._diff_array().mutable_tensor(self._shape)

    def add_diff(self, value, is_new=False):
        """Accumulate into the diff (what backward does for parameters); is_new: no other code uses `value`."""
        value = value if value.shape == self._shape else value.reshape(self._shape)
        if self.has_diff:
            self.mutable_diff_tensor().add_(value)
        else:
            self._diff_array().set(value.to(common.dtype(), copy=not is_new))

    def zero_diff(self):
        """Set the diff to zero; on a GPU by giving it up, as the next one takes its place.

        Several processes add diffs up in arrays that stay (gradient_buckets.py).
        """
        given_up = common.device().type != "cpu" and common.solver_count() == 1
        if self.has_diff and given_up and not self._diff.held:
            self._diff.release()
        elif self.has_diff:
            self.mutable_diff_tensor().zero_()

    @property
    def has_diff(self):
        """Whether a diff was ever written; False means it reads as zeros and costs no memory."""
        return self._diff is not None and self._diff.allocated

    def share_data(self, other):
        """Show the very numbers of `other`, a Blob of the same count: writing one writes both."""
        self._data = other._data

    def reshaped(self, shape):
        """A Blob of another shape and the same count that shows this one's data and diff: writing one writes both."""
        out = Blob(*shape)
        out._data, out._diff = self._data, self._diff_array()
        return out

    def _diff_array(self):
        if self._diff is None:
            self._diff = SyncedArray(self._data.capacity)
        return self._diff


def _dims(shape):
    """`shape` as a tuple of integers; CaffeError for numbers that cannot be lengths of axes, or are too many."""
    try:
        dims = tuple(operator.index(d) for d in shape)
    except TypeError:
        dims = (-1,)
    if min(dims, default=0) < 0:
        raise common.CaffeError("shape %s of a blob: expected whole numbers, 0 or more" % (tuple(shape),))
    if len(dims) > MAX_AXES:
        raise common.CaffeError(f"a blob of {len(dims)} axes; expected at most {MAX_AXES}")
    count = math.prod(dims)
    if count > _SMALL or 0 in dims:
        longest = math.prod(max(d, 1) for d in dims)        # what indices must reach, empty or not
        require_memory(longest * common.dtype().itemsize, f"a blob of shape {dims}")
    return dims


class BlobVec(list):
    """A layer's parameters; pycaffe's vector of blobs, to which a Python layer adds its own."""

    def add_blob(self, *shape):
        """Append a Blob of zeros."""
        self.append(Blob(*shape))
