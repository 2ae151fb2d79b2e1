"""The base of loss layers and the losses on pairs of vectors: EuclideanLoss, SmoothL1Loss, ContrastiveLoss.

A loss is one number (a top without axes).  Its diff is the loss weight, put there by Net; backward multiplies by it.
Sums are divided by max(1, number of rows): a batch without rows has loss 0, not nan.
"""
import torch

from ..layer import Layer, register


class LossLayer(Layer):
    """Two bottoms, predictions and truth, of as many rows; the top is made when the prototxt names none."""

    bottoms, tops = (2, 2), (1, 1)
    is_loss = auto_top = True
    reads_top = False
    label_bottoms: tuple[int, ...] = (1,)        # bottoms that have no derivative

    def reshape(self, bottom, top):
        if not (bottom[0].shape and bottom[1].shape):
            self.fail("bottoms of shapes %s and %s; expected a row for each example"
                      % (bottom[0].shape, bottom[1].shape))
        if bottom[0].shape[:1] != bottom[1].shape[:1]:
            self.fail("bottoms of shapes %s and %s; expected as many rows in both" % (bottom[0].shape, bottom[1].shape))
        top[0].reshape()

    def allow_force_backward(self, bottom_index):
        return bottom_index not in self.label_bottoms

    def refuse_label_diffs(self, propagate_down):
        """Raise CaffeError when backward is asked for the diff of a label."""
        for i in self.label_bottoms:
            if i < len(propagate_down) and propagate_down[i]:
                self.fail("bottom %d holds labels (or constants), which have no diff; give propagate_down: false for it"
                          % i)

    def check_same_count(self, bottom):
        if bottom[0].count != bottom[1].count:
            self.fail("bottoms of shapes %s and %s; expected as many numbers in both"
                      % (bottom[0].shape, bottom[1].shape))


def legacy_shape(blob):
    """(N, C, H, W) of a blob of up to four axes, missing ones 1."""
    return blob.num, blob.channels, blob.height, blob.width


def rows(blob):
    """Number of rows to divide by, at least 1."""
    return max(1, blob.shape[0] if blob.shape else 1)


@register("EuclideanLoss")
class EuclideanLoss(LossLayer):
    """Half the squared distance, per row: sum((a - b)^2) / (2 rows).

    layer { name: "loss" type: "EuclideanLoss" bottom: "pred" bottom: "target" top: "loss" }

    bottoms of one count, top ().  Both bottoms have a diff.
    """

    label_bottoms = ()

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        self.check_same_count(bottom)

    def forward(self, bottom, top):
        difference = bottom[0].tensor.reshape(-1) - bottom[1].tensor.reshape(-1)
        self._difference = difference if self.needs_backward else None
        top[0].tensor = difference.dot(difference) / (2 * rows(bottom[0]))

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                diff = self._difference * (top[0].diff_tensor * (sign / rows(bottom[0])))
                bottom[i].diff_tensor = diff.reshape(bottom[i].shape)


@register("SmoothL1Loss")
class SmoothL1Loss(LossLayer):
    """The robust loss of Fast R-CNN's box regression: sum(outside * f(inside * (pred - target))) / rows.

    layer { name: "loss_bbox" type: "SmoothL1Loss" bottom: "bbox_pred" bottom: "bbox_targets"
            bottom: "bbox_inside_weights" bottom: "bbox_outside_weights" top: "loss_bbox" loss_weight: 1
            smooth_l1_loss_param { sigma: 1 } }

    f(d) = (sigma d)^2 / 2 where |d| < 1 / sigma^2, else |d| - 1 / (2 sigma^2)
    bottoms: pred, target and none or both of the weights, all of one shape (axes of size 1 may be left out at the
    end); top ().
    pred and target have a diff; that of the weights is 0.  Unlike other losses this one counts into the objective only
    where the prototxt gives loss_weight: the layer of the faster-rcnn fork does not ask for the default of 1
    (recorded results: with no loss_weight the top's diff is 0).
    """

    bottoms = (2, 4)
    is_loss = False
    label_bottoms = ()

    def setup(self, bottom, top):
        if len(bottom) == 3:
            self.fail("expected 2 bottoms (pred, target) or 4 (and inside, outside weights), got 3")

    def reshape(self, bottom, top):
        for i, b in enumerate(bottom[1:], 1):
            if legacy_shape(b) != legacy_shape(bottom[0]):
                self.fail("bottom %d has shape %s, bottom 0 %s; all must be of one shape"
                          % (i, b.shape, bottom[0].shape))
        top[0].reshape()

    def forward(self, bottom, top):
        sigma2 = self.layer_param.smooth_l1_loss_param.sigma ** 2
        pred, target, *weights = self._folded(bottom)
        d = pred - target
        if weights:
            d = d * weights[0]
        self._d = d if self.needs_backward else None
        size = d.abs()
        loss = torch.where(size < 1 / sigma2, 0.5 * sigma2 * d * d, size - 0.5 / sigma2)
        if weights:
            loss = loss * weights[1]
        top[0].tensor = loss.sum() / rows(bottom[0])

    def backward(self, top, propagate_down, bottom):
        sigma2 = self.layer_param.smooth_l1_loss_param.sigma ** 2
        if any(propagate_down[:2]):
            # f'(d) = sigma^2 d inside, sign(d) outside: one clamp
            diff = (self._d * sigma2).clamp_(-1, 1) * (top[0].diff_tensor / rows(bottom[0]))
            if len(bottom) == 4:
                inside, outside = self._folded(bottom)[2:]
                diff = diff * inside * outside
        for i, down in enumerate(propagate_down):
            if down:
                bottom[i].diff_tensor = ((diff, -diff)[i].reshape(bottom[i].shape) if i < 2
                                         else torch.zeros_like(bottom[i].tensor))

    @staticmethod
    def _folded(bottom):
        """The bottoms' tensors, all of the first one's shape."""
        return [b.tensor.reshape(bottom[0].shape) for b in bottom]


@register("ContrastiveLoss")
class ContrastiveLoss(LossLayer):
    """Pulls pairs of vectors together (label 1) or pushes them a margin apart (label 0).

    layer { name: "loss" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "similar" top: "loss"
            contrastive_loss_param { margin: 1 legacy_version: false } }

    bottoms a, b (N, C) and similar (N); top ().  d = |a - b|:  sum(d^2 or max(margin - d, 0)^2) / (2 N);
    legacy_version: max(margin - d^2, 0) for label 0.
    Backward divides by d + 1e-4, as Caffe does, so that equal vectors have a finite diff.
    """

    bottoms = (3, 3)
    label_bottoms = (2,)

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        if bottom[0].count != bottom[1].count or bottom[2].count != bottom[0].shape[0]:
            self.fail("bottoms of shapes %s; expected (N, C), (N, C), (N)" % (tuple(b.shape for b in bottom),))

    def forward(self, bottom, top):
        p, n = self.layer_param.contrastive_loss_param, bottom[0].shape[0]
        difference = bottom[0].tensor.reshape(-1) - bottom[1].tensor.reshape(-1)
        difference = difference.reshape(n, bottom[0].count // max(1, n))                # (N, C)
        squared = (difference * difference).sum(1)
        similar = _are_similar(bottom)
        if p.legacy_version:
            apart = (p.margin - squared).relu()
        else:
            apart = (p.margin - squared.sqrt()).relu().square()
        self._saved = (difference, squared) if self.needs_backward else None
        top[0].tensor = torch.where(similar, squared, apart).sum() / (2 * rows(bottom[0]))

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_diffs(propagate_down)
        p = self.layer_param.contrastive_loss_param
        difference, squared = self._saved
        similar = _are_similar(bottom)
        if p.legacy_version:
            apart = -(squared < p.margin).to(squared.dtype)
        else:
            distance = squared.sqrt()
            apart = -(p.margin - distance).relu() / (distance + 1e-4)
        factor = torch.where(similar, 1, apart) * (top[0].diff_tensor / rows(bottom[0]))
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff_tensor = (difference * (sign * factor)[:, None]).reshape(bottom[i].shape)


def _are_similar(bottom):
    """(N,) bool: the labels of ContrastiveLoss as they are now."""
    return bottom[2].tensor.reshape(-1).trunc() != 0
