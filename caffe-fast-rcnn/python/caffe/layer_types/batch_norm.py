"""BatchNorm: each channel to mean 0, variance 1 by the batch's statistics, or by their running averages."""
import torch

from .. import common
from ..blob import Blob
from ..layer import Layer, register


@register("BatchNorm")
class BatchNorm(Layer):
    """(x - mean) / sqrt(variance + eps) of each channel; a Scale layer behind it brings gamma and beta.

    layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "bn1"
            batch_norm_param { use_global_stats: false moving_average_fraction: 0.999 eps: 1e-5 } }

    bottom and top (N, C, ...), or (N) as one channel; may run in place.
    use_global_stats: unless given, true in TEST and false in TRAIN.
    blobs: sum of means (C), sum of variances (C), weight of the sums (1): the statistics are the first two over the
    third (0 over 0 counts as 0), as caffemodels hold them.  Every forward pass in TRAIN multiplies all three by
    moving_average_fraction and adds the batch's mean, its unbiased variance, and 1.  The solver must leave them alone:
    their lr_mult is 0; a prototxt that says otherwise is refused, as in Caffe.
    """

    def setup(self, bottom, top):
        p, params = self.layer_param.batch_norm_param, self.layer_param.param
        self.global_stats = p.use_global_stats if p.HasField("use_global_stats") else self.phase == common.TEST
        self.repeatable = self.global_stats
        shape = bottom[0].shape
        if not shape:
            self.fail("the bottom has no axes; expected (N), or (N, C, ...)")
        self.channels = shape[1] if len(shape) > 1 else 1
        self.blobs = [Blob(self.channels), Blob(self.channels), Blob(1)]
        for i in range(len(self.blobs)):
            if i == len(params):
                params.add(lr_mult=0)
            elif params[i].lr_mult != 0:
                self.fail("param %d has lr_mult %g; running statistics are not learned, give lr_mult: 0 or no param"
                          % (i, params[i].lr_mult))
        self._saved = None

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        if (shape[1] if len(shape) > 1 else 1) != self.channels:
            self.fail("bottom of shape %s; the statistics are of %d channels" % (shape, self.channels))
        top[0].reshape(*shape)

    def forward(self, bottom, top):
        x = self._channels(bottom[0].tensor)
        if self.global_stats:
            mean, variance = self._running_statistics()
            y = x - mean
        else:
            mean = x.sum((0, 2), keepdim=True) / max(1, x.shape[0] * x.shape[2])
            y = x - mean
            variance = (y * y).sum((0, 2), keepdim=True) / max(1, x.shape[0] * x.shape[2])
            if x.numel():
                self._move_statistics(mean, variance, x.shape[0] * x.shape[2])
        deviation = (variance + self.layer_param.batch_norm_param.eps).sqrt_()
        y /= deviation
        self._saved = (y, deviation) if self.needs_backward else None
        top[0].tensor = y.reshape(bottom[0].shape)

    def _running_statistics(self):
        """(mean, variance), each (1, C, 1)."""
        weight = self.blobs[2].tensor
        factor = torch.where(weight == 0, weight, 1 / weight)
        return [(blob.tensor * factor).view(1, -1, 1) for blob in self.blobs[:2]]

    def _move_statistics(self, mean, variance, count):
        """count: numbers in a channel."""
        unbiased = variance * (count / (count - 1)) if count > 1 else variance
        for blob, value in zip(self.blobs, (mean, unbiased, torch.ones_like(self.blobs[2].tensor))):
            blob.mutable_tensor().mul_(self.layer_param.batch_norm_param.moving_average_fraction).add_(value.view(-1))

    def backward(self, top, propagate_down, bottom):
        """dx = (dy - mean(dy) - mean(dy y) y) / deviation; with constant statistics dy / deviation."""
        if not propagate_down[0]:
            return
        y, deviation = self._saved
        diff = self._channels(top[0].diff_tensor)
        if not self.global_stats:
            count = max(1, y.shape[0] * y.shape[2])
            diff = diff - diff.sum((0, 2), keepdim=True) / count - (diff * y).sum((0, 2), keepdim=True) / count * y
        bottom[0].diff_tensor = (diff / deviation).reshape(bottom[0].shape)

    def _channels(self, x):
        """(N, C, ...) -> (N, C, pixels)."""
        rows = x.shape[0]
        return x.reshape(rows, self.channels, x.numel() // max(1, rows * self.channels))
