"""Layers that make few numbers of many, or look rows up: Reduction, ArgMax, Embed."""
import math

import torch

from ..filler import new_param
from ..layer import Layer, register
from ..proto.caffe_pb2 import ReductionParameter
from .labels import rows_at


@register("Reduction")
class ReductionLayer(Layer):
    """The axes from `axis` on become one number: their sum, sum of absolute values, of squares, or mean, times coeff.

    layer { type: "Reduction" bottom: "x" top: "y" reduction_param { operation: SUM axis: 1 coeff: 1 } }

    (N, C, H, W) -> () for axis 0, the default; -> (N,) for axis 1.
    """

    def reshape(self, bottom, top):
        self.axis = self.canonical_axis(self.layer_param.reduction_param.axis, len(bottom[0].shape))
        top[0].reshape(*bottom[0].shape[:self.axis])

    def function(self, x):
        param = self.layer_param.reduction_param
        rows = x.reshape(*x.shape[:self.axis], math.prod(x.shape[self.axis:]))
        if param.operation == ReductionParameter.ASUM:
            rows = rows.abs()
        elif param.operation == ReductionParameter.SUMSQ:
            rows = rows * rows
        y = rows.mean(-1) if param.operation == ReductionParameter.MEAN else rows.sum(-1)
        return y * param.coeff


@register("ArgMax")
class ArgMaxLayer(Layer):
    """Indices of the top_k largest numbers; it has no gradient.

    layer { type: "ArgMax" bottom: "x" top: "y" argmax_param { top_k: 1 axis: 1 out_max_val: false } }

    With axis: along it, and out_max_val gives the numbers instead of the indices.  Without: over all axes but the
    first, (N, ...) -> (N, 1, top_k), or (N, 2, top_k), indices then numbers, with out_max_val.
    Of equal numbers the one with the larger index comes first, as in Caffe.
    """

    def reshape(self, bottom, top):
        param, shape = self.layer_param.argmax_param, list(bottom[0].shape)
        self.has_axis = param.HasField("axis")
        if not shape:
            self.fail("the bottom has no axes; expected (N, ...)")
        self.axis = self.canonical_axis(param.axis, len(shape)) if self.has_axis else 1
        length = shape[self.axis] if self.has_axis else math.prod(shape[1:])
        if not 1 <= param.top_k <= length:
            self.fail("top_k %d; expected 1 to %d, the numbers to choose from" % (param.top_k, length))
        if self.has_axis:
            shape[self.axis] = param.top_k
        else:
            shape = [shape[0], 2 if param.out_max_val else 1, param.top_k] + [1] * (len(shape) - 3)
        top[0].reshape(*shape)

    def forward(self, bottom, top):
        param, x = self.layer_param.argmax_param, bottom[0].tensor
        if not self.has_axis:
            x = x.reshape(x.shape[0], -1) if x.numel() else x.reshape(x.shape[0], math.prod(x.shape[1:]))
        values, order = x.flip(self.axis).sort(dim=self.axis, descending=True, stable=True)
        values = values.narrow(self.axis, 0, param.top_k)
        inds = (x.shape[self.axis] - 1 - order.narrow(self.axis, 0, param.top_k)).to(x.dtype)
        if self.has_axis:
            top[0].tensor = (values if param.out_max_val else inds).contiguous()
        else:
            parts = [inds, values] if param.out_max_val else [inds]         # each (N, top_k)
            top[0].tensor = torch.stack(parts, 1).reshape(top[0].shape)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.fail("has no gradient; set propagate_down: false, or put no loss behind it")


@register("Embed")
class EmbedLayer(Layer):
    """top[...] = weight[bottom[...]] (+ bias): a row of the table for every index of the bottom.

    layer { type: "Embed" bottom: "words" top: "y" embed_param { input_dim: 1000 num_output: 64
            weight_filler { type: "xavier" } } }

    bottom of any shape S, numbers 0 .. input_dim - 1; top S + (num_output,); blobs: (input_dim, num_output) and, with
    bias_term, (num_output,).  The indices get no diff.
    """

    reads_top = False

    def setup(self, bottom, top):
        self.param = param = self.layer_param.embed_param
        if not (param.num_output > 0 and param.input_dim > 0):
            self.fail("num_output %d and input_dim %d must be positive" % (param.num_output, param.input_dim))
        self.blobs = [new_param((param.input_dim, param.num_output), param.weight_filler)]
        if param.bias_term:
            self.blobs.append(new_param((param.num_output,), param.bias_filler))

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape, self.param.num_output)

    def function(self, index, weight, bias=None):
        y = rows_at(self, weight, index, "the bottom holds indices from %d to %d, input_dim is %d")
        return y if bias is None else y + bias

    def allow_force_backward(self, bottom_index):
        return False
