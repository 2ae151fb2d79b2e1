"""Accuracy: how often the label is among the highest scores."""
import torch

from ..layer import Layer, register
from .labels import valid_labels


@register("Accuracy")
class Accuracy(Layer):
    """The share of labels whose score is among the top_k highest; has no backward.

    layer { name: "accuracy" type: "Accuracy" bottom: "cls_score" bottom: "label" top: "accuracy"
            accuracy_param { top_k: 1 axis: 1 ignore_label: -1 } }

    bottoms: scores (N, C, ...), labels (N, ...); tops: accuracy (); if asked for, the accuracy of each class (C), 0 for
    a class without labels.  Another class with the same score as the label's counts as higher, as in BVLC's Caffe: a
    net that says the same for all classes is not right.  Without labels (none, or all ignored) the accuracy is 0.
    """

    bottoms, tops, reads_top = (2, 2), (1, 2), False

    def setup(self, bottom, top):
        p = self.layer_param.accuracy_param
        self.ignore_label = p.ignore_label if p.HasField("ignore_label") else None

    def reshape(self, bottom, top):
        p, shape = self.layer_param.accuracy_param, bottom[0].shape
        axis = self.canonical_axis(p.axis, len(shape))
        self.folded = (torch.Size(shape[:axis]).numel(), shape[axis], torch.Size(shape[axis + 1:]).numel())
        if p.top_k > shape[axis]:
            self.fail("top_k %d of %d classes" % (p.top_k, shape[axis]))
        if bottom[1].count != self.folded[0] * self.folded[2]:
            self.fail("scores of shape %s want %d labels (all axes but %d), got labels of shape %s"
                      % (shape, self.folded[0] * self.folded[2], axis, bottom[1].shape))
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(shape[axis])

    def forward(self, bottom, top):
        outer, classes, inner = self.folded
        scores = bottom[0].tensor.reshape(self.folded)
        labels = bottom[1].tensor.reshape(outer, 1, inner)
        labels, valid, poison = valid_labels(self, labels, classes, self.ignore_label)
        better = (scores >= scores.gather(1, labels)).sum(1, keepdim=True) - 1      # but for the label itself
        counts = torch.ones_like(labels, dtype=scores.dtype) if valid is None else valid.to(scores.dtype)
        right = (better < self.layer_param.accuracy_param.top_k) * counts
        top[0].tensor = (right.sum() + poison) / counts.sum().clamp(min=1)
        if len(top) > 1:
            hits, all_ = (scores.new_zeros(classes).scatter_add_(0, labels.reshape(-1), x.reshape(-1))
                          for x in (right, counts))
            top[1].tensor = hits / all_.clamp(min=1)

    def backward(self, top, propagate_down, bottom):
        if any(propagate_down):
            self.fail("has no backward; give propagate_down: false for its bottoms")

    def allow_force_backward(self, bottom_index):
        return False
