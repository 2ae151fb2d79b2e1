"""SyncedArray: the numbers of a blob's data or diff, on the host for numpy and on the current device for layers."""
import enum
import math

import torch

from . import common
from .host_side import HostSide, seen_by_numpy


class Newer(enum.Enum):
    """The side of an array that was written last."""

    HOST = 0
    DEVICE = 1
    NEITHER = 2     # they hold the same numbers, or there is only one side


class SyncedArray:
    """Up to `capacity` values of one dtype, in the shape that the caller asks for; zeros until written.

    Caffe's SyncedMemory.  A side is copied only when it is read after the other side was written:
    host    C-ordered memory of numpy views.  In CPU mode it is the device side as well, once a view was taken.
    device  the tensor of the last layer that wrote, with the strides that the layer chose
    pending content that is computed when it is read (see pending.py); then neither side exists.
    While a user holds a view, the outputs of layers are copied into the memory of the view: in CPU mode by
    `show_views`, which Net calls before users' code runs; in GPU mode when the values are next read on the host.
    """

    __slots__ = ("capacity", "version", "_host", "_device", "_newer", "_pending")

    def __init__(self, capacity):
        self.capacity = capacity
        self.version = 0        # counts how often the numbers were written, or handed out to be written
        self._host = self._device = self._pending = None
        self._newer = Newer.NEITHER

    @property
    def allocated(self):
        """Whether the values were ever written or given out; False means zeros without memory."""
        return self._host is not None or self._device is not None or self._pending is not None

    @property
    def held(self):
        """Whether a numpy view is held."""
        return self._host is not None and self._host.held

    # ---- for layers

    def tensor(self, shape):
        """The first values as a tensor on the current device, for reading."""
        if self._device is None or self._newer is Newer.HOST or self._device.device != common.device():
            self._bring(shape)
        return self._device if self._device.shape == shape else self._under(shape)

    def mutable_tensor(self, shape):
        """The first values as a tensor on the current device, for writing in place."""
        tensor = self.tensor(shape)
        self.version += 1
        if _apart(tensor.device):
            self._host = self._host if self.held else None
            self._newer = Newer.DEVICE
        return tensor

    def set(self, tensor):
        """Use `tensor` as the new values; it is copied only if a user can write to its memory."""
        self.version += 1
        self._pending, self._newer = None, Newer.NEITHER
        if self._host is not None and self._host.shows(tensor):         # a layer worked in place
            self._host.take(tensor)
            self._device = self._host.tensor(tensor.shape)
            return
        self._device = tensor.clone() if seen_by_numpy(tensor) else tensor
        if self.held and self._host.fits(tensor):
            self._newer = Newer.DEVICE
        else:
            self._host = None

    def set_pending(self, content):
        """Use `content`, a Pending, as the new values; computed at once if a view must show them."""
        if self.held:
            self.set(content.tensor())
            return
        self.version += 1
        self._put(content)

    def put_off(self, content):
        """Free the memory and keep `content`, a Pending with the same values; does nothing while a view is held."""
        if not self.held:
            self._put(content)

    def release(self):
        """Free the memory: zeros until written; does nothing while a view is held."""
        if not self.held:
            self._put(None)

    def pending(self, shape):
        """The Pending of the array; None if the values exist or are needed in another shape."""
        content = self._pending
        fits = content is not None and content.device == common.device() and tuple(content.shape) == shape
        return content if fits else None

    # ---- for numpy

    def numpy(self, shape):
        """A writable, C-ordered numpy view of the first values; the host side then counts as written."""
        self.version += 1
        self._fetch()
        if _apart(common.device()):
            self._newer = Newer.HOST
        else:
            self._device = self._host.tensor(shape)
        return self._host.numpy(shape)

    def show_views(self):
        """In CPU mode, copy the outputs of layers into views that are held; writes to them then change the array."""
        if self._newer is Newer.DEVICE and not _apart(self._device.device):
            self._fetch()
            self._device = self._host.tensor(self._device.shape)

    # ---- moves

    def _put(self, content):
        self._host, self._device, self._pending, self._newer = None, None, content, Newer.NEITHER

    def _bring(self, shape):
        """Copy the values to the current device if necessary."""
        device = common.device()
        if self._pending is not None:
            self._device, self._pending = self._pending.tensor().to(device), None
        elif self._device is not None and self._newer is not Newer.HOST and self._host is None:
            self._device = self._device.to(device)
        elif _apart(device) and not self.allocated:
            self._device = torch.zeros(shape, dtype=common.dtype(), device=device)
        else:
            self._fetch()
            self._device = self._host.send(device, shape) if _apart(device) else self._host.tensor(shape)
        self._newer = Newer.NEITHER

    def _fetch(self):
        """Copy the values to the host if necessary, into memory that only this array uses."""
        content = self._device if self._pending is None else self._pending.tensor()
        if self._host is None:
            self._host = HostSide(self.capacity, content)
        elif self._newer is Newer.DEVICE:
            self._host.take(content)
        self._host.wait()
        self._pending, self._newer = None, Newer.NEITHER

    def _under(self, shape):
        """The values on the device in another shape: the first ones in C order, padded with zeros."""
        count = math.prod(shape)
        if self._host is not None and self._newer is Newer.NEITHER:
            self._device = None
            self._bring(shape)
            return self._device
        flat = self._device.contiguous().view(-1)
        if flat.numel() < count:
            flat = torch.cat([flat, flat.new_zeros(self.capacity - flat.numel())])
        self._device = flat
        return flat[:count].view(shape)


def _apart(device):
    """Whether tensors on this device are outside the host's memory."""
    return device.type != "cpu"
