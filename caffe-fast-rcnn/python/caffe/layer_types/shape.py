"""Layers that show their bottom under another shape, without arithmetic: Reshape and Flatten."""
import math

from ..layer import Layer, register


class ViewLayer(Layer):
    """Base: the top is the bottom's memory under the shape that `top_shape(bottom shape)` gives."""

    reads_top = True        # what the bottom's layer keeps for backward must survive in-place layers on the top
    shares_data = True

    def reshape(self, bottom, top):
        top[0].reshape(*self.top_shape(bottom[0].shape))
        top[0].share_data(bottom[0])

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff_tensor = top[0].diff_tensor.reshape(bottom[0].shape)


@register("Reshape")
class ReshapeLayer(ViewLayer):
    """The bottom's numbers under another shape.

    layer { type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } } }

    dim 0 copies the bottom's axis of the same position, one dim -1 is inferred.  `axis` and `num_axes` (-1: to the end)
    say which axes of the bottom the shape replaces; a negative axis counts from behind the last, so -1 appends axes.
    With zero numbers -1 follows from the axes that are not copied, where Caffe divides by zero.
    """

    def top_shape(self, shape):
        param = self.layer_param.reshape_param
        axes, wanted = len(shape), list(param.shape.dim)
        start = param.axis if param.axis >= 0 else axes + param.axis + 1
        end = axes if param.num_axes == -1 else start + param.num_axes
        if not 0 <= start <= axes:
            self.fail("reshape_param.axis %d outside a bottom of %d axes" % (param.axis, axes))
        if param.num_axes < -1 or end > axes:
            self.fail("reshape_param: axis %d, num_axes %d reach beyond a bottom of %d axes"
                      % (param.axis, param.num_axes, axes))
        return shape[:start] + self._fill_in(shape[start:end], wanted, shape) + shape[end:]

    def _fill_in(self, replaced, wanted, shape):
        """`wanted` with its 0 and -1 replaced by sizes; `replaced` are the sizes that go away."""
        if any(d < -1 for d in wanted) or wanted.count(-1) > 1:
            self.fail("reshape_param.shape %s; expected sizes, 0 to copy, and at most one -1" % wanted)
        copied = [i for i, d in enumerate(wanted) if d == 0]
        if any(i >= len(replaced) for i in copied):
            self.fail("reshape_param.shape %s copies an axis that bottom %s does not have" % (wanted, shape))
        left = math.prod(d for i, d in enumerate(replaced) if i not in copied)
        given = math.prod(d for d in wanted if d > 0)
        if left % given or (-1 not in wanted and left != given):
            self.fail("bottom %s has %d numbers, which cannot take the shape %s"
                      % (shape, math.prod(shape), wanted))
        return tuple(replaced[i] if d == 0 else left // given if d == -1 else d for i, d in enumerate(wanted))


@register("Flatten")
class FlattenLayer(ViewLayer):
    """The axes from `axis` to `end_axis`, both included, become one: (N, C, H, W) -> (N, C*H*W) by default.

    layer { type: "Flatten" bottom: "x" top: "y" flatten_param { axis: 1 end_axis: -1 } }

    With end_axis just before axis none becomes one: an axis of size 1 is put in, (N, C) -> (N, 1, C) for 1 and 0.
    """

    def top_shape(self, shape):
        param = self.layer_param.flatten_param
        start, end = self.canonical_axis(param.axis, len(shape)), self.canonical_axis(param.end_axis, len(shape))
        if end < start - 1:
            self.fail("flatten_param: end_axis %d more than one before axis %d" % (param.end_axis, param.axis))
        return shape[:start] + (math.prod(shape[start:end + 1]),) + shape[end + 1:]
