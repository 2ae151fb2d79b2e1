"""Eltwise: several blobs of one shape made into one."""
import torch

from ..layer import Layer, register
from ..proto.caffe_pb2 import EltwiseParameter

SUM, PROD, MAX = EltwiseParameter.SUM, EltwiseParameter.PROD, EltwiseParameter.MAX


@register("Eltwise")
class EltwiseLayer(Layer):
    """top = sum of coeff[i] * bottom[i], or the product, or the maximum, of two or more bottoms.

    layer { type: "Eltwise" bottom: "a" bottom: "b" top: "y" eltwise_param { operation: SUM coeff: 1 coeff: -1 } }

    SUM is the default, with coefficients 1.  PROD: with stable_prod_grad (the default) a bottom's diff is the product
    of the others; without it top / bottom, which is nan at 0.  MAX: the diff goes to one bottom; of equal numbers
    bottom 1 wins over bottom 0, and later ones win only by being larger, as in Caffe.
    """

    bottoms = (2, None)
    repeatable = True

    def setup(self, bottom, top):
        param = self.layer_param.eltwise_param
        self.operation, self.stable = param.operation, param.stable_prod_grad
        if param.coeff and self.operation != SUM:
            self.fail("coeff is for operation SUM only")
        if param.coeff and len(param.coeff) != len(bottom):
            self.fail("%d coeff for %d bottoms; give none, or one for each" % (len(param.coeff), len(bottom)))
        self.coeff = list(param.coeff) or [1.0] * len(bottom)
        self._inputs = self._top = self._winner = None
        # SUM's backward needs nothing of forward.
        self.reads_top = self.operation == PROD and not self.stable

    def reshape(self, bottom, top):
        for i, blob in enumerate(bottom):
            if blob.shape != bottom[0].shape:
                self.fail("bottom %d has shape %s, bottom 0 %s" % (i, blob.shape, bottom[0].shape))
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        inputs = [self.kept(blob) if blob in top else blob.tensor for blob in bottom]
        y = {SUM: self._sum, PROD: _product, MAX: self._max}[self.operation](inputs)
        if self.needs_backward and self.operation == PROD:
            self._inputs, self._top = inputs, y
        top[0].tensor = y

    def backward(self, top, propagate_down, bottom):
        diff = top[0].diff_tensor
        if self.operation == PROD:
            inputs = [kept if blob in top else blob.tensor for blob, kept in zip(bottom, self._inputs)]
        for i, (blob, wanted) in enumerate(zip(bottom, propagate_down)):
            if not wanted:
                continue
            if self.operation == SUM:
                blob.diff_tensor = diff * self.coeff[i] if self.coeff[i] != 1 else diff
            elif self.operation == MAX:
                blob.diff_tensor = diff * (self._winner == i)
            elif self.stable:
                blob.diff_tensor = diff * _product(inputs[:i] + inputs[i + 1:])
            else:
                blob.diff_tensor = diff * (self.numbers_of(top[0], self._top) / inputs[i])

    def _sum(self, inputs):
        y = inputs[0] * self.coeff[0] if self.coeff[0] != 1 else inputs[0]
        y = torch.add(y, inputs[1], alpha=self.coeff[1])        # a fresh tensor, which later terms may go into
        for x, coeff in zip(inputs[2:], self.coeff[2:]):
            y.add_(x, alpha=coeff)
        return y

    def _max(self, inputs):
        first_wins = inputs[0] > inputs[1]
        y = torch.where(first_wins, inputs[0], inputs[1])
        winner = (~first_wins).to(torch.int32)
        for i, x in enumerate(inputs[2:], 2):
            larger = x > y
            y, winner = torch.where(larger, x, y), winner.masked_fill_(larger, i)
        self._winner = winner if self.needs_backward else None
        return y


def _product(inputs):
    y = inputs[0]
    for x in inputs[1:]:
        y = y * x
    return y
