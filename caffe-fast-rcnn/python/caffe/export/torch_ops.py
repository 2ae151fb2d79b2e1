"""Layer type -> Python source of a PyTorch module.

A function gets the layer and the bottoms' shapes and returns a Piece: how the module is made in __init__ (None: no
module), how its outputs come from the bottoms in forward, and what goes into the state_dict.  In `call`, {0}, {1} stand
for the bottoms, {all} for all of them, {self} for the module.
"""
from collections import namedtuple
from collections.abc import Callable

import numpy as np
import torch

from ..proto.caffe_pb2 import EltwiseParameter

OPS: dict[str, Callable] = {}

# module, call: source;  state: {name in the module: array};  helper: name of a HELPERS entry that the source uses
Piece = namedtuple("Piece", "module call state helper", defaults=(None, "{self}({0})", {}, None))

HELPERS = {
    "roi_pool": '''
def roi_pool(features, rois, size, scale):
    """Max pooling of each RoI into size = (bins down, bins across), as Caffe's: (N, C, H, W), (R, 5) -> (R, C, *size).

    A RoI's corners times scale are rounded half away from zero to cells, both inclusive; an empty bin gives 0.
    """
    def edges(first, last, bins, limit):
        cells = max(last - first + 1, 1)
        step = torch.tensor(cells, dtype=torch.float32) / bins      # float32 decides which cells a bin touches
        low = first + torch.floor(torch.arange(bins) * step).long()
        high = first + torch.ceil(torch.arange(1, bins + 1) * step).long()
        return list(zip(low.clamp(0, limit).tolist(), high.clamp(0, limit).tolist()))

    out = features.new_zeros(len(rois), features.shape[1], *size)
    scaled = rois[:, 1:].float() * scale
    corners = (scaled.trunc() + ((scaled - scaled.trunc()) * 2).trunc()).long().tolist()
    for r, (x1, y1, x2, y2) in enumerate(corners):
        image = features[int(rois[r, 0])]
        columns = edges(x1, x2, size[1], image.shape[2])
        for i, (top, bottom) in enumerate(edges(y1, y2, size[0], image.shape[1])):
            line = image[:, top:bottom].amax(1) if top < bottom else None       # (C, W)
            for j, (left, right) in enumerate(columns):
                if top < bottom and left < right:
                    out[r, :, i, j] = line[:, left:right].amax(1)
    return out
''',
    "Scale": '''
class Scale(nn.Module):
    """x * weight + bias, both broadcast from the right."""

    def __init__(self, *shape, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x):
        x = x * self.weight
        return x if self.bias is None else x + self.bias
''',
}


def op(*types):
    def enter(function):
        OPS.update((name, function) for name in types)
        return function
    return enter


def _pair(numbers):
    """Source of [3, 3] -> 3, of [3, 5] -> (3, 5)."""
    return repr(numbers[0] if len(set(numbers)) == 1 else tuple(numbers))


def _number(value):
    """Source of a float32 setting, as short as it was in the prototxt: 0.0005."""
    return str(np.float32(value))


def _options(**values):
    """", stride=2, bias=False": what differs from the default, given as (value, default)."""
    return "".join(", %s=%s" % (key, value) for key, (value, default) in values.items() if value != default)


def _weights(layer):
    return {name: blob.data for name, blob in zip(("weight", "bias"), layer.blobs)}


@op("Convolution", "Deconvolution")
def convolution(layer, shapes):
    g, p = layer.geometry, layer.layer_param.convolution_param
    if layer.axis != 1 or len(shapes) > 1:
        layer.fail("axis %d with %d bottoms has no counterpart in PyTorch; axis 1 with one has"
                   % (layer.axis, len(shapes)))
    module = "nn.Conv%s%dd(%d, %d, %s%s)" % (
        "Transpose" if layer.transposed else "", g.axes, layer.channels, p.num_output, _pair(g.kernel),
        _options(stride=(_pair(g.stride), "1"), padding=(_pair(g.pad), "0"), dilation=(_pair(g.dilation), "1"),
                 groups=(layer.descriptor.groups, 1), bias=(p.bias_term, True)))
    return Piece(module, state=_weights(layer))


@op("InnerProduct")
def inner_product(layer, shapes):
    p, state = layer.layer_param.inner_product_param, _weights(layer)
    if p.transpose:
        state["weight"] = state["weight"].T
    module = "nn.Linear(%d, %d%s)" % (layer.inputs, p.num_output, _options(bias=(p.bias_term, True)))
    flat = len(shapes[0]) == layer.axis + 1
    return Piece(module, "{self}({0})" if flat else "{self}({0}.flatten(%d))" % layer.axis, state)


@op("ReLU")
def relu(layer, shapes):
    return Piece(call="F.leaky_relu({0}, %s)" % _number(layer.slope) if layer.slope else "F.relu({0})")


@op("PReLU")
def prelu(layer, shapes):
    slopes = layer.blobs[0].data.reshape(-1)
    return Piece("nn.PReLU(%d)" % len(slopes), state={"weight": slopes})


@op("AbsVal", "Sigmoid", "TanH")
def unary(layer, shapes):
    return Piece(call="torch.%s({0})" % {"AbsVal": "abs", "Sigmoid": "sigmoid", "TanH": "tanh"}[layer.type])


@op("Dropout")
def dropout(layer, shapes):
    """Reached with scale_train: false only, where TEST multiplies by what TRAIN keeps."""
    return Piece(call="{0} * %s" % _number(layer.keep))


@op("Pooling")
def pooling(layer, shapes):
    name = {"MAX": "max_pool2d", "AVE": "avg_pool2d"}.get(layer.method)
    tops = len(layer.layer_param.top)
    if name is None or tops > 1:
        layer.fail("%s pooling with %d tops has no counterpart in PyTorch; MAX and AVE with one top have"
                   % (layer.method, tops))
    if layer.kernel is None:
        return Piece(call="{0}.%s((2, 3), keepdim=True)" % {"MAX": "amax", "AVE": "mean"}[layer.method])
    if layer.ceil and any(s > k for s, k in zip(layer.stride, layer.kernel)):
        layer.fail("stride %s above kernel %s with round_mode CEIL has no counterpart in PyTorch"
                   % (layer.stride, layer.kernel))
    if any(2 * p > k for p, k in zip(layer.pad, layer.kernel)):
        layer.fail("pad %s above half of kernel %s has no counterpart in PyTorch" % (layer.pad, layer.kernel))
    return Piece(call="F.%s({0}, %s, stride=%s%s)" % (
        name, _pair(layer.kernel), _pair(layer.stride),
        _options(padding=(_pair(layer.pad), "0"), ceil_mode=(layer.ceil, False))))


@op("LRN")
def lrn(layer, shapes):
    p = layer.layer_param.lrn_param
    if layer.within:
        layer.fail("norm_region WITHIN_CHANNEL has no counterpart in PyTorch; ACROSS_CHANNELS has")
    return Piece(call="F.local_response_norm({0}, %d, alpha=%s, beta=%s, k=%s)"
                 % (p.local_size, _number(p.alpha), _number(p.beta), _number(p.k)))


@op("Softmax")
def softmax(layer, shapes):
    return Piece(call="F.softmax({0}, %d)" % layer.axis)


@op("Concat")
def concat(layer, shapes):
    return Piece(call="torch.cat([{all}], %d)" % layer.axis)


@op("Eltwise")
def eltwise(layer, shapes):
    if layer.operation == EltwiseParameter.MAX:
        source = "{0}"
        for i in range(1, len(shapes)):
            source = "torch.maximum(%s, {%d})" % (source, i)
        return Piece(call=source)
    sign = " + " if layer.operation == EltwiseParameter.SUM else " * "
    return Piece(call=sign.join("{%d}" % i + (" * " + _number(c) if c != 1 else "") for i, c in enumerate(layer.coeff)))


@op("Flatten")
def flatten(layer, shapes):
    p = layer.layer_param.flatten_param
    return Piece(call="{0}.flatten(%d, %d)" % (p.axis, p.end_axis))


@op("Reshape")
def reshape(layer, shapes):
    p = layer.layer_param.reshape_param
    if p.axis != 0 or p.num_axes != -1:
        layer.fail("reshape_param with axis %d, num_axes %d has no counterpart in PyTorch; only 0 and -1 have"
                   % (p.axis, p.num_axes))
    sizes = ["{0}.shape[%d]" % i if size == 0 else str(size) for i, size in enumerate(p.shape.dim)]
    return Piece(call="{0}.reshape(%s)" % ", ".join(sizes))


@op("BatchNorm")
def batch_norm(layer, shapes):
    sums, squares, weight = (blob.data for blob in layer.blobs)
    scale = 1 / weight[0] if weight[0] else 0
    module = "nn.BatchNorm%dd(%d, eps=%s, affine=False)" % (max(1, len(shapes[0]) - 2), layer.channels,
                                                           _number(layer.layer_param.batch_norm_param.eps))
    return Piece(module, state={"running_mean": sums * scale, "running_var": squares * scale,
                                "num_batches_tracked": torch.tensor(0)})


@op("Scale")
def scale(layer, shapes):
    if len(shapes) > 1:
        layer.fail("a scale that is a bottom has no counterpart in PyTorch; a learnt one has")
    shape = layer.blobs[0].shape + (1,) * layer.trailing
    module = "Scale(%sbias=%s)" % ("".join("%d, " % size for size in shape), len(layer.blobs) > 1)
    return Piece(module, state={k: v.reshape(shape) for k, v in _weights(layer).items()}, helper="Scale")


@op("ROIPooling")
def roi_pooling(layer, shapes):
    return Piece(call="roi_pool({0}, {1}, (%d, %d), %s)"
                 % (layer.pooled_h, layer.pooled_w, _number(layer.spatial_scale)),
                 helper="roi_pool")
