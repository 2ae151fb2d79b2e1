"""Base of the layers that read files: a thread loads the next batches while the net computes."""
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from .. import common
from .data import SourceLayer

_TRANSFORMS = ("scale", "mean_file", "crop_size", "mirror")     # of the data layers themselves in old nets


class PrefetchingLayer(SourceLayer):
    """A subclass defines `open_source()`, called in setup, and `load(position)`.

    load(position) -> (float32 arrays, one for each top; the position after them).  A position is a list of whole
    numbers and, with `self.seed`, decides everything that follows, so that a solverstate can store it.  The first
    batch is loaded in setup and gives the tops their shapes; `data_param { prefetch: N }` says how many batches are
    loaded ahead, in every type of layer, as in Caffe.
    """

    tops: tuple[int, int | None] = (2, 2)

    def setup(self, bottom, top):
        self.depth = max(1, self.layer_param.data_param.prefetch)
        self.seed = draw_seed()
        self.thread = ThreadPoolExecutor(1, "prefetch")
        self.start = [0]
        self.open_source()
        self._begin_at(self.start)
        for blob, array in zip(top, self.batches[0].result()[0]):
            blob.reshape(*array.shape)

    def _begin_at(self, position):
        self.position, self.ahead, self.batches = list(position), list(position), deque()
        self._submit()

    def _submit(self):
        self.batches.append(self.thread.submit(self._load_next))

    def _load_next(self):
        """Runs in the thread, which is the only one to read the source then."""
        arrays, self.ahead = self.load(self.ahead)
        return arrays, self.ahead

    def reshape(self, bottom, top):
        """The tops get the shapes of a batch in forward."""

    def forward(self, bottom, top):
        batch = self.batches.popleft()
        while len(self.batches) < self.depth:
            self._submit()
        arrays, self.position = batch.result()
        for blob, array in zip(top, arrays):
            blob.tensor = torch.from_numpy(array).to(common.device(), common.dtype())

    # ---- where the layer is in its data

    def data_position(self):
        """[seed, *position]: what decides which batches follow."""
        return [self.seed, *self.position]

    def set_data_position(self, numbers):
        """Continue where `data_position` was taken."""
        for batch in self.batches:
            batch.cancel() or batch.exception()         # no other batch may be in work
        self.seed = numbers[0]
        self._begin_at(numbers[1:])

    def random(self, *key):
        """A numpy.random.Generator for a place in the data; another one for each process and each key."""
        return np.random.default_rng([self.seed, common.solver_rank(), *key])

    def share(self):
        """(number of processes that share the data, which of them this is).  In TEST one process reads all of it."""
        return (1, 0) if self.phase == common.TEST else (common.solver_count(), common.solver_rank())

    def positive_batch_size(self, param):
        """The batch_size of a message; an error where it is 0."""
        if not param.batch_size:
            self.fail("batch_size is missing or 0; expected 1 or more")
        return param.batch_size

    def warn_of(self, param, *fields):
        """A line for each field of a message that is set, but has no effect, as in Caffe 1.0."""
        for field in fields:
            if param.HasField(field):
                instead = "; transform_param has a field of this name" if field in _TRANSFORMS else ""
                common.log("layer_factory.cpp:1", f"layer {self.name} ({self.type}): {field} of "
                           f"{param.DESCRIPTOR.name} has no effect, as in Caffe 1.0{instead}", "W")


def draw_seed():
    """A seed of 31 bits from caffe's generator."""
    return int(torch.randint(2 ** 31 - 1, (), generator=common.generator(), device=common.device()))


def stack_images(images, names):
    """Arrays (C, H, W) as one (N, C, H, W).  Raises CaffeError for different shapes."""
    for image, name in zip(images, names):
        if image.shape != images[0].shape:
            raise common.CaffeError("%s has shape %s (channels, height, width), the first of its batch %s; set "
                                    "crop_size, or resize the images" % (name, image.shape, images[0].shape))
    return np.stack(images)
