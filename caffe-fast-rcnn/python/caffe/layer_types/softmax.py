"""Softmax."""
import torch

from ..layer import Layer, register


@register("Softmax")
class Softmax(Layer):
    """exp(x) over its sum along one axis.

    layer { name: "cls_prob" type: "Softmax" bottom: "cls_score" top: "cls_prob" softmax_param { axis: 1 } }

    bottom and top of the same shape, any number of axes; may run in place.
    """

    def setup(self, bottom, top):
        self._prob = None

    def reshape(self, bottom, top):
        self.axis = self.canonical_axis(self.layer_param.softmax_param.axis, len(bottom[0].shape))
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        prob = torch.softmax(bottom[0].tensor, self.axis)
        self._prob = prob if self.needs_backward else None
        top[0].tensor = prob

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            diff = top[0].diff_tensor
            prob = self.numbers_of(top[0], self._prob)
            bottom[0].diff_tensor = torch.ops.aten._softmax_backward_data(diff, prob, self.axis, diff.dtype)
