"""R-FCN's online hard example mining: losses that also give one number a RoI, and the choice of the hardest RoIs.

The net computes the losses of all RoIs once, BoxAnnotatorOHEM keeps the labels and box weights of the hardest ones of
each image, and a second pair of loss layers on the same scores learns from those alone (R-FCN, section 2).
"""
import torch

from ..layer import Layer, register
from .loss import legacy_shape
from .softmax_loss import NormalizedLoss, SoftmaxWithLoss


@register("SoftmaxWithLossOHEM")
class SoftmaxWithLossOHEM(SoftmaxWithLoss):
    """SoftmaxWithLoss with a third top: the loss of every label by itself, neither weighted nor divided.

    layer { name: "per_roi_loss_cls" type: "SoftmaxWithLossOHEM" bottom: "cls_score" bottom: "labels"
            top: "temp_loss_cls" top: "temp_prob_cls" top: "per_roi_loss_cls"
            loss_weight: 0 loss_weight: 0 loss_weight: 0 propagate_down: false propagate_down: false }

    Third top: of the labels' shape on four axes, (N, 1, 1, 1) for labels (N); 0 where the label is ignored.  No
    gradient comes from it.
    """

    tops = (1, 3)

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        if len(top) > 2:
            top[2].reshape(*legacy_shape(bottom[1]))

    def forward(self, bottom, top):
        cost = super().forward(bottom, top)
        if len(top) > 2:
            top[2].tensor = cost.reshape(top[2].shape)


@register("SmoothL1LossOHEM")
class SmoothL1LossOHEM(NormalizedLoss):
    """Smooth L1 loss of R-FCN, sum(f(weights * (pred - target))) over the divisor of loss_param, and the loss per RoI.

    layer { name: "loss_bbox" type: "SmoothL1LossOHEM" bottom: "bbox_pred" bottom: "bbox_targets"
            bottom: "bbox_loss_weights_ohem" top: "loss_bbox" loss_weight: 1
            loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }
            propagate_down: true propagate_down: false propagate_down: false }

    f(d) = d^2 / 2 where |d| < 1, else |d| - 1 / 2
    bottoms: pred (N, C, H, W), target and perhaps weights of that shape (axes of size 1 may be left out at the end)
    tops: loss (); if asked for (N, 1, H, W), the sum over C neither weighted nor divided, which passes no gradient
    loss_param's VALID and FULL divide by N * H * W, BATCH_SIZE by N, PRE_FIXED by pre_fixed_normalizer, NONE by 1.
    backward is the derivative; R-FCN's own leaves out its factor `weights`, which is the same for weights 0 and 1.
    """

    bottoms, tops = (2, 3), (1, 2)
    label_bottoms = (2,)

    def reshape(self, bottom, top):
        self.folded = legacy_shape(bottom[0])
        for i, b in enumerate(bottom[1:], 1):
            if legacy_shape(b) != self.folded:
                self.fail("bottom %d has shape %s, bottom 0 %s; all must be of one shape"
                          % (i, b.shape, bottom[0].shape))
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(self.folded[0], 1, *self.folded[2:])

    def forward(self, bottom, top):
        pred, target, *weights = [b.tensor.reshape(self.folded) for b in bottom]
        d = pred - target
        if weights:
            d = d * weights[0]
        size = d.abs()
        each = torch.where(size < 1, 0.5 * d * d, size - 0.5).sum(1, keepdim=True)      # (N, 1, H, W)
        normalizer = self.normalizer(each.numel(), self.folded[0], None)
        self._saved = (d, normalizer) if self.needs_backward else None
        top[0].tensor = each.sum() / normalizer
        if len(top) > 1:
            top[1].tensor = each

    def backward(self, top, propagate_down, bottom):
        self.refuse_label_diffs(propagate_down)
        if not any(propagate_down):
            return
        d, normalizer = self._saved
        diff = d.clamp(-1, 1) * (top[0].diff_tensor / normalizer)
        if len(bottom) == 3:
            diff = diff * bottom[2].tensor.reshape(self.folded)
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff_tensor = (sign * diff).reshape(bottom[i].shape)


@register("BoxAnnotatorOHEM")
class BoxAnnotatorOHEM(Layer):
    """Keeps the labels and box weights of the roi_per_img RoIs of largest loss of each image; the others learn nothing.

    layer { name: "annotator_detector" type: "BoxAnnotatorOHEM" bottom: "rois" bottom: "per_roi_loss" bottom: "labels"
            bottom: "bbox_inside_weights" top: "labels_ohem" top: "bbox_loss_weights_ohem"
            box_annotator_ohem_param { roi_per_img: 128 ignore_label: -1 }
            propagate_down: false propagate_down: false propagate_down: false propagate_down: false }

    bottoms: rois (N, 5), loss (N), labels (N), box weights (N, C), each perhaps with axes H, W behind; N may be 0
    tops: labels (N, 1, H, W), ignore_label for the RoIs that are left out; box weights (N, C, H, W), 0 for those
    Of equal losses the first RoIs are kept.  Nothing is passed backward.
    """

    bottoms, tops = (4, 4), (2, 2)
    reads_top = False

    def setup(self, bottom, top):
        self.param = self.layer_param.box_annotator_ohem_param
        if self.param.roi_per_img < 1:
            self.fail("roi_per_img %d; expected how many RoIs of an image learn, such as 128" % self.param.roi_per_img)

    def reshape(self, bottom, top):
        num, _, height, width = legacy_shape(bottom[0])
        for i, channels in enumerate((5, 1, 1, bottom[3].channels)):
            if legacy_shape(bottom[i]) != (num, channels, height, width):
                self.fail("bottom %d has shape %s; expected (N, %d) beside rois of shape %s"
                          % (i, bottom[i].shape, channels, bottom[0].shape))
        top[0].reshape(num, 1, height, width)
        top[1].reshape(num, bottom[3].channels, height, width)

    def forward(self, bottom, top):
        rois, loss, labels, weights = [b.tensor.reshape(legacy_shape(b)) for b in bottom]
        kept = hardest_of_each(rois[:, 0].flatten(), loss.flatten(), self.param.roi_per_img).reshape(labels.shape)
        top[0].tensor = torch.where(kept, labels, self.param.ignore_label)
        top[1].tensor = torch.where(kept, weights, 0)

    def backward(self, top, propagate_down, bottom):
        for blob, down in zip(bottom, propagate_down):
            if down:
                blob.diff_tensor = torch.zeros_like(blob.tensor)

    def allow_force_backward(self, bottom_index):
        return False


def hardest_of_each(image, loss, count):
    """image, loss (N) -> bool (N): whether the RoI is among the `count` of largest loss of its image.

    Sorts twice instead of visiting the images, so that a GPU need not wait for the number of images.
    """
    by_loss = loss.argsort(descending=True, stable=True)
    by_image, order = image[by_loss].sort(stable=True)          # images in order, each by falling loss
    places = torch.arange(len(image), device=image.device)
    rank = places - torch.searchsorted(by_image, by_image)      # place in the list of its own image
    return torch.zeros_like(image, dtype=torch.bool).scatter_(0, by_loss[order], rank < count)
