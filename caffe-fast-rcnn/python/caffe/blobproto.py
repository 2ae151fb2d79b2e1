"""Arrays as the messages of Caffe's files (BlobProto, Datum) and back; the names are those of `caffe.io`."""
import numpy as np

from .proto import caffe_pb2


def blobproto_to_array(blob, return_diff=False):
    """The data, or the diff, of a BlobProto as a float64 array of its shape.

    A blob of the older form has four axes: num, channels, height, width.  Raises ValueError when numbers and shape
    disagree.
    """
    single, double = (blob.diff, blob.double_diff) if return_diff else (blob.data, blob.double_data)
    data = np.array(double if len(double) else single, np.float64)
    legacy = [blob.num, blob.channels, blob.height, blob.width]
    is_legacy = any(blob.HasField(name) for name in ("num", "channels", "height", "width"))
    return data.reshape(legacy if is_legacy else tuple(blob.shape.dim))


def array_to_blobproto(arr, diff=None):
    """A BlobProto with the shape and the numbers of an array, and of its diff where one is given."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist):
    """A list of arrays as the bytes of a BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(arr) for arr in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str):      # noqa: A002  (pycaffe's name)
    """The arrays of the bytes of a BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr, label=None):
    """A Datum of an array (channels, height, width): bytes where it is uint8, else floats."""
    if arr.ndim != 3:
        raise ValueError(f"array_to_datum: expected an array (channels, height, width), got shape {arr.shape}")
    channels, height, width = arr.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width)
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum):
    """The array (channels, height, width) of a Datum: uint8, or float64 where it holds floats.

    A Datum that holds an encoded image (JPEG, PNG) has to be decoded instead; its size is not in it.
    """
    if datum.encoded:
        raise ValueError("datum_to_array: this Datum holds an encoded image; decode datum.data with an image library")
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        return np.frombuffer(datum.data, np.uint8).reshape(shape).copy()
    return np.array(datum.float_data, float).reshape(shape)
