"""caffe compute_image_mean: the mean of the images of an LMDB, pixel by pixel, as a binaryproto."""
import numpy as np

from ..common import CaffeError, log
from ..proto import caffe_pb2
from ..util.datum_images import datum_array
from ..util.files import write_atomically
from ..util.lmdb_files import read_datums
from .convert_imageset import BACKEND

USAGE = "INPUT_DB [OUTPUT_FILE]"
FLAGS = [BACKEND]


def run(_flags, arguments):
    """Write the mean to OUTPUT_FILE if it is given, and print the mean of each channel."""
    if len(arguments) not in (1, 2):
        raise CaffeError("takes INPUT_DB and optionally OUTPUT_FILE; got %d arguments" % len(arguments))
    log("compute_image_mean.cpp:60", "Starting iteration")
    mean = image_mean(arguments[0])
    if len(arguments) == 2:
        log("compute_image_mean.cpp:101", "Write to %s" % arguments[1])
        blob = caffe_pb2.BlobProto(num=1, channels=mean.shape[0], height=mean.shape[1], width=mean.shape[2],
                                   data=mean.ravel().tolist())
        write_atomically(arguments[1], [blob.SerializeToString()])
    log("compute_image_mean.cpp:107", "Number of channels: %d" % len(mean))
    for channel, values in enumerate(mean):
        log("compute_image_mean.cpp:114", "mean_value channel [%d]: %.6g" % (channel, values.mean()))


def image_mean(path):
    """The mean, (C, H, W), of the Datums of an LMDB, which must have one shape."""
    total, count = None, 0
    for key, datum in read_datums(path):
        try:
            image = datum_array(datum)
        except CaffeError as e:
            raise CaffeError("%s: record %s: %s" % (path, key, e)) from None
        if total is None:
            total = np.zeros(image.shape)
        if image.shape != total.shape:
            raise CaffeError("%s: record %s has shape %s, those before it %s; write the LMDB with -resize_width and "
                             "-resize_height" % (path, key, image.shape, total.shape))
        total += image
        count += 1
        if count % 10000 == 0:
            log("compute_image_mean.cpp:89", "Processed %d files." % count)
    if count % 10000:
        log("compute_image_mean.cpp:94", "Processed %d files." % count)
    return total / count
