"""Convolution, Deconvolution and Im2col: one geometry, one pair of kernels."""
import math

import torch.nn.functional as F

from ..filler import new_param
from ..kernels.conv import convolution
from ..kernels.conv.descriptor import ConvolutionDescriptor
from ..kernels.rounding import keep_rounded
from ..layer import Layer, register
from .pooling import LARGEST_WINDOW


class _Geometry:
    """kernel, stride, pad and dilation of a ConvolutionParameter, one number a spatial axis.

    kernel_size, stride, pad and dilation hold one number for all axes or one for each; for two spatial axes kernel_h
    and kernel_w (stride_h ..., pad_h ...) may stand in their place.
    """

    def __init__(self, layer, axes):
        self.layer, self.param, self.axes = layer, layer.layer_param.convolution_param, axes
        self.kernel = self._per_axis("kernel_size", "kernel", None)
        self.stride = self._per_axis("stride", "stride", 1)
        self.pad = self._per_axis("pad", "pad", 0)
        self.dilation = self._per_axis("dilation", None, 1)
        for what, numbers in (("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)):
            if min(numbers) < 1:
                layer.fail("%s %s: every number must be at least 1" % (what, numbers))
        if max(self.kernel + self.stride + self.pad + self.dilation) > LARGEST_WINDOW:
            layer.fail("kernel %s, stride %s, pad %s and dilation %s must be at most 2^30"
                       % (self.kernel, self.stride, self.pad, self.dilation))

    def _per_axis(self, repeated, stem, default):
        p, given = self.param, list(getattr(self.param, repeated))
        if stem and (p.HasField(stem + "_h") or p.HasField(stem + "_w")):
            if self.axes != 2 or given:
                self.layer.fail("%s_h and %s_w need two spatial axes (there are %d) and no %s beside them"
                                % (stem, stem, self.axes, repeated))
            return [getattr(p, stem + "_h"), getattr(p, stem + "_w")]
        if not given and default is None:
            self.layer.fail("no kernel: give kernel_size, or kernel_h and kernel_w")
        given = given or [default]
        if len(given) not in (1, self.axes):
            self.layer.fail("%d numbers of %s for %d spatial axes; give 1 or %d"
                            % (len(given), repeated, self.axes, self.axes))
        return given * (self.axes // len(given))

    def descriptor(self, transposed, groups):
        """The same as the kernels take it."""
        return ConvolutionDescriptor(tuple(self.stride), tuple(self.pad), tuple(self.dilation), transposed, groups)

    def output(self, sizes):
        """Spatial sizes behind a convolution: floor((size + 2 pad - extent) / stride) + 1."""
        out = [(size + 2 * p - (d * (k - 1) + 1)) // s + 1
               for size, k, s, p, d in zip(sizes, self.kernel, self.stride, self.pad, self.dilation)]
        return self._checked(sizes, out)

    def transposed_output(self, sizes):
        """Spatial sizes behind a deconvolution: stride (size - 1) + extent - 2 pad."""
        out = [s * (size - 1) + d * (k - 1) + 1 - 2 * p
               for size, k, s, p, d in zip(sizes, self.kernel, self.stride, self.pad, self.dilation)]
        return self._checked(sizes, out)

    def _checked(self, sizes, out):
        if min(out) < 1:
            self.layer.fail("a bottom of %s pixels gives a top of %s; kernel %s with pad %s does not fit"
                            % (list(sizes), out, self.kernel, self.pad))
        return out


class _BaseConvolution(Layer):
    """What Convolution and Deconvolution share: every bottom is filtered with the same weights into its own top."""

    bottoms = tops = (1, None)
    equal_bottom_top = True
    reads_top = False
    repeatable = True
    transposed = False

    def setup(self, bottom, top):
        p = self.layer_param.convolution_param
        self.axis = self.canonical_axis(p.axis, len(bottom[0].shape))
        axes = len(bottom[0].shape) - self.axis - 1
        if not 1 <= axes <= 3:
            self.fail("bottom %s has %d spatial axes behind axis %d; 1 to 3 are possible"
                      % (bottom[0].shape, axes, self.axis))
        self.geometry = _Geometry(self, axes)
        channels = bottom[0].shape[self.axis]
        if p.num_output < 1 or p.group < 1 or channels < 1 or channels % p.group or p.num_output % p.group:
            self.fail("num_output %d and the bottom's %d channels must be multiples of group %d, and not 0"
                      % (p.num_output, channels, p.group))
        first, second = (channels, p.num_output) if self.transposed else (p.num_output, channels)
        self.blobs = [new_param([first, second // p.group] + self.geometry.kernel, p.weight_filler)]
        if p.bias_term:
            self.blobs.append(new_param([p.num_output], p.bias_filler))
        self.channels = channels
        self.descriptor = self.geometry.descriptor(self.transposed, p.group)

    def reshape(self, bottom, top):
        g = self.geometry
        for b, t in zip(bottom, top):
            if len(b.shape) != self.axis + 1 + g.axes or b.shape[self.axis] != self.channels:
                self.fail("bottom of shape %s; expected %d axes with %d channels on axis %d (its weights are %s)"
                          % (b.shape, self.axis + 1 + g.axes, self.channels, self.axis, self.blobs[0].shape))
            sizes = b.shape[self.axis + 1:]
            sizes = g.transposed_output(sizes) if self.transposed else g.output(sizes)
            t.reshape(*b.shape[:self.axis], self.layer_param.convolution_param.num_output, *sizes)

    def forward(self, bottom, top):
        weight = self.blobs[0].tensor
        bias = self.blobs[1].tensor if len(self.blobs) > 1 else None
        keep_rounded(weight)
        for b, t in zip(bottom, top):
            x = self._images(b.tensor)
            if self.needs_backward:
                keep_rounded(x)
            y = convolution.forward(x, weight, bias, self.descriptor)
            t.tensor = y if y.shape == t.shape else y.reshape(t.shape)

    def backward(self, top, propagate_down, bottom):
        learns = [i < len(self.blobs) and self.learns(i) for i in range(2)]
        for t, down, b in zip(top, propagate_down, bottom):
            wanted = [down] + learns
            if not any(wanted):
                continue
            diffs = convolution.backward(self._images(t.diff_tensor), self._images(b.tensor), self.blobs[0].tensor,
                                         self.descriptor, wanted)
            if down:
                b.diff_tensor = diffs[0] if diffs[0].shape == b.shape else diffs[0].reshape(b.shape)
            for i in range(2):
                if learns[i]:
                    self.blobs[i].add_diff(diffs[i + 1], is_new=True)

    def _images(self, x):
        """All axes before the channels as one: (..., C, spatial...) -> (N, C, spatial...)."""
        return x if self.axis == 1 else x.reshape(-1, *x.shape[self.axis:])


@register("Convolution")
class Convolution(_BaseConvolution):
    """Each top channel is the bottom filtered with one kernel, plus a bias.

    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
            param { lr_mult: 1 } param { lr_mult: 2 }
            convolution_param { num_output: 64 kernel_size: 3 pad: 1 stride: 1 dilation: 1 group: 1 bias_term: true
                                weight_filler { type: "xavier" } bias_filler { type: "constant" } } }

    bottom (N, C, H, W) -> top (N, num_output, floor((H + 2 pad - dilation (kernel - 1) - 1) / stride) + 1, ...)
    blobs: weights (num_output, C / group, kernel_h, kernel_w), bias (num_output)
    One to three spatial axes stand behind `axis` (the channels).  engine and force_nd_im2col are accepted: they choose
    among Caffe's implementations of the same numbers.
    """


@register("Deconvolution")
class Deconvolution(_BaseConvolution):
    """The transpose of Convolution: forward is its backward; made for upsampling.

    layer { name: "up" type: "Deconvolution" bottom: "score" top: "up"
            convolution_param { num_output: 21 kernel_size: 4 stride: 2 weight_filler { type: "bilinear" } } }

    bottom (N, C, H, W) -> top (N, num_output, stride (H - 1) + dilation (kernel - 1) + 1 - 2 pad, ...)
    blobs: weights (C, num_output / group, kernel_h, kernel_w), bias (num_output)
    """

    transposed = True


@register("Im2col")
class Im2col(Layer):
    """The pixels below each position of a kernel as channels.

    layer { name: "cols" type: "Im2col" bottom: "data" top: "cols" convolution_param { kernel_size: 3 pad: 1 } }

    bottom (N, C, H, W) -> top (N, C kernel_h kernel_w, H', W'); channel (c kernel_h + y) kernel_w + x.
    Any number of spatial axes, at least one, follows `axis` (the channels).
    """

    def setup(self, bottom, top):
        self.axis = self.canonical_axis(self.layer_param.convolution_param.axis, len(bottom[0].shape))
        axes = len(bottom[0].shape) - self.axis - 1
        if axes < 1:
            self.fail("bottom %s has no spatial axis after axis %d" % (bottom[0].shape, self.axis))
        self.geometry = _Geometry(self, axes)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        if len(shape) != self.axis + 1 + self.geometry.axes:
            self.fail("bottom of shape %s; expected %d axes" % (shape, self.axis + 1 + self.geometry.axes))
        channels = shape[self.axis] * math.prod(self.geometry.kernel)
        top[0].reshape(*shape[:self.axis], channels, *self.geometry.output(shape[self.axis + 1:]))
        padded = [size + 2 * pad for size, pad in zip(shape[self.axis + 1:], self.geometry.pad)]
        self.require_memory(math.prod(shape[:self.axis + 1]) * math.prod(padded), "its padded bottom")

    def function(self, x):
        g, first, axes = self.geometry, self.axis + 1, self.geometry.axes
        windows = F.pad(x, [p for pad in reversed(g.pad) for p in (pad, pad)])
        for i in range(axes):
            extent = g.dilation[i] * (g.kernel[i] - 1) + 1
            windows = windows.unfold(first + i, extent, g.stride[i])[..., ::g.dilation[i]]
        places, offsets = range(first, first + axes), range(first + axes, first + 2 * axes)
        cols = windows.permute(*range(first), *offsets, *places)            # (..., C, kernel..., H', W')
        channels = x.shape[self.axis] * math.prod(g.kernel)
        return cols.reshape(*x.shape[:self.axis], channels, *cols.shape[first + axes:])
