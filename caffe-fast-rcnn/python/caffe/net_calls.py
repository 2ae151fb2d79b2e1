"""The part of pycaffe's Net that is written in Python: names, arrays as arguments, any number of batches."""
from collections import OrderedDict

import numpy as np

from .common import CaffeError


class NetCalls:
    """The methods of Net that use only its lists of layers and blobs.

    _layer_names, _blob_names   names in the order of creation, including Split layers and automatic tops
    _inputs, _outputs           numbers in _blob_names
    """

    @property
    def inputs(self):
        """Names of the inputs: the tops of Input layers."""
        return [self._blob_names[i] for i in self._inputs]

    @property
    def outputs(self):
        """Names of the blobs that no layer reads, sorted."""
        return [self._blob_names[i] for i in self._outputs]

    @property
    def blob_loss_weights(self):
        """OrderedDict of blob name -> its weight in the objective."""
        return OrderedDict(zip(self._blob_names, self._blob_loss_weights))

    @property
    def _blob_loss_weights(self):
        weights = {blob: weight for tops, given in zip(self._tops, self._loss_weights)
                   for blob, weight in zip(tops, given) if weight}
        return [weights.get(blob, 0.0) for blob in self._blobs]

    def _top_ids(self, layer_number):
        """Numbers of a layer's tops in _blob_names."""
        return self._ids(self._tops[layer_number])

    def _bottom_ids(self, layer_number):
        """Numbers of a layer's bottoms in _blob_names."""
        return self._ids(self._bottoms[layer_number])

    def _ids(self, blobs):
        return [next(i for i, b in enumerate(self._blobs) if b is blob) for blob in blobs]

    # ---- running

    def forward(self, blobs=None, start=None, end=None, **inputs):
        """Run the layers from `start` to `end` (names, both included; all by default).

        inputs: an array for each of the net's inputs, of the blob's shape or one that broadcasts to it with the same
        first axis.  blobs: names of more blobs to return.
        Returns {name: array} of the outputs (of the tops of layer `end` when given) and of `blobs`.
        """
        if inputs:
            self._check_names("forward", inputs, self.inputs, "inputs")
        first, last = self._range(start, end)
        names = self._wanted(self.outputs if end is None else self.top_names[end], blobs)
        self._fill("input", "data", inputs)
        self.forward_from_to(first, last)
        return {name: self.blobs[name].data for name in names}

    def backward(self, diffs=None, start=None, end=None, **top_diffs):
        """Run backward from layer `start` (the last by default) down to `end` (the first), both included.

        top_diffs: an array for the diff of each of the net's outputs, or with `start` for the diffs of that layer's
        tops.  diffs: names of more blobs to return.
        Parameter diffs accumulate; see clear_param_diffs.  Returns {name: diff array} of the inputs (of the bottoms
        of `end` when given) and of `diffs`.
        """
        last, first = self._range(end, start)
        if top_diffs and not (start is not None and set(top_diffs) <= set(self.top_names[start])):
            self._check_names("backward", top_diffs, self.outputs, "outputs")
        names = self._wanted(self.inputs if end is None else self.bottom_names[end], diffs)
        self._fill("output", "diff", top_diffs)
        self.backward_from_to(first, last)
        return {name: self.blobs[name].diff for name in names}

    def forward_all(self, blobs=None, **inputs):
        """Run forward over arrays of any number of items, batch after batch; the last is filled up with zeros.

        Returns {name: array with a row for each item} of the outputs and of `blobs`.
        """
        rows, _ = self._run_batches(inputs, {}, blobs, None)
        return rows

    def forward_backward_all(self, blobs=None, diffs=None, **arrays):
        """Run forward, then backward, over arrays of any number of items, batch after batch.

        arrays: inputs, and diffs of outputs by the outputs' names.
        Returns ({name: rows of the outputs and of `blobs`}, {name: diffs of the inputs and of `diffs`}).
        """
        top_diffs = {name: arrays[name] for name in arrays if name in self.outputs}
        inputs = {name: arrays[name] for name in arrays if name not in self.outputs}
        return self._run_batches(inputs, top_diffs, blobs, diffs, backward=True)

    def _run_batches(self, inputs, top_diffs, blobs, diffs, backward=False):
        self._check_names("forward_all", inputs, self.inputs, "inputs")
        if not inputs:
            raise CaffeError(f"net {self.name}: it has no inputs to run over; use forward()")
        counts = {len(array) for array in [*inputs.values(), *top_diffs.values()]}
        if len(counts) != 1:
            raise CaffeError(f"net {self.name}: the arrays hold different numbers of items: {sorted(counts)}")
        count, size = counts.pop(), self.blobs[next(iter(inputs))].shape[0]
        rows: dict[str, list] = {name: [] for name in self._wanted(self.outputs, blobs)}
        row_diffs: dict[str, list] = {name: [] for name in self._wanted(self.inputs, diffs)} if backward else {}
        for i in range(0, count, size):
            for name, out in self.forward(blobs, **_batch(inputs, i, size)).items():
                rows[name].extend(np.atleast_1d(out).copy())
            if backward:
                for name, out in self.backward(diffs, **_batch(top_diffs, i, size)).items():
                    row_diffs[name].extend(np.atleast_1d(out).copy())
        return tuple({name: _without_padding(out, count, size) for name, out in found.items()}
                     for found in (rows, row_diffs))

    def set_input_arrays(self, data, labels):
        """Give a net whose first layer is MemoryData its images (N, K, H, W) and labels (N), float32."""
        first = self.layers[0]
        if first.type != "MemoryData":
            raise CaffeError(f"net {self.name}: set_input_arrays is for a first layer of type MemoryData; it is "
                             f"{self._layer_names[0]} ({first.type})")
        first.set_arrays(data, labels)

    def _forward(self, first, last):
        """As in pycaffe: run layers first..last (numbers); returns the loss as a float."""
        return float(self.forward_from_to(first, last))

    def _backward(self, first, last):
        """As in pycaffe: run backward over layers first..last (numbers, first >= last)."""
        self.backward_from_to(first, last)

    # ---- arguments

    def _range(self, start, end):
        for name in (start, end):
            if name is not None and name not in self.layer_dict:
                raise CaffeError("net %s: no layer %r; its layers are %s"
                                 % (self.name, name, ", ".join(self._layer_names)))
        first = self._layer_names.index(start) if start is not None else 0
        last = self._layer_names.index(end) if end is not None else len(self.layers) - 1
        return first, last

    def _wanted(self, names, more):
        for name in more or ():
            if name not in self.blobs:
                raise CaffeError(f"net {self.name}: no blob {name!r}; its blobs are {', '.join(self.blobs)}")
        return [*names, *(more or ())]

    def _check_names(self, what, given, expected, kind):
        if set(given) != set(expected):
            raise CaffeError(f"net {self.name}: {what} was given {sorted(given)}, its {kind} are {sorted(expected)}")

    def _fill(self, what, side, arrays):
        for name, array in arrays.items():
            array, shape = np.asarray(array), self.blobs[name].shape
            if array.shape[:1] != shape[:1] or not _broadcasts(array.shape, shape):
                raise CaffeError("net %s: %s %r has shape %s, its blob %s; reshape the blob first"
                                 % (self.name, what, name, array.shape, shape))
            getattr(self.blobs[name], side)[...] = array


def _broadcasts(shape, to):
    try:
        return np.broadcast_shapes(shape, to) == tuple(to)
    except ValueError:
        return False


def _batch(arrays, start, size):
    """Items start to start + size of each array, padded with rows of zeros."""
    out = {}
    for name, array in arrays.items():
        part = np.asarray(array[start:start + size])
        padding = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
        out[name] = np.concatenate([part, padding]) if len(padding) else part
    return out


def _without_padding(rows, count, size):
    """Remove the rows of padding; arrays with one row per batch (losses) are unchanged."""
    padding = -count % size
    batches = -(-count // size)
    return np.asarray(rows[:-padding] if padding and len(rows) > batches else rows)
