"""ImageData: images and labels from a list of files."""
import numpy as np

from .. import common
from ..common import CaffeError
from ..layer import register
from ..util.data_transformer import DataTransformer
from ..util.datum_images import decode_image, resize_image
from ..util.image_list import read_bytes, read_list
from .prefetching import PrefetchingLayer, stack_images


@register("ImageData")
class ImageDataLayer(PrefetchingLayer):
    """top 0: images (batch_size, C, H, W); top 1: their labels (batch_size).

    layer { name: "data" type: "ImageData" top: "data" top: "label"
            image_data_param { source: "train.txt" root_folder: "images/" batch_size: 32 shuffle: true
                               new_height: 256 new_width: 256 }
            transform_param { mirror: true crop_size: 227 mean_value: 104 mean_value: 117 mean_value: 123 } }

    Each line of source is a file's name below root_folder, a space and a label, a whole number.  The list begins again
    after its end, in another order with shuffle.  rand_skip: 0 to rand_skip - 1 images are left out at the start.
    """

    def open_source(self):
        param = self.param = self.layer_param.image_data_param
        self.batch_size = self.positive_batch_size(param)
        self.warn_of(param, "scale", "mean_file", "crop_size", "mirror")
        if bool(param.new_height) != bool(param.new_width):
            self.fail("new_height %d, new_width %d; give both, or neither" % (param.new_height, param.new_width))
        try:
            self.lines = read_list(param.source)
            self.transformer = DataTransformer(self.layer_param.transform_param, self.phase)
        except CaffeError as e:
            self.fail(str(e))
        if not self.lines:
            self.fail("source %s: it is empty; expected lines of a file name and a label" % param.source)
        if param.rand_skip > len(self.lines):
            self.fail("rand_skip %d for a list of %d images; at most %d" % (param.rand_skip, *[len(self.lines)] * 2))
        if self.phase == common.TRAIN and common.solver_rank() and not (param.rand_skip or param.shuffle):
            common.log("image_data_layer.cpp:56", "Shuffling or skipping recommended for multi-GPU", "W")
        self.start = [int(self.random().integers(param.rand_skip)) if param.rand_skip else 0]
        self.epoch, self.order = None, None

    def load(self, position):
        random = self.random(0, *position)
        items = [self._item(position[0] + i, random) for i in range(self.batch_size)]
        images, labels, names = zip(*items)
        try:
            arrays = stack_images(images, names), np.array(labels, np.float32)
        except CaffeError as e:
            self.fail(str(e))
        return arrays, [position[0] + self.batch_size]

    def _item(self, index, random):
        """(numbers, label, path) of the image of a number that goes on growing after the last."""
        epoch, number = divmod(index, len(self.lines))
        name, label = self.lines[self._order_of(epoch)[number]]
        path = self.param.root_folder + name
        try:
            return self.transformer(self._image(path), random), label, path
        except CaffeError as e:
            self.fail("%s: %s" % (path, e))

    def _order_of(self, epoch):
        if not self.param.shuffle:
            return range(len(self.lines))
        if self.epoch != (self.seed, epoch):
            self.order = self.random(1, epoch).permutation(len(self.lines))
            self.epoch = self.seed, epoch
        return self.order

    def _image(self, path):
        """(C, H, W), blue first."""
        image = decode_image(read_bytes(path), 3 if self.param.is_color else 1)
        if image is None:
            raise CaffeError("cannot be read, or is not an image; see root_folder %r and the list %s"
                             % (self.param.root_folder, self.param.source))
        if self.param.new_height:
            image = resize_image(image, self.param.new_height, self.param.new_width)
        return image.transpose(2, 0, 1)
