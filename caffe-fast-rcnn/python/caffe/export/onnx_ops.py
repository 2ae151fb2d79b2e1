"""Layer type -> ONNX operators (opset 17).

A function gets the graph under construction, the layer, the names of its bottoms and tops and the bottoms' shapes.
"""
from collections.abc import Callable

import numpy as np

from ..proto.caffe_pb2 import EltwiseParameter

OPS: dict[str, Callable] = {}


def op(*types):
    def enter(function):
        OPS.update((name, function) for name in types)
        return function
    return enter


@op("Convolution", "Deconvolution")
def convolution(graph, layer, bottoms, tops, shapes):
    g = layer.geometry
    if layer.axis != 1:
        layer.fail("convolution_param.axis %d has no counterpart in ONNX; only axis 1 has" % layer.axis)
    for bottom, top in zip(bottoms, tops):
        graph.node("ConvTranspose" if layer.transposed else "Conv", [bottom] + graph.params(layer, "weight", "bias"),
                   [top], kernel_shape=g.kernel, strides=g.stride, pads=g.pad * 2, dilations=g.dilation,
                   group=layer.descriptor.groups)


@op("InnerProduct")
def inner_product(graph, layer, bottoms, tops, shapes):
    if layer.axis != 1:
        layer.fail("inner_product_param.axis %d has no counterpart in ONNX; only axis 1 has" % layer.axis)
    rows = bottoms[0]
    if len(shapes[0]) > 2:      # (N, C, H, W) -> (N, C H W)
        rows = tops[0] + "_rows"
        graph.node("Flatten", bottoms, [rows], axis=1)
    graph.node("Gemm", [rows] + graph.params(layer, "weight", "bias"), tops,
               transB=int(not layer.layer_param.inner_product_param.transpose))


@op("ReLU")
def relu(graph, layer, bottoms, tops, shapes):
    if layer.slope:
        graph.node("LeakyRelu", bottoms, tops, alpha=layer.slope)
    else:
        graph.node("Relu", bottoms, tops)


@op("PReLU")
def prelu(graph, layer, bottoms, tops, shapes):
    slopes = layer.blobs[0].data
    if slopes.ndim:
        slopes = slopes.reshape(-1, *[1] * (len(shapes[0]) - 2))        # (C,) -> (C, 1, 1)
    graph.node("PRelu", bottoms + [graph.constant(layer.name + ".weight", slopes)], tops)


@op("AbsVal", "Sigmoid", "TanH")
def unary(graph, layer, bottoms, tops, shapes):
    graph.node({"AbsVal": "Abs", "Sigmoid": "Sigmoid", "TanH": "Tanh"}[layer.type], bottoms, tops)


@op("Dropout")
def dropout(graph, layer, bottoms, tops, shapes):
    """Reached with scale_train: false only, where TEST multiplies by what TRAIN keeps."""
    graph.node("Mul", bottoms + [graph.constant(layer.name + ".keep", np.float32(layer.keep))], tops)


@op("Pooling")
def pooling(graph, layer, bottoms, tops, shapes):
    name = {"MAX": "MaxPool", "AVE": "AveragePool"}.get(layer.method)
    if name is None or len(tops) > 1:
        layer.fail("%s pooling with %d tops has no counterpart in ONNX" % (layer.method, len(tops)))
    if layer.kernel is None:
        graph.node("Global" + name, bottoms, tops)
        return
    if layer.ceil and any(s > k for s, k in zip(layer.stride, layer.kernel)):
        layer.fail("stride %s above kernel %s with round_mode CEIL has no counterpart in ONNX"
                   % (layer.stride, layer.kernel))
    padding = {"count_include_pad": 1} if layer.method == "AVE" else {}     # padding counts as zeros
    graph.node(name, bottoms, tops, kernel_shape=layer.kernel, strides=layer.stride, pads=layer.pad * 2,
               ceil_mode=int(layer.ceil), **padding)


@op("LRN")
def lrn(graph, layer, bottoms, tops, shapes):
    p = layer.layer_param.lrn_param
    if layer.within:
        layer.fail("norm_region WITHIN_CHANNEL has no counterpart in ONNX; ACROSS_CHANNELS has")
    graph.node("LRN", bottoms, tops, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)


@op("Softmax")
def softmax(graph, layer, bottoms, tops, shapes):
    graph.node("Softmax", bottoms, tops, axis=layer.axis)


@op("Concat")
def concat(graph, layer, bottoms, tops, shapes):
    graph.node("Concat", bottoms, tops, axis=layer.axis)


@op("Eltwise")
def eltwise(graph, layer, bottoms, tops, shapes):
    if layer.operation == EltwiseParameter.MAX:
        graph.node("Max", bottoms, tops)
        return
    terms = list(bottoms)
    for i, coeff in enumerate(layer.coeff):
        if coeff != 1:
            terms[i] = "%s_term%d" % (tops[0], i)
            factor = graph.constant("%s.coeff%d" % (layer.name, i), np.float32(coeff))
            graph.node("Mul", [bottoms[i], factor], [terms[i]])
    name = "Sum" if layer.operation == EltwiseParameter.SUM else "Mul"
    for i in range(1, len(terms)):
        out = tops[0] if i == len(terms) - 1 else "%s_part%d" % (tops[0], i)
        graph.node(name, [terms[0], terms[i]], [out])
        terms[0] = out


@op("Flatten")
def flatten(graph, layer, bottoms, tops, shapes):
    p = layer.layer_param.flatten_param
    if (p.axis, p.end_axis) != (1, -1):
        layer.fail("flatten_param axis %d to %d has no counterpart in ONNX; only 1 to -1 has" % (p.axis, p.end_axis))
    graph.node("Flatten", bottoms, tops, axis=1)


@op("Reshape")
def reshape(graph, layer, bottoms, tops, shapes):
    p = layer.layer_param.reshape_param
    if p.axis != 0 or p.num_axes != -1:
        layer.fail("reshape_param with axis %d, num_axes %d has no counterpart in ONNX; only 0 and -1 have"
                   % (p.axis, p.num_axes))
    graph.node("Reshape", bottoms + [graph.constant(layer.name + ".shape", np.array(p.shape.dim, np.int64))], tops)


@op("BatchNorm")
def batch_norm(graph, layer, bottoms, tops, shapes):
    sums, squares, weight = (blob.data for blob in layer.blobs)
    scale = np.float32(1 / weight[0] if weight[0] else 0)
    facts = [("weight", np.ones_like(sums)), ("bias", np.zeros_like(sums)), ("mean", sums * scale),
             ("variance", squares * scale)]
    graph.node("BatchNormalization",
               bottoms + [graph.constant("%s.%s" % (layer.name, what), array) for what, array in facts], tops,
               epsilon=layer.layer_param.batch_norm_param.eps)


@op("Scale")
def scale(graph, layer, bottoms, tops, shapes):
    if len(bottoms) > 1:
        layer.fail("a scale that is a bottom has no counterpart in ONNX; a learnt one has")
    factor, *bias = [blob.data.reshape(*blob.shape, *[1] * layer.trailing) for blob in layer.blobs]
    product = tops[0] + "_scaled" if bias else tops[0]
    graph.node("Mul", bottoms + [graph.constant(layer.name + ".weight", factor)], [product])
    if bias:
        graph.node("Add", [product, graph.constant(layer.name + ".bias", bias[0])], tops)


@op("ROIPooling")
def roi_pooling(graph, layer, bottoms, tops, shapes):
    """onnxruntime's MaxRoiPool rounds and cuts as Caffe does: measured equal, bit for bit (tests)."""
    graph.node("MaxRoiPool", bottoms, tops, pooled_shape=[layer.pooled_h, layer.pooled_w],
               spatial_scale=layer.spatial_scale)
