"""caffe.io: images, and conversion between arrays and Caffe's messages, with pycaffe's names."""
from .blobproto import (
    array_to_blobproto,
    array_to_datum,
    arraylist_to_blobprotovector_str,
    blobproto_to_array,
    blobprotovector_str_to_arraylist,
    datum_to_array,
)
from .images import load_image
from .proto import caffe_pb2
from .resizing import resize_image
from .transformer import Transformer, oversample

__all__ = [
    "Transformer", "array_to_blobproto", "array_to_datum", "arraylist_to_blobprotovector_str", "blobproto_to_array",
    "blobprotovector_str_to_arraylist", "caffe_pb2", "datum_to_array", "load_image", "oversample", "resize_image",
]
