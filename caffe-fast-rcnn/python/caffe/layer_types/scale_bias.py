"""Layers that multiply by, or add, a smaller blob along some axes: Scale and Bias."""
from ..filler import new_param
from ..layer import Layer, register
from ..proto import caffe_pb2


class _BroadcastLayer(Layer):
    """Base: bottom[0], and a second operand that is bottom[1] or the parameter self.blobs[0].

    The operand covers the axes of bottom[0] from `axis` on, `num_axes` of them (-1: to the end; 0: one number for
    all); as bottom[1] its own number of axes counts.
    """

    bottoms = (1, 2)
    repeatable = True

    def reshape(self, bottom, top):
        shape, operand = bottom[0].shape, (bottom[1] if len(bottom) > 1 else self.blobs[0]).shape
        self.axis = self._first_axis(len(shape), operand)
        if shape[self.axis:self.axis + len(operand)] != operand:
            self.fail("bottom 0 of shape %s has not the sizes %s from axis %d on" % (shape, operand, self.axis))
        self.trailing = len(shape) - self.axis - len(operand)
        top[0].reshape(*shape)

    def _first_axis(self, axes, operand):
        return self.canonical_axis(self.param.axis, axes) if operand else 0

    def make_operand(self, bottom, filler, default):
        """A parameter of the operand's shape, filled by `filler` when the prototxt gives one, else with `default`."""
        shape, count = bottom[0].shape, self.param.num_axes
        if len(bottom) > 1:
            wanted = bottom[1].shape
        elif count == 0:
            wanted = ()
        else:
            axis = self.canonical_axis(self.param.axis, len(shape))
            if count < -1 or axis + count > len(shape):
                self.fail("axis %d, num_axes %d reach beyond bottom 0 of %d axes" % (axis, count, len(shape)))
            wanted = shape[axis:] if count == -1 else shape[axis:axis + count]
        return new_param(wanted, filler or caffe_pb2.FillerParameter(type="constant", value=default))

    def spread(self, operand):
        """(C, H) -> (C, H, 1): broadcasts over bottom[0] from its right end."""
        return operand.reshape(*operand.shape, *[1] * self.trailing)


@register("Scale")
class ScaleLayer(_BroadcastLayer):
    """top = bottom[0] * scale (+ bias), scale being bottom[1] or learnt; may work in place.

    layer { type: "Scale" bottom: "x" top: "y" scale_param { axis: 1 num_axes: 1 bias_term: true } }

    x (N, C, ...) -> blobs: scale (C,), filled with 1, and bias (C,), filled with 0, unless fillers say otherwise.
    """

    def setup(self, bottom, top):
        self.param = param = self.layer_param.scale_param
        if len(bottom) == 1:
            self.blobs.append(self.make_operand(bottom, param.filler if param.HasField("filler") else None, 1))
        if param.bias_term:
            filler = param.bias_filler if param.HasField("bias_filler") else None
            self.blobs.append(self.make_operand(bottom, filler, 0))

    def function(self, x, scale, bias=None):
        y = x * self.spread(scale)
        return y if bias is None else y + self.spread(bias)


@register("Bias")
class BiasLayer(_BroadcastLayer):
    """top = bottom[0] + bias, bias being bottom[1] or learnt; may work in place.

    layer { type: "Bias" bottom: "x" top: "y" bias_param { axis: 1 filler { type: "constant" value: 0 } } }
    """

    def setup(self, bottom, top):
        self.param = param = self.layer_param.bias_param
        if len(bottom) == 1:
            self.blobs = [self.make_operand(bottom, param.filler if param.HasField("filler") else None, 0)]

    def function(self, x, bias):
        return x + self.spread(bias)
