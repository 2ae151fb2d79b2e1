"""Weights and solver states as Caffe's HDF5.

Weights: the groups data/<layer> and diff/<layer>, a float dataset 0, 1, ... for each parameter.  A state: iter,
learned_net, current_step, and the group history with datasets 0, 1, ...; ours also random_state and data_positions.
"""
import io
import json

import numpy as np

from .. import common
from ..common import CaffeError
from .files import write_atomically
from .hdf5_files import h5py_package

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path):
    """Whether the file at `path` is HDF5, by its first bytes; False where it cannot be read."""
    try:
        with open(path, "rb") as f:
            return f.read(len(_SIGNATURE)) == _SIGNATURE
    except (OSError, ValueError):       # ValueError: a NUL in the name
        return False


def write_hdf5_weights(path, layers, write_diff):
    """Write HDF5 weights, whole or not at all.

    layers: [(name, {number of the parameter: (data, diff)})], numpy arrays; diff is not read without write_diff.
    """
    content = io.BytesIO()
    with h5py_package().File(content, "w") as file:
        for k, part in enumerate(("data", "diff")[:1 + bool(write_diff)]):
            group = file.create_group(part)
            for name, arrays in layers:
                layer = group.require_group(name)       # a / in the name makes groups in groups
                for number, pair in arrays.items():
                    layer.create_dataset(str(number), data=np.asarray(pair[k]))
    write_atomically(path, [content.getbuffer()])


def read_hdf5_weights(path):
    """{layer name: {number: array}} of HDF5 weights, layers without arrays left out.  Raises CaffeError."""
    h5py, file, found = h5py_package(), _open(path), {}

    def visit(name, item):
        layer, _, number = name.rpartition("/")
        if isinstance(item, h5py.Dataset) and layer and number.isdecimal():
            found.setdefault(layer, {})[int(number)] = item[...]

    with file:
        if not isinstance(file.get("data"), h5py.Group):
            raise CaffeError("%s: has no group data: it holds no weights of Caffe, but %s"
                             % (path, ", ".join(file) or "nothing"))
        file["data"].visititems(visit)
    return found


def write_hdf5_state(path, iteration, learned_net, history, current_step, positions):
    """Write a solver state, with caffe's random state; as write_state of weight_files."""
    h5py, content = h5py_package(), io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, value in (("iter", iteration), ("current_step", current_step)):
            file.create_dataset(name, data=np.array([value], np.int32))
        _write_text(h5py, file, "learned_net", learned_net)
        for k, array in enumerate(history):
            file.create_dataset("history/%d" % k, data=array)
        file.create_dataset("random_state", data=np.frombuffer(common.random_state(), np.uint8))
        _write_text(h5py, file, "data_positions", json.dumps(positions))
    write_atomically(path, [content.getbuffer()])


def read_hdf5_state(path):
    """(iter, learned_net, [history arrays], current_step, random state bytes, data positions) of a solver state."""
    with _open(path) as file:
        try:
            history = [file["history/%d" % k][...] for k in range(len(file.get("history", ())))]
            return (int(file["iter"][0]), _text(file["learned_net"]), history, int(file["current_step"][0]),
                    file["random_state"][...].tobytes() if "random_state" in file else b"",
                    json.loads(_text(file["data_positions"])) if "data_positions" in file else [])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as e:
            raise CaffeError("%s: not a solver state: %s" % (path, str(e).splitlines()[0])) from None


def _open(path):
    try:
        return h5py_package().File(path, "r")
    except OSError as e:
        raise CaffeError("%s: cannot read this HDF5 file: %s" % (path, str(e).splitlines()[0])) from None


def _write_text(h5py, file, name, text):
    """A string that ends with a zero byte, as Caffe reads it."""
    data = text.encode() + b"\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(data))
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(data, "S%d" % len(data)), kind)


def _text(dataset):
    value = dataset[()]
    return value.decode() if isinstance(value, bytes) else str(value)
