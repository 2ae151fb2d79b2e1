"""Data: images and labels from an LMDB of Datums."""
import os

import numpy as np

from ..common import CaffeError, log
from ..layer import register
from ..proto import caffe_pb2
from ..util.data_transformer import DataTransformer
from ..util.datum_images import datum_array
from ..util.lmdb_files import DatumReader
from .prefetching import PrefetchingLayer, stack_images

_LEVELDB = ("is a LevelDB, which cannot be read; write an LMDB from the images with caffe convert_imageset, or copy "
            "its records with the Python packages plyvel and lmdb, then set backend: LMDB")


@register("Data")
class DataLayer(PrefetchingLayer):
    """top 0: images (batch_size, C, H, W); top 1, if there is one: their labels (batch_size).

    layer { name: "data" type: "Data" top: "data" top: "label"
            data_param { source: "train_lmdb" batch_size: 64 backend: LMDB }
            transform_param { scale: 0.00390625 mirror: true crop_size: 227 } }

    Records come in order of their keys, and again from the first after the last.  Every batch has the shape of its
    first image.  Of several processes each takes every n-th record.  rand_skip has no effect, as in Caffe 1.0.
    """

    tops = (1, 2)

    def open_source(self):
        param = self.layer_param.data_param
        self.batch_size = self.positive_batch_size(param)
        self.source = param.source
        self._check_source(param)
        self.warn_of(param, "scale", "mean_file", "crop_size", "mirror", "rand_skip", "force_encoded_color")
        try:
            self.transformer = DataTransformer(self.layer_param.transform_param, self.phase)
            self.reader = DatumReader(self.source)
        except CaffeError as e:
            self.fail(str(e))
        self.warned = False

    def _check_source(self, param):
        holds = [os.path.exists(os.path.join(param.source, name)) for name in ("data.mdb", "CURRENT")]
        if not param.source:
            self.fail("data_param has no source; expected the folder of an LMDB")
        if not os.path.exists(param.source):
            self.fail("source %s: this folder does not exist; make the LMDB with caffe convert_imageset" % param.source)
        if holds[1] and not holds[0]:
            self.fail("source %s %s" % (param.source, _LEVELDB))
        if param.backend != caffe_pb2.DataParameter.LMDB:
            self.fail("source %s: the backend is LEVELDB, the default, which cannot be read; %s" % (
                param.source, "set backend: LMDB, which the source is" if holds[0] else
                "write an LMDB with caffe convert_imageset and set backend: LMDB"))

    def load(self, position):
        count, rank = self.share()
        random = self.random(*position)
        items = [self._item(position[0] + i * count + rank, random) for i in range(self.batch_size)]
        images, labels, names = zip(*items)
        try:
            arrays = stack_images(images, names), np.array(labels, np.float32)
        except CaffeError as e:
            self.fail("%s: %s" % (self.source, e))
        return arrays, [position[0] + self.batch_size * count]

    def _item(self, index, random):
        """(numbers, label, name) of the record of a number that goes on growing after the last."""
        name, datum = self._record(index % self.reader.count)
        if index and index % self.reader.count == 0:
            log("data_layer.cpp:73", "Restarting data prefetching from start.")
        try:
            return self.transformer(self._image(datum), random), datum.label, "record " + name
        except CaffeError as e:
            self.fail("%s: record %s: %s" % (self.source, name, e))

    def _record(self, index):
        try:
            return self.reader.record(index)
        except CaffeError as e:
            self.fail(str(e))

    def _image(self, datum):
        param = self.layer_param.transform_param
        forced = 3 if param.force_color else 1 if param.force_gray else None
        if forced and not datum.encoded and not self.warned:
            self.warned = True
            log("data_transformer.cpp:1", "layer %s (Data): force_color and force_gray have an effect on encoded "
                "images only" % self.name, "W")
        return datum_array(datum, forced)
