"""SoftmaxWithLoss and SigmoidCrossEntropyLoss: the two losses with LossParameter's normalisation."""
import torch
import torch.nn.functional as F

from ..layer import register
from ..proto.caffe_pb2 import LossParameter
from .labels import valid_labels
from .loss import LossLayer


class NormalizedLoss(LossLayer):
    """A loss that loss_param divides and that leaves out one label.

    loss_param { normalization: VALID ignore_label: -1 }
    FULL: divide by the number of labels; VALID: by the number of those not ignored; BATCH_SIZE: by the number of rows;
    NONE: by 1; PRE_FIXED: by pre_fixed_normalizer.  Never by less than 1.  `normalize: true` is the old name of VALID,
    `normalize: false` of BATCH_SIZE; a normalization beside it wins.
    """

    default_normalization = LossParameter.VALID

    def setup(self, bottom, top):
        p = self.layer_param.loss_param
        self.ignore_label = p.ignore_label if p.HasField("ignore_label") else None
        self.normalization = self.default_normalization
        if p.HasField("normalization"):
            self.normalization = p.normalization
        elif p.HasField("normalize"):
            self.normalization = LossParameter.VALID if p.normalize else LossParameter.BATCH_SIZE
        self._saved = None

    def normalizer(self, count, rows, valid):
        """The divisor; valid: a bool tensor, or None when nothing is ignored.  A number, or a tensor without axes."""
        mode = self.normalization
        if mode == LossParameter.VALID and valid is not None:
            return valid.sum().clamp(min=1)
        numbers = {LossParameter.FULL: count, LossParameter.VALID: count, LossParameter.BATCH_SIZE: rows,
                   LossParameter.NONE: 1, LossParameter.PRE_FIXED: self.layer_param.loss_param.pre_fixed_normalizer}
        return max(1, numbers[mode])


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(NormalizedLoss):
    """Multinomial logistic loss of the softmax of scores: mean of -log(probability of the label).

    layer { name: "loss_cls" type: "SoftmaxWithLoss" bottom: "cls_score" bottom: "labels" top: "loss_cls"
            loss_weight: 1 softmax_param { axis: 1 } loss_param { ignore_label: -1 normalization: VALID } }

    bottoms: scores (N, C, ...), labels (N, ...) or (N, 1, ...), whole numbers 0 .. C - 1 or ignore_label
    tops: loss (); if asked for, the probabilities, of the scores' shape
    A probability counts as at least FLT_MIN, so one label costs at most 87.34; backward is p - 1 there all the same.
    A label out of range is a CaffeError; on a GPU, where looking would halt it, it makes the loss nan.
    """

    tops = (1, 2)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.axis = self.canonical_axis(self.layer_param.softmax_param.axis, len(shape))
        outer, inner = torch.Size(shape[:self.axis]).numel(), torch.Size(shape[self.axis + 1:]).numel()
        self.folded = (outer, shape[self.axis], inner)
        if bottom[1].count != outer * inner:
            self.fail("scores of shape %s want %d labels (all axes but %d), got labels of shape %s"
                      % (shape, outer * inner, self.axis, bottom[1].shape))
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(*shape)

    def forward(self, bottom, top):
        prob = bottom[0].tensor.reshape(self.folded).softmax(1)             # (outer, C, inner)
        labels, valid, poison = self._labels(bottom)
        cost = -prob.gather(1, labels).clamp(min=torch.finfo(torch.float32).tiny).log()
        if valid is not None:
            cost = cost * valid
        normalizer = self.normalizer(cost.numel(), self.folded[0], valid)
        self._saved = (prob, labels, valid, normalizer) if self.needs_backward else None
        top[0].tensor = (cost.sum() + poison) / normalizer
        if len(top) > 1:
            top[1].tensor = prob.reshape(bottom[0].shape)
        return cost                                                         # (outer, 1, inner), for SoftmaxWithLossOHEM

    def _labels(self, bottom):
        """What valid_labels gives, with labels (outer, 1, inner)."""
        labels = bottom[1].tensor.reshape(self.folded[0], 1, self.folded[2])
        return valid_labels(self, labels, self.folded[1], self.ignore_label)

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_diffs(propagate_down)
        if not propagate_down[0]:
            return
        prob, labels, valid, normalizer = self._saved
        if len(top) > 1:                        # Caffe keeps the probabilities there
            prob = self.numbers_of(top[1], prob).reshape(self.folded)
        if self.changed(bottom[1]):
            labels, valid, _ = self._labels(bottom)
            normalizer = self.normalizer(labels.numel(), self.folded[0], valid)
        diff = prob.scatter_add(1, labels, torch.full_like(labels, -1, dtype=prob.dtype))
        if valid is not None:
            diff *= valid
        bottom[0].diff_tensor = diff.mul_(top[0].diff_tensor / normalizer).reshape(bottom[0].shape)


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(NormalizedLoss):
    """Cross entropy of independent yes/no answers: sum of -(t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid.

    layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "score" bottom: "target" top: "loss"
            loss_param { ignore_label: -1 normalization: BATCH_SIZE } }

    bottoms of one count, targets in [0, 1] or ignore_label; top ().  Divided by the rows (BATCH_SIZE) unless loss_param
    says otherwise.
    """

    default_normalization = LossParameter.BATCH_SIZE

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.check_same_count(bottom)

    def forward(self, bottom, top):
        x = self.kept(bottom[0]) if self.needs_backward else bottom[0].tensor
        target = bottom[1].tensor.reshape(x.shape)
        valid = None if self.ignore_label is None else target.trunc() != self.ignore_label
        cost = F.binary_cross_entropy_with_logits(x, target, weight=valid, reduction="sum")
        normalizer = self.normalizer(x.numel(), x.shape[0], valid)
        self._saved = (x, normalizer) if self.needs_backward else None
        top[0].tensor = cost / normalizer

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_diffs(propagate_down)
        if not propagate_down[0]:
            return
        x, normalizer = self._saved
        target = bottom[1].tensor.reshape(x.shape)
        diff = x.sigmoid() - target
        if self.ignore_label is not None:
            diff *= target.trunc() != self.ignore_label
        bottom[0].diff_tensor = diff.mul_(top[0].diff_tensor / normalizer)
