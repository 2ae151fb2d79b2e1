"""HDF5Data and HDF5Output: arrays from and to HDF5 files."""
import numpy as np

from ..common import CaffeError
from ..layer import Layer, register
from ..util.hdf5_files import h5py_package, read_datasets
from .prefetching import PrefetchingLayer


@register("HDF5Data")
class HDF5DataLayer(PrefetchingLayer):
    """Each top: batch_size rows of the dataset that has the top's name, in one HDF5 file after the other.

    layer { name: "data" type: "HDF5Data" top: "data" top: "label"
            hdf5_data_param { source: "train.txt" batch_size: 64 shuffle: true } }

    source is a text file with the names of HDF5 files, separated by white space.  shuffle: the order of the files is
    random, and that of the rows in each file.  Of several processes each takes every n-th row.
    """

    tops = (1, None)

    def open_source(self):
        param = self.layer_param.hdf5_data_param
        if self.layer_param.HasField("transform_param"):
            self.fail("HDF5Data does not transform its data; remove transform_param, and write transformed data")
        self.batch_size, self.source = self.positive_batch_size(param), param.source
        self.shuffle = param.shuffle
        self.files = self._read_source()
        self.start = [0, 0, 0]              # pass over the files, number of the file in it, row
        self.loaded, self.arrays, self.shapes = None, [], None

    def _read_source(self):
        try:
            with open(self.source, encoding="utf-8") as f:
                files = f.read().split()
        except UnicodeDecodeError:
            self.fail("source %s: it is not text; expected a text file with the names of HDF5 files" % self.source)
        except OSError as e:
            self.fail("source %r: cannot read it: %s; expected a text file with the names of HDF5 files"
                      % (self.source, e.strerror))
        if not files:
            self.fail("source %s: it is empty; expected the names of HDF5 files" % self.source)
        return files

    def load(self, position):
        count, rank = self.share()
        rows = []
        for _ in range(self.batch_size):
            position = self._advanced(position, rank)
            rows.append(self._row(position))
            position = self._advanced(position, count - rank)
        return [np.stack(row_of_each) for row_of_each in zip(*rows)], position

    def _row(self, position):
        arrays, order = self._file(*position[:2])
        return [array[order[position[2]]] for array in arrays]

    def _advanced(self, position, rows):
        """The position that many rows later."""
        times, number, row = position
        row += rows
        while row >= len(self._file(times, number)[1]):
            row -= len(self._file(times, number)[1])
            number += 1
            if number == len(self.files):
                times, number = times + 1, 0
        return [times, number, row]

    def _file(self, times, number):
        """(arrays, order of the rows) of a file; the last one is kept."""
        if self.loaded != (self.seed, times, number):
            name = self.files[self._order(len(self.files), times)[number]]
            if self.loaded is None or len(self.files) > 1:
                self.arrays = self._read(name)
            self.order = self._order(len(self.arrays[0]), times, number)
            self.loaded = self.seed, times, number
        return self.arrays, self.order

    def _order(self, count, *key):
        """The same in all processes, which share the rows."""
        return np.random.default_rng([self.seed, *key]).permutation(count) if self.shuffle else range(count)

    def _read(self, name):
        try:
            arrays = read_datasets(name, list(self.layer_param.top))
        except CaffeError as e:
            self.fail(str(e))
        shapes = [array.shape[1:] for array in arrays]
        if self.shapes not in (None, shapes):
            self.fail("%s: its rows have shapes %s, those of the first file %s; write rows of one shape"
                      % (name, shapes, self.shapes))
        self.shapes = shapes
        return arrays

    def set_data_position(self, numbers):
        if numbers[2] >= len(self.files):
            self.fail("the solverstate is at file %d, source %s lists %d; the list has changed"
                      % (numbers[2] + 1, self.source, len(self.files)))
        super().set_data_position(numbers)


@register("HDF5Output")
class HDF5OutputLayer(Layer):
    """Writes its two bottoms, with the same number of rows, as the datasets data and label of an HDF5 file.

    layer { name: "out" type: "HDF5Output" bottom: "feature" bottom: "label" hdf5_output_param { file_name: "out.h5" } }

    As in Caffe, the datasets have four axes (N, C, H, W) and the file is made when the net is built.  Each forward pass
    adds its rows; the file can be read after every pass.
    """

    bottoms, tops = (2, 2), (0, 0)

    def setup(self, bottom, top):
        self.file_name = self.layer_param.hdf5_output_param.file_name
        self._open("w").close()

    def _open(self, mode):
        try:
            return h5py_package().File(self.file_name, mode)
        except OSError as e:
            self.fail("cannot write file_name %r: %s" % (self.file_name, str(e).splitlines()[0]))

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        arrays = [blob.tensor.cpu().numpy() for blob in bottom]
        arrays = [array.reshape(*array.shape, *[1] * (4 - array.ndim)) for array in arrays]
        if len(arrays[0]) != len(arrays[1]):
            self.fail("its bottoms have %d and %d rows; expected the same number" % (len(arrays[0]), len(arrays[1])))
        with self._open("a") as file:
            for name, array in zip(("data", "label"), arrays):
                self._append(file, name, array)

    def _append(self, file, name, array):
        if name not in file:
            file.create_dataset(name, data=array, maxshape=(None, *array.shape[1:]))
            return
        dataset, rows = file[name], len(array)
        if dataset.shape[1:] != array.shape[1:]:
            self.fail("%s: %s has rows of shape %s, this pass %s; expected one shape"
                      % (self.file_name, name, dataset.shape[1:], array.shape[1:]))
        dataset.resize(len(dataset) + rows, axis=0)
        dataset[-rows:] = array

    def backward(self, top, propagate_down, bottom):
        pass
