"""caffe extract_features: blobs of a net, image by image, as LMDBs of Datums."""
from contextlib import ExitStack

import numpy as np

from .. import common
from ..common import CaffeError, log
from ..net import Net
from ..proto import caffe_pb2
from ..util.lmdb_files import DatumWriter
from .flags import Flag, whole_list
from .model import use_device

USAGE = """WEIGHTS NET BLOB[,BLOB...] DB[,DB...] NUM_BATCHES lmdb [CPU|GPU] [DEVICE_ID=0]

WEIGHTS is a caffemodel, NET a prototxt that makes its own data; each BLOB of NUM_BATCHES passes goes to its DB."""
FLAGS: list[Flag] = []


def run(_flags, arguments):
    """Write the LMDBs: record n has the features of the n-th image of all passes; its key is n in ten digits."""
    weights, model, blobs, paths, batches, device = _settings(arguments)
    use_device(device)
    net = Net(model, weights, common.TEST)
    missing = [name for name in blobs if name not in net.blobs]
    if missing:
        raise CaffeError("unknown feature blob %s in the network %s; its blobs are %s"
                         % (", ".join(missing), model, " ".join(net.blobs)))
    log("extract_features.cpp:141", "Extracting Features")
    with ExitStack() as stack:
        writers = [stack.enter_context(DatumWriter(path)) for path in paths]
        counts = _extract(net, blobs, writers, batches)
    for name, count in zip(blobs, counts):
        log("extract_features.cpp:184", "Extracted features of %d query images for feature blob %s" % (count, name))
    log("extract_features.cpp:189", "Successfully extracted the features!")


def _settings(arguments):
    """(weights, model, [blobs], [paths], number of batches, value of -gpu) of the arguments; checked."""
    if not 6 <= len(arguments) <= 8:
        raise CaffeError("takes %s; got %d arguments" % (USAGE.splitlines()[0], len(arguments)))
    weights, model, blobs, paths, batches, backend, *device = arguments
    blobs, paths = whole_list(blobs), whole_list(paths)
    if len(blobs) != len(paths):
        raise CaffeError("%d blobs (%s) for %d databases (%s); give one for each"
                         % (len(blobs), " ".join(blobs), len(paths), " ".join(paths)))
    if not batches.isdecimal() or not int(batches):
        raise CaffeError("NUM_BATCHES is %s; expected a whole number, 1 or more" % batches)
    if backend != "lmdb":
        raise CaffeError("the database type is %s; only lmdb is supported" % backend)
    if device and device[0] not in ("CPU", "GPU"):
        raise CaffeError("the device is %s; expected CPU or GPU" % device[0])
    number = device[1].rpartition("=")[2] if len(device) == 2 else "0"
    return weights, model, blobs, paths, int(batches), number if device[:1] == ["GPU"] else ""


def _extract(net, blobs, writers, batches):
    """Run the batches; returns the number of records of each blob."""
    counts = [0] * len(blobs)
    for _ in range(batches):
        net.forward_from_to()
        for i, name in enumerate(blobs):
            for row in np.atleast_1d(net.blobs[name].data):
                writers[i].put("%010d" % counts[i], _datum(row))
                counts[i] += 1
    return counts


def _datum(row):
    """A Datum with the values of one image: axes (C, H, W), where missing axes have length 1."""
    if row.ndim > 3:
        raise CaffeError("a blob of %d axes does not fit a Datum, which has three axes for each image" % (row.ndim + 1))
    channels, height, width = (*row.shape, 1, 1, 1)[:3]
    return caffe_pb2.Datum(channels=channels, height=height, width=width, float_data=row.ravel().tolist())
