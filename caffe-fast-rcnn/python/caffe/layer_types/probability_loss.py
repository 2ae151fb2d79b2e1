"""Losses of probabilities or margins by label: MultinomialLogisticLoss, HingeLoss."""
import torch

from ..layer import register
from ..proto import caffe_pb2
from .labels import valid_labels
from .loss import LossLayer, rows

LOG_THRESHOLD = 1e-20      # smaller probabilities count as this; Caffe's kLOG_THRESHOLD


class _LabelLoss(LossLayer):
    """Scores (N, C) in any number of axes and one label a row."""

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        if bottom[1].count != bottom[0].shape[0]:
            self.fail("expected one label a row, got labels of shape %s for %s" % (bottom[1].shape, bottom[0].shape))
        self.folded = (bottom[0].shape[0], torch.Size(bottom[0].shape[1:]).numel())      # (N, C)

    def labels(self, bottom):
        """((N, 1) indices, 0 or nan)."""
        labels, _, poison = valid_labels(self, bottom[1].tensor.reshape(-1, 1), self.folded[1])
        return labels, poison


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(_LabelLoss):
    """Mean of -log(probability of the label), for probabilities that are computed elsewhere.

    layer { name: "loss" type: "MultinomialLogisticLoss" bottom: "prob" bottom: "label" top: "loss" }

    bottoms: probabilities (N, C), labels (N); top ().  A probability counts as at least 1e-20.
    """

    def forward(self, bottom, top):
        _, picked, poison = self._picked(bottom)
        top[0].tensor = (poison - picked.log().sum()) / rows(bottom[0])

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_diffs(propagate_down)
        if propagate_down[0]:
            labels, picked, _ = self._picked(bottom)
            diff = torch.zeros_like(bottom[0].tensor).reshape(self.folded)
            diff.scatter_(1, labels, (-top[0].diff_tensor / rows(bottom[0])) / picked)
            bottom[0].diff_tensor = diff.reshape(bottom[0].shape)

    def _picked(self, bottom):
        """(labels (N, 1), their probabilities (N, 1), 0 or nan)."""
        labels, poison = self.labels(bottom)
        return labels, bottom[0].tensor.reshape(self.folded).gather(1, labels).clamp(min=LOG_THRESHOLD), poison


@register("HingeLoss")
class HingeLoss(_LabelLoss):
    """One-against-all margins: sum of max(0, 1 - x) for the label's score and max(0, 1 + x) for the others, per row.

    layer { name: "loss" type: "HingeLoss" bottom: "score" bottom: "label" top: "loss" hinge_loss_param { norm: L1 } }

    bottoms: scores (N, C), labels (N); top ().  norm L2: the sum of the margins' squares.
    """

    def forward(self, bottom, top):
        labels, poison = self.labels(bottom)
        scores = bottom[0].tensor.reshape(self.folded)
        margin = (1 + _signs(scores, labels) * scores).relu_()
        self._margin = margin
        total = margin.square().sum() if self._squared() else margin.sum()
        top[0].tensor = (total + poison) / rows(bottom[0])

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_diffs(propagate_down)
        if propagate_down[0]:
            margin = self._margin
            sign = _signs(margin, self.labels(bottom)[0])
            slope = 2 * margin if self._squared() else margin.sign()
            bottom[0].diff_tensor = (slope * sign * (top[0].diff_tensor / rows(bottom[0]))).reshape(bottom[0].shape)

    def _squared(self):
        return self.layer_param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2


def _signs(like, labels):
    """-1 for the label of each row (N, 1), 1 for the other classes, (N, C)."""
    return torch.ones_like(like).scatter_(1, labels, -1)
