"""Dropout, with the `scale_train` of the faster-rcnn fork."""
import torch

from .. import common
from ..layer import register
from .neuron import NeuronLayer


@register("Dropout")
class DropoutLayer(NeuronLayer):
    """At TRAIN every number is dropped (set to 0) with probability dropout_ratio.

    layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6"
            dropout_param { dropout_ratio: 0.5 scale_train: false } }

    scale_train true (the default, and BVLC's only way): what stays is multiplied by 1 / (1 - ratio) at TRAIN, and
    nothing happens at TEST.  false: what stays is left as it is, and all is multiplied by 1 - ratio at TEST.
    Draws from caffe's generator (`set_random_seed`).
    """

    def setup(self, bottom, top):
        param = self.layer_param.dropout_param
        if not 0 <= param.dropout_ratio < 1:
            self.fail("dropout_ratio %g; expected 0 <= ratio < 1" % param.dropout_ratio)
        self.keep = 1 - param.dropout_ratio
        self.train, self.scale_train = self.phase == common.TRAIN, param.scale_train
        # Where it does nothing the top is the bottom's memory, which the layer before may still read.
        self.reads_top = self._is_identity = not self.train and self.scale_train
        self._factor = None

    def forward(self, bottom, top):
        if self._is_identity:
            top[0].tensor = bottom[0].tensor
            return
        x = bottom[0].mutable_tensor() if self.may_overwrite else bottom[0].tensor
        factor = self._draw(x) if self.train else self.keep
        top[0].tensor = x.mul_(factor) if self.may_overwrite else x * factor
        self._factor = factor if self.needs_backward else None

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            diff = top[0].diff_tensor
            bottom[0].diff_tensor = diff if self._is_identity else diff * self._factor

    def _draw(self, x):
        """A factor for each number of x: 0 with probability dropout_ratio."""
        mask = torch.empty_like(x).bernoulli_(self.keep, generator=common.generator())
        return mask.div_(self.keep) if self.scale_train else mask
