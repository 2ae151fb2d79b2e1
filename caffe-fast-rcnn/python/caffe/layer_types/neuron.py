"""Neuron layers: the top has the bottom's shape, every number depends on one number; all may work in place.

    layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }       # in place
"""
import math

import torch
from torch.nn import functional

from ..filler import new_param
from ..layer import Layer, register
from ..proto import caffe_pb2

_aten = torch.ops.aten


class NeuronLayer(Layer):
    """Base: one bottom, one top of its shape."""

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)


class TopNeuronLayer(NeuronLayer):
    """Base of layers whose backward is a function of the top: `gradient(diff, y)`."""

    def setup(self, bottom, top):
        self._top = None

    def forward(self, bottom, top):
        y = self.function(bottom[0].tensor)
        self._top = y if self.needs_backward else None
        top[0].tensor = y

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff_tensor = self.gradient(top[0].diff_tensor, self.numbers_of(top[0], self._top))

    def release(self):
        self._top = None


@register("ReLU")
class ReLULayer(NeuronLayer):
    """top = max(bottom, 0), or negative_slope * bottom where bottom <= 0.

    layer { type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: 0.1 } }      # the slope defaults to 0

    The derivative at 0 is negative_slope, as Caffe's.  Keeps the top for backward, which tells the bottom's sign as
    long as the slope is not negative; the bottom's sign itself otherwise.
    """

    repeatable = True

    def setup(self, bottom, top):
        self.slope = self.layer_param.relu_param.negative_slope
        self._top = self._positive = None

    def forward(self, bottom, top):
        x, repeats = self.rows_of(bottom[0])
        self._positive = x > 0 if self.needs_backward and self.slope < 0 else None
        if self.slope:
            y = (functional.leaky_relu_ if self.may_overwrite else functional.leaky_relu)(x, self.slope)
        else:
            y = x.relu_() if self.may_overwrite else x.relu()
        self._top = y if self.needs_backward and self.slope >= 0 else None
        top[0].set_rows(y, repeats)

    def release(self):
        self._top = self._positive = None

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        diff, y, positive = top[0].diff_tensor, self._top, self._positive
        if bottom[0] is top[0]:
            y = None if y is None else self.numbers_of(top[0], y)
        elif self.changed(bottom[0]):       # only the signs of y count, which are those of the bottom
            y, positive = bottom[0].tensor, None if positive is None else bottom[0].tensor > 0
        if positive is not None:
            bottom[0].diff_tensor = torch.where(positive, diff, diff * self.slope)
        elif self.slope:
            bottom[0].diff_tensor = _aten.leaky_relu_backward(diff, y, self.slope, True)
        else:
            bottom[0].diff_tensor = _aten.threshold_backward(diff, y, 0)


@register("PReLU")
class PReLULayer(NeuronLayer):
    """top = bottom where bottom > 0, else slope * bottom; one learnt slope a channel, or one of all.

    layer { type: "PReLU" bottom: "x" top: "y"
            prelu_param { channel_shared: true filler { type: "constant" value: 0.25 } } }

    bottom (N, C, ...); blobs[0]: slopes (C,), or () when channel_shared.  The filler defaults to the constant 0.25.
    """

    def setup(self, bottom, top):
        param = self.layer_param.prelu_param
        if len(bottom[0].shape) < 2:
            self.fail("bottom %s has fewer than 2 axes (N, C, ...)" % (bottom[0].shape,))
        filler = param.filler if param.HasField("filler") else caffe_pb2.FillerParameter(type="constant", value=0.25)
        self.blobs = [new_param(() if param.channel_shared else (bottom[0].shape[1],), filler)]

    def reshape(self, bottom, top):
        slopes = self.blobs[0].shape
        if slopes and bottom[0].shape[1] != slopes[0]:
            self.fail("bottom has %d channels, there are %d slopes" % (bottom[0].shape[1], slopes[0]))
        super().reshape(bottom, top)

    def function(self, x, slope):
        if slope.dim():
            slope = slope.reshape(-1, *[1] * (x.dim() - 2))         # (C,) -> (C, 1, 1)
        return torch.where(x > 0, x, slope * x)


@register("ELU")
class ELULayer(TopNeuronLayer):
    """top = bottom where bottom > 0, else alpha * (exp(bottom) - 1).

    layer { type: "ELU" bottom: "x" top: "y" elu_param { alpha: 1 } }
    """

    def function(self, x):
        return functional.elu(x, self.layer_param.elu_param.alpha)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        diff, y = top[0].diff_tensor, self.numbers_of(top[0], self._top)
        sign_of = y if bottom[0] is top[0] else bottom[0].tensor
        bottom[0].diff_tensor = torch.where(sign_of > 0, diff, diff * (y + self.layer_param.elu_param.alpha))


@register("Sigmoid")
class SigmoidLayer(TopNeuronLayer):
    """top = 1 / (1 + exp(-bottom)).

    layer { type: "Sigmoid" bottom: "x" top: "y" }
    """

    def function(self, x):
        return x.sigmoid()

    def gradient(self, diff, y):
        return _aten.sigmoid_backward(diff, y)


@register("TanH")
class TanHLayer(TopNeuronLayer):
    """top = tanh(bottom).

    layer { type: "TanH" bottom: "x" top: "y" }
    """

    def function(self, x):
        return x.tanh()

    def gradient(self, diff, y):
        return _aten.tanh_backward(diff, y)


@register("AbsVal")
class AbsValLayer(NeuronLayer):
    """top = |bottom|; the derivative at 0 is 0.

    layer { type: "AbsVal" bottom: "x" top: "y" }
    """

    def function(self, x):
        return x.abs()


@register("BNLL")
class BNLLLayer(NeuronLayer):
    """Binomial normal log likelihood: top = log(1 + exp(bottom)), without overflow.

    layer { type: "BNLL" bottom: "x" top: "y" }
    """

    def function(self, x):
        return torch.logaddexp(x, torch.zeros_like(x))


@register("Power")
class PowerLayer(NeuronLayer):
    """top = (shift + scale * bottom) ^ power.

    layer { type: "Power" bottom: "x" top: "y" power_param { power: 2 scale: 0.5 shift: 1 } }

    power * scale = 0 makes the top the constant shift ^ power (1 for power 0) whatever the bottom, with zero diff.
    """

    def function(self, x):
        param = self.layer_param.power_param
        if param.power * param.scale == 0:
            return torch.full_like(x, param.shift) ** param.power
        y = x * param.scale + param.shift
        return y if param.power == 1 else y ** param.power


@register("Exp")
class ExpLayer(TopNeuronLayer):
    """top = base ^ (shift + scale * bottom).

    layer { type: "Exp" bottom: "x" top: "y" exp_param { base: 2 scale: 0.5 shift: 1 } }

    base -1, the default, is e; any other must be positive.
    """

    def setup(self, bottom, top):
        super().setup(bottom, top)
        param = self.layer_param.exp_param
        if param.base != -1 and not param.base > 0:
            self.fail("exp_param.base %g; expected a positive number, or -1 for e" % param.base)
        self.log_base = 1.0 if param.base == -1 else math.log(param.base)

    def function(self, x):
        param = self.layer_param.exp_param
        return ((x * param.scale + param.shift) * self.log_base).exp()

    def gradient(self, diff, y):
        return diff * y * (self.log_base * self.layer_param.exp_param.scale)


@register("Log")
class LogLayer(NeuronLayer):
    """top = log(shift + scale * bottom) to a base.

    layer { type: "Log" bottom: "x" top: "y" log_param { base: 10 scale: 1 shift: 0.001 } }

    base -1, the default, is e; any other must be positive and not 1.
    """

    def setup(self, bottom, top):
        param = self.layer_param.log_param
        if param.base != -1 and (not param.base > 0 or param.base == 1):
            self.fail("log_param.base %g; expected a positive number other than 1, or -1 for e" % param.base)
        self.log_base = 1.0 if param.base == -1 else math.log(param.base)

    def function(self, x):
        param = self.layer_param.log_param
        return (x * param.scale + param.shift).log() / self.log_base


@register("Threshold")
class ThresholdLayer(NeuronLayer):
    """top = 1 where bottom > threshold, else 0.  It has no gradient, as in Caffe: backward into it is an error.

    layer { type: "Threshold" bottom: "x" top: "y" threshold_param { threshold: 0.5 } }
    """

    def forward(self, bottom, top):
        x = bottom[0].tensor
        top[0].tensor = (x > self.layer_param.threshold_param.threshold).to(x.dtype)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            self.fail("has no gradient; set propagate_down: false, or put no loss behind it")


@register("Clip")
class ClipLayer(NeuronLayer):
    """top = bottom limited to [min, max]; the diff passes where min <= bottom <= max.

    layer { type: "Clip" bottom: "x" top: "y" clip_param { min: -1 max: 1 } }
    """

    def setup(self, bottom, top):
        param = self.layer_param.clip_param
        if not param.min <= param.max:
            self.fail("clip_param: min %g above max %g" % (param.min, param.max))

    def function(self, x):
        return x.clamp(self.layer_param.clip_param.min, self.layer_param.clip_param.max)


@register("Swish")
class SwishLayer(TopNeuronLayer):
    """top = bottom * sigmoid(beta * bottom); beta is a setting, not learnt.

    layer { type: "Swish" bottom: "x" top: "y" swish_param { beta: 1 } }
    """

    def forward(self, bottom, top):
        x = bottom[0].tensor
        sigmoid = (x * self.layer_param.swish_param.beta).sigmoid()
        y = x * sigmoid
        self._sigmoid, self._top = (sigmoid, y) if self.needs_backward else (None, None)
        top[0].tensor = y

    def gradient(self, diff, y):
        beta_y = y * self.layer_param.swish_param.beta
        return diff * (beta_y + self._sigmoid * (1 - beta_y))

    def release(self):
        self._sigmoid = self._top = None
