"""LRN and MVN: normalisation by a neighbourhood's energy, and to mean 0, variance 1."""
import torch
import torch.nn.functional as F

from ..kernels.norm import lrn
from ..layer import Layer, register
from ..proto.caffe_pb2 import LRNParameter
from .loss import legacy_shape


@register("LRN")
class LRN(Layer):
    """Local response normalisation: x divided by (k + alpha / n * sum of squares of its neighbours) ^ beta.

    layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1"
            lrn_param { local_size: 5 alpha: 0.0005 beta: 0.75 k: 2 norm_region: ACROSS_CHANNELS } }

    bottom and top (N, C, H, W).  ACROSS_CHANNELS: the neighbours are local_size channels around a number's own, n is
    local_size, whatever part of the window exists.  WITHIN_CHANNEL: local_size x local_size pixels of the same channel,
    n is local_size^2, and k is 1 whatever the prototxt says (Caffe builds it of a Pooling and a Power layer).
    local_size is odd.
    """

    reads_top = False
    repeatable = True

    def setup(self, bottom, top):
        p = self.layer_param.lrn_param
        if p.local_size % 2 == 0:
            self.fail("local_size %d must be odd" % p.local_size)
        if len(bottom[0].shape) != 4:
            self.fail("expected a bottom of 4 axes (N, C, H, W), got shape %s" % (bottom[0].shape,))
        self.within = p.norm_region == LRNParameter.WITHIN_CHANNEL
        if self.within and p.local_size >= 2 ** 31:
            self.fail("local_size %d; expected less than 2^31" % p.local_size)

    def reshape(self, bottom, top):
        if self.within and 0 in bottom[0].shape[1:]:
            self.fail("bottom of shape %s has no channels or no pixels" % (bottom[0].shape,))
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        if self.within:
            return super().forward(bottom, top)
        top[0].tensor = lrn.forward(bottom[0].tensor, *self._settings())

    def backward(self, top, propagate_down, bottom):
        if self.within:
            return super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            bottom[0].diff_tensor = lrn.backward(top[0].diff_tensor, bottom[0].tensor, *self._settings())

    def _settings(self):
        p = self.layer_param.lrn_param
        return p.local_size, p.alpha, p.beta, p.k

    def function(self, x):
        """WITHIN_CHANNEL, differentiated by torch."""
        p = self.layer_param.lrn_param
        mean = F.avg_pool2d(x * x, p.local_size, stride=1, padding=p.local_size // 2)
        return x * (1 + p.alpha * mean).pow(-p.beta)


@register("MVN")
class MVN(Layer):
    """Mean-variance normalisation of each channel, or of each image.

    layer { name: "mvn" type: "MVN" bottom: "data" top: "mvn"
            mvn_param { normalize_variance: true across_channels: false eps: 1e-9 } }

    bottom (N, C, H, W) or fewer axes -> top (N, C, H, W), as in Caffe: axes that the bottom lacks are 1.
    (x - mean) / (sqrt(variance) + eps); normalize_variance false: x - mean.
    Backward takes the derivative of sqrt(variance) + eps as that of sqrt(variance), as Caffe does: a constant channel
    gets finite diffs.
    """

    def setup(self, bottom, top):
        self._saved = None

    def reshape(self, bottom, top):
        if len(bottom[0].shape) > 4:
            self.fail(f"expected a bottom of at most 4 axes (N, C, H, W), got shape {bottom[0].shape}")
        top[0].reshape(*legacy_shape(bottom[0]))

    def forward(self, bottom, top):
        p = self.layer_param.mvn_param
        x = self._rows(bottom[0].tensor)
        y = x - x.mean(1, keepdim=True)
        deviation = None
        if p.normalize_variance:
            deviation = (y * y).mean(1, keepdim=True).sqrt_().add_(p.eps)
            y /= deviation
        self._saved = (y, deviation) if self.needs_backward else None
        top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        y, deviation = self._saved
        y = self._rows(self.numbers_of(top[0], y))
        diff = self._rows(top[0].diff_tensor)
        out = diff - diff.mean(1, keepdim=True)
        if deviation is not None:
            out = (out - (diff * y).mean(1, keepdim=True) * y) / deviation
        bottom[0].diff_tensor = out.reshape(bottom[0].shape)

    def _rows(self, x):
        """(N, C, H, W) -> (N C, H W), across channels (N, C H W): each row is normalised by itself."""
        rows = torch.Size(x.shape[:1 if self.layer_param.mvn_param.across_channels else 2]).numel()
        return x.reshape(rows, x.numel() // max(rows, 1))
