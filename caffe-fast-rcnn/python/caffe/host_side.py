"""HostSide: the host memory of an array, and whether numpy views of it are held."""
import math
import weakref

import torch

from . import common

_MOST_PINNED = 2 ** 26     # bytes; what a data layer fills or a Python layer reads is smaller, fc6 of VGG16 is not

_BAND = 4096                # cells of an image whose channels stay in the cache while they are turned round


class HostSide:
    """Host memory for `size` values in C order: those of the tensor `content`, padded with zeros.

    `numpy` returns views of it.  Views keep one base array alive, and so does everything derived from them: slices,
    reshaped views, memoryviews, tensors.  The memory is `held` while the base array is alive.
    """

    __slots__ = ("_flat", "_base", "_sent")

    def __init__(self, size, content=None):
        dtype = common.dtype() if content is None else content.dtype
        pinned = common.device().type == "cuda" and size * dtype.itemsize <= _MOST_PINNED
        make = torch.empty if content is not None and content.numel() == size else torch.zeros
        self._flat = make(size, dtype=dtype, pin_memory=pinned)
        self._flat.untyped_storage().seen_by_numpy = True       # all tensors in this memory have the one storage
        self._base = None       # weak reference to the base of all views
        self._sent = None       # event: the numbers have left for the device
        if content is not None:
            self.take(content)

    @property
    def held(self):
        """Whether a numpy view, or anything derived from one, is alive."""
        return self._base is not None and self._base() is not None

    def numpy(self, shape):
        """A writable view of the first values in `shape`."""
        base = self._base() if self._base is not None else None
        if base is None:
            base = self._flat.numpy()
            self._base = weakref.ref(base)
        return base[:math.prod(shape)].reshape(shape)

    def tensor(self, shape):
        """As `numpy`, but a tensor, which does not count as a view."""
        return self._flat[:math.prod(shape)].view(shape)

    def fits(self, tensor):
        """Whether `take` accepts the tensor."""
        return tensor.dtype == self._flat.dtype and tensor.numel() <= self._flat.numel()

    def shows(self, tensor):
        """Whether `tensor` is in this memory."""
        return (tensor.device.type == "cpu"
                and tensor.untyped_storage().data_ptr() == self._flat.untyped_storage().data_ptr())

    def take(self, tensor):
        """Copy a tensor with any device and strides into this memory, in C order."""
        front = self.tensor(tensor.shape)
        if self.shows(tensor):
            if tensor.data_ptr() == front.data_ptr() and tensor.stride() == front.stride():
                return
            tensor = tensor.clone()
        self.wait()
        _copy(front, tensor)

    def send(self, device, shape):
        """A copy on `device`.  The copy to a GPU is asynchronous."""
        tensor = torch.empty(shape, dtype=self._flat.dtype, device=device)
        tensor.copy_(self.tensor(shape), non_blocking=True)
        if device.type == "cuda" and self._flat.is_pinned():
            self._sent = torch.cuda.Event()
            self._sent.record()
        return tensor

    def wait(self):
        """Wait until the memory may be written, after the copies of `send`."""
        if self._sent is not None:
            self._sent.synchronize()
            self._sent = None


def seen_by_numpy(tensor):
    """Whether `tensor` is in the memory of a HostSide, to which users may write at any time."""
    return hasattr(tensor.untyped_storage(), "seen_by_numpy")


def _copy(front, tensor):
    """Copy `tensor` to `front` in C order; channels-last tensors are copied in bands, four times as fast."""
    if tensor.dim() != 4 or tensor.is_contiguous() or not tensor.is_contiguous(memory_format=torch.channels_last):
        front.copy_(tensor)
        return
    for rows, columns in zip(front.flatten(2), tensor.flatten(2)):      # (C, H W) each
        for band, source in zip(rows.split(_BAND, 1), columns.split(_BAND, 1)):
            band.copy_(source)
