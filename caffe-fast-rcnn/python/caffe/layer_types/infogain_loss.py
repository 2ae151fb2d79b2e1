"""InfogainLoss: a cost for every pair of label and class."""
import torch

from .. import common
from ..layer import register
from ..proto import caffe_pb2
from ..proto.caffe_pb2 import LossParameter
from .labels import valid_labels
from .probability_loss import LOG_THRESHOLD
from .softmax_loss import NormalizedLoss


@register("InfogainLoss")
class InfogainLoss(NormalizedLoss):
    """Multinomial logistic loss with an infogain matrix H: the mean of -sum_c H[label, c] log(softmax(scores)_c).

    layer { name: "loss" type: "InfogainLoss" bottom: "score" bottom: "label" bottom: "H" top: "loss"
            infogain_loss_param { axis: 1 } loss_param { ignore_label: 255 normalization: VALID } }
    or, H in a file:  infogain_loss_param { source: "H.binaryproto" }

    bottoms: scores (N, C, ...), labels (N, ...), H of C x C numbers; tops: loss (); if asked for, the probabilities.
    A probability counts as at least 1e-20 in the loss.
    A bottom 0 that a Softmax layer makes holds probabilities, as nets for the Caffe of the Fast R-CNN family have it
    (recorded results); one line of the log says so.  Then each row has one label, and loss_param is not read.
    """

    bottoms, tops = (2, 3), (1, 2)
    label_bottoms = (1, 2)

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.takes_probabilities = self.made_by[:1] == ["Softmax"]
        if self.takes_probabilities:
            common.log("infogain_loss_layer.cpp:1", f"Layer {self.name}: a Softmax layer makes bottom 0, which is "
                       "taken for probabilities; Caffe 1.0 would apply another softmax")
            self.ignore_label, self.normalization = None, LossParameter.BATCH_SIZE
        self._matrix = self._matrix_of_file() if len(bottom) == 2 else None

    def _matrix_of_file(self):
        source = self.layer_param.infogain_loss_param.source
        if not source:
            self.fail("give H as a third bottom or as a file in infogain_loss_param.source")
        try:
            with open(source, "rb") as f:
                return torch.tensor(caffe_pb2.BlobProto.FromString(f.read()).data)
        except OSError as e:
            self.fail("infogain_loss_param.source %r: %s" % (source, e.strerror))

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.folded = self._folded_shape(bottom[0].shape)
        outer, classes, inner = self.folded
        if bottom[1].count != outer * inner:
            self.fail("bottom 0 of shape %s wants %d labels, got labels of shape %s"
                      % (bottom[0].shape, outer * inner, bottom[1].shape))
        count = bottom[2].count if self._matrix is None else self._matrix.numel()
        if count != classes ** 2:
            self.fail("H has %d numbers; expected %d x %d for %s" % (count, classes, classes, bottom[0].shape))
        for probabilities in top[1:]:
            probabilities.reshape(*bottom[0].shape)

    def _folded_shape(self, shape):
        """(outer, C, inner) of bottom 0."""
        if self.takes_probabilities:
            return shape[0], torch.Size(shape[1:]).numel(), 1
        axis = self.canonical_axis(self.layer_param.infogain_loss_param.axis, len(shape))
        return torch.Size(shape[:axis]).numel(), shape[axis], torch.Size(shape[axis + 1:]).numel()

    def forward(self, bottom, top):
        prob = bottom[0].tensor.reshape(self.folded)
        if not self.takes_probabilities:
            prob = prob.softmax(1)
        gain, valid, poison = self._gain(bottom)
        normalizer = self.normalizer(gain[:, 0].numel(), self.folded[0], valid)
        self._saved = (prob, gain, normalizer) if self.needs_backward else None
        top[0].tensor = (poison - (gain * prob.clamp(min=LOG_THRESHOLD).log()).sum()) / normalizer
        for probabilities in top[1:]:
            probabilities.tensor = prob.reshape(bottom[0].shape).clone()

    def _gain(self, bottom):
        """(H[label] (outer, C, inner) with zeros where the label is ignored, valid, 0 or nan)."""
        outer, classes, inner = self.folded
        labels, valid, poison = valid_labels(self, bottom[1].tensor.reshape(outer, inner), classes, self.ignore_label)
        matrix = bottom[2].tensor if self._matrix is None else self._matrix
        matrix = matrix.to(device=common.device(), dtype=bottom[0].tensor.dtype)
        gain = matrix.reshape(classes, classes)[labels].transpose(1, 2)
        return gain if valid is None else gain * valid[:, None], valid, poison

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_diffs(propagate_down)
        if not propagate_down[0]:
            return
        prob, gain, normalizer = self._saved
        if self.takes_probabilities:
            diff = -gain / prob.clamp(min=LOG_THRESHOLD)
        else:
            diff = prob * gain.sum(1, keepdim=True) - gain
        bottom[0].diff_tensor = (diff * (top[0].diff_tensor / normalizer)).reshape(bottom[0].shape)
