"""MemoryData: a data layer for images and labels in memory, one batch per pass."""
import numpy as np

from ..common import log
from ..layer import Layer, register


@register("MemoryData")
class MemoryDataLayer(Layer):
    """top 0: images (batch_size, K, H, W); top 1: their labels (batch_size).

    layer { name: "data" type: "MemoryData" top: "data" top: "label"
            memory_data_param { batch_size: 10 channels: 3 height: 28 width: 28 } }

    `net.set_input_arrays(data, labels)` gives them when it is the net's first layer; a forward pass takes the next
    batch and begins again after the last.  transform_param has no effect on them, as in Caffe.
    """

    bottoms, tops = (0, 0), (2, 2)

    def setup(self, bottom, top):
        p = self.layer_param.memory_data_param
        self.batch, self.dims = p.batch_size, (p.channels, p.height, p.width)
        if not (self.batch and all(self.dims)):
            self.fail("memory_data_param: batch_size, channels, height and width must all be given, none of them 0")
        self.arrays, self.next = None, 0

    def set_arrays(self, data, labels):
        """Take images (N, K, H, W) and labels (N), N a multiple of the batch size; they are not copied."""
        data, labels = np.asarray(data), np.asarray(labels)
        if data.shape[1:] != self.dims or labels.shape not in ((len(data),), (len(data), 1, 1, 1)):
            self.fail("expected images (N, %d, %d, %d) and labels (N), got %s and %s"
                      % (*self.dims, data.shape, labels.shape))
        if not len(data) or len(data) % self.batch:
            self.fail("%d images; expected a multiple of the batch size %d" % (len(data), self.batch))
        if self.layer_param.HasField("transform_param"):
            log("memory_data_layer.cpp:82", "layer %s: MemoryData does not transform array data" % self.name, "W")
        self.arrays, self.next = (data, labels.reshape(-1)), 0

    def reshape(self, bottom, top):
        top[0].reshape(self.batch, *self.dims)
        top[1].reshape(self.batch)

    def forward(self, bottom, top):
        if self.arrays is None:
            self.fail("it has no images; call net.set_input_arrays(data, labels) before forward")
        for blob, array in zip(top, self.arrays):
            blob.data[...] = array[self.next:self.next + self.batch]
        self.next = (self.next + self.batch) % len(self.arrays[0])

    def backward(self, top, propagate_down, bottom):
        pass

    def data_position(self):
        """[number of the next image] once it has images."""
        return [] if self.arrays is None else [self.next]

    def set_data_position(self, numbers):
        self.next = numbers[0] % len(self.arrays[0])
