"""SyncedArray: the numbers of a blob's data or diff, on the host for numpy and on the current device for layers."""
import enum
import math

import torch

from . import common
from .host_side import HostSide, seen_by_numpy


class Newer(enum.Enum):
    """Which side of an array was written last."""

    HOST = 0
    DEVICE = 1
    NEITHER = 2     # they hold the same numbers, or there is only one side


class SyncedArray:
    """Numbers of one dtype, up to `capacity` of them, under the shape that the caller asks for; zeros until written.

    Caffe's SyncedMemory.  A side is copied only when it is read and the other one was written:
    host    C-ordered memory that numpy views show.  In CPU mode it is the device side as well, once numpy looked.
    device  the tensor of the last layer that wrote, with the strides that the layer chose
    pending content that is not there yet (see pending.py); then there is no side.
    As long as a user holds a view, what layers give is copied into the memory that the view shows: in CPU mode by
    `show_views`, which Net calls before a user can look; in GPU mode when the numbers are read on the host again.
    """

    __slots__ = ("capacity", "version", "_host", "_device", "_newer", "_pending")

    def __init__(self, capacity):
        self.capacity = capacity
        self.version = 0        # counts how often the numbers were written, or handed out to be written
        self._host = self._device = self._pending = None
        self._newer = Newer.NEITHER

    @property
    def allocated(self):
        """Whether the numbers were ever written or handed out; False means zeros without memory."""
        return self._host is not None or self._device is not None or self._pending is not None

    @property
    def held(self):
        """Whether anybody holds a numpy view."""
        return self._host is not None and self._host.held

    # ---- for layers

    def tensor(self, shape):
        """The first numbers on the current device, for reading."""
        if self._device is None or self._newer is Newer.HOST or self._device.device != common.device():
            self._bring(shape)
        return self._device if self._device.shape == shape else self._under(shape)

    def mutable_tensor(self, shape):
        """The first numbers on the current device, for writing in place."""
        tensor = self.tensor(shape)
        self.version += 1
        if _apart(tensor.device):
            self._host = self._host if self.held else None
            self._newer = Newer.DEVICE
        return tensor

    def set(self, tensor):
        """Take `tensor` as the new numbers, without a copy where no user can write to its memory."""
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
        """Take what `content` will give as the new numbers; at once where a view must show them."""
        if self.held:
            self.set(content.tensor())
            return
        self.version += 1
        self._put(content)

    def put_off(self, content):
        """Give the memory up for `content`, which gives the same numbers; not while a view shows them."""
        if not self.held:
            self._put(content)

    def release(self):
        """Give the memory up: zeros until written; not while a view shows it."""
        if not self.held:
            self._put(None)

    def pending(self, shape):
        """The content that is not there yet, None where the numbers are there or needed under another shape."""
        content = self._pending
        fits = content is not None and content.device == common.device() and tuple(content.shape) == shape
        return content if fits else None

    # ---- for numpy

    def numpy(self, shape):
        """A writable, C-ordered numpy view of the first numbers; the host side counts as written from now on."""
        self.version += 1
        self._fetch()
        if _apart(common.device()):
            self._newer = Newer.HOST
        else:
            self._device = self._host.tensor(shape)
        return self._host.numpy(shape)

    def show_views(self):
        """In CPU mode have the views that are held show what layers gave; what users write into them counts then."""
        if self._newer is Newer.DEVICE and not _apart(self._device.device):
            self._fetch()
            self._device = self._host.tensor(self._device.shape)

    # ---- moves

    def _put(self, content):
        self._host, self._device, self._pending, self._newer = None, None, content, Newer.NEITHER

    def _bring(self, shape):
        """Have the numbers on the current device."""
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
        """Have the numbers on the host, in memory that is this array's alone."""
        content = self._device if self._pending is None else self._pending.tensor()
        if self._host is None:
            self._host = HostSide(self.capacity, content)
        elif self._newer is Newer.DEVICE:
            self._host.take(content)
        self._host.wait()
        self._pending, self._newer = None, Newer.NEITHER

    def _under(self, shape):
        """The numbers on the device under another shape: the first of them in C order, zeros where there are fewer."""
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
    """Whether tensors of this device do not lie in the host's memory."""
    return device.type != "cpu"
