"""Dropout, with the `scale_train` of the faster-rcnn fork."""
from .. import common
from ..kernels.neuron.dropout import draw, drop
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
        self.scale = 1 / self.keep if self.scale_train else 1
        # Where it does nothing the top is the bottom's memory, which the layer before may still read.
        self.reads_top = self._is_identity = not self.train and self.scale_train
        self._choice = None

    def forward(self, bottom, top):
        if self._is_identity:
            top[0].tensor = bottom[0].tensor
            return
        x = bottom[0].mutable_tensor() if self.may_overwrite else bottom[0].tensor
        if self.train:
            self._choice = draw(x, self.keep, common.generator())
            top[0].tensor = drop(x, self._choice, self.keep, self.scale, self.may_overwrite)
        else:
            top[0].tensor = x.mul_(self.keep) if self.may_overwrite else x * self.keep

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        diff = top[0].diff_tensor
        if self.train:
            diff = drop(diff, self._choice, self.keep, self.scale)
        bottom[0].diff_tensor = diff if self.train or self._is_identity else diff * self.keep
