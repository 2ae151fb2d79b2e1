"""One layer by itself: built from its prototxt, fed with arrays, without a net around it."""
import contextlib

import numpy as np
import torch
from caffe import TEST, TRAIN, Blob, common
from caffe.layer import create_layer
from caffe.proto import caffe_pb2
from google.protobuf import text_format


@contextlib.contextmanager
def float64():
    """New blobs are float64 inside."""
    common.set_dtype(torch.float64)
    try:
        yield
    finally:
        common.set_dtype(torch.float32)


def blob_of(array):
    """A Blob holding `array` in the current number type."""
    blob = Blob(*np.shape(array))
    blob.tensor = torch.tensor(np.asarray(array), dtype=common.dtype(), device=common.device())
    return blob


def make_layer(text, bottoms, tops=1, phase=TEST):
    """(layer, bottom blobs, top blobs) after setup and reshape.

    text: what stands between the braces of `layer { }`, e.g. 'type: "ReLU"'; a name is added
    bottoms: arrays; tops: how many
    """
    layer = create_layer(text_format.Parse('name: "l" ' + text, caffe_pb2.LayerParameter(phase=int(phase))))
    bottom, top = [blob_of(b) for b in bottoms], [Blob() for _ in range(tops)]
    layer.setup(bottom, top)
    params = layer.layer_param.param
    layer.param_propagate_down = [i >= len(params) or params[i].lr_mult != 0 for i in range(len(layer.blobs))]
    layer.reshape(bottom, top)
    return layer, bottom, top


def forward(text, bottoms, tops=1, phase=TEST, params=()):
    """The top arrays of one forward pass; params, when given, replace the filled ones."""
    layer, bottom, top = make_layer(text, bottoms, tops, phase)
    for blob, value in zip(layer.blobs, params):
        blob.data[...] = value
    layer.forward(bottom, top)
    return [t.data.copy() for t in top]


def forward_backward(text, bottoms, top_diffs, phase=TEST, params=(), propagate_down=None):
    """(tops, bottom diffs, parameter diffs) of one pass forward and one back with `top_diffs`, one for each top."""
    layer, bottom, top = make_layer(text, bottoms, len(top_diffs), phase)
    for blob, value in zip(layer.blobs, params):
        blob.data[...] = value
    layer.forward(bottom, top)
    for blob, diff in zip(top, top_diffs):
        blob.diff[...] = diff
    layer.backward(top, propagate_down or [layer.allow_force_backward(i) for i in range(len(bottom))], bottom)
    return [[t.data.copy() for t in top], [b.diff.copy() for b in bottom], [p.diff.copy() for p in layer.blobs]]


__all__ = ["TEST", "TRAIN", "blob_of", "float64", "forward", "forward_backward", "make_layer"]
