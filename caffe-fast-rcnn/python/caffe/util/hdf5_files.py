"""HDF5 files of named arrays, with the package h5py."""
import numpy as np

from ..common import CaffeError


def h5py_package():
    """The package h5py.  Raises CaffeError where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise CaffeError("HDF5 needs the package h5py, which is not installed; pip install h5py") from None
    return h5py


def read_datasets(path, names):
    """The float32 arrays of the datasets `names` in the file at `path`: the same number of rows each, 1 or more."""
    h5py = h5py_package()
    try:
        file = h5py.File(path, "r")
    except OSError as e:
        raise CaffeError("%s: cannot read this HDF5 file: %s" % (path, str(e).splitlines()[0])) from None
    with file:
        arrays = [_read_dataset(h5py, file, path, name) for name in names]
    for name, array in zip(names, arrays):
        if len(array) != len(arrays[0]):
            raise CaffeError("%s: dataset %s has %d rows, %s has %d; write the same number of rows"
                             % (path, name, len(array), names[0], len(arrays[0])))
    if not len(arrays[0]):
        raise CaffeError("%s: dataset %s has no rows" % (path, names[0]))
    return arrays


def _read_dataset(h5py, file, path, name):
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise CaffeError("%s: has no dataset %s; it has %s; name the tops as the datasets"
                         % (path, name, ", ".join(file) or "none"))
    if dataset.dtype.kind not in "fiu":
        raise CaffeError("%s: dataset %s has type %s; expected numbers, float or integer" % (path, name, dataset.dtype))
    if not dataset.shape:
        raise CaffeError("%s: dataset %s is a single number; expected one row or more" % (path, name))
    return dataset[...].astype(np.float32, copy=False)
