"""Whether the arrays of an .npz are as large as their headers say, before NumPy makes them."""
import math
import zipfile

import numpy as np


def require_small_headers(path):
    """ValueError if the header of an array in the .npz at `path` states more bytes than the file holds for it.

    NumPy makes the array that a header states before it reads the numbers.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                _require_small(archive, info)


def _require_small(archive, info):
    with archive.open(info) as f:
        version = np.lib.format.read_magic(f)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(f)
    stated = math.prod(shape) * dtype.itemsize
    if stated > info.file_size or min(shape, default=0) < 0:
        raise ValueError(f"{info.filename} has a header of shape {shape}, type {dtype}, {stated} bytes; the file "
                         f"holds {info.file_size}")
