"""SPP: spatial pyramid pooling."""
import torch

from ..blob import Blob
from ..layer import Layer, create_layer, register
from ..proto import caffe_pb2


@register("SPP")
class SPPLayer(Layer):
    """Spatial pyramid pooling (He et al. 2014): images of any size become vectors of one length.

    layer { name: "spp" type: "SPP" bottom: "conv5" top: "spp" spp_param { pyramid_height: 3 pool: MAX } }

    bottom (N, C, H, W) -> top (N, C (1 + 4 + 16 + ...)); pyramid_height 1: (N, C, 1, 1).
    Level l pools into 2^l x 2^l windows of ceil(H / 2^l) x ceil(W / 2^l) pixels; half of the pixels that are missing,
    rounded up, are padding before the image.  An image so small that the padding is not below the kernel is an error,
    as in Caffe.  pool is MAX, AVE or STOCHASTIC.
    """

    def setup(self, bottom, top):
        height = self.layer_param.spp_param.pyramid_height
        if height < 1:
            self.fail("spp_param.pyramid_height must be at least 1")
        if len(bottom[0].shape) != 4 or min(bottom[0].shape[2:]) < 1:
            self.fail(f"expected a bottom of 4 axes (N, C, H, W) with pixels, got shape {bottom[0].shape}")
        self._size = None
        self._levels, self._pooled = [], [Blob() for _ in range(height)]

    def reshape(self, bottom, top):
        if bottom[0].shape[2:] != self._size:
            self._size = bottom[0].shape[2:]
            self._levels = [self._pooling(level) for level in range(len(self._pooled))]
            for pooling, pooled in zip(self._levels, self._pooled):
                pooling.setup(bottom, [pooled])
        for pooling, pooled in zip(self._levels, self._pooled):
            pooling.reshape(bottom, [pooled])
        items = bottom[0].shape[0]
        if len(self._pooled) == 1:
            top[0].reshape(*self._pooled[0].shape)
        else:
            top[0].reshape(items, sum(torch.Size(blob.shape[1:]).numel() for blob in self._pooled))

    def _pooling(self, level):
        """The Pooling layer of a level."""
        windows = 2 ** level
        kernel = [-(-size // windows) for size in self._size]
        pad = [(k * windows - size + 1) // 2 for k, size in zip(kernel, self._size)]
        if any(p >= k for p, k in zip(pad, kernel)):
            self.fail(f"a bottom of {self._size[0]} x {self._size[1]} pixels is too small for {windows} x {windows} "
                      f"windows; give a lower pyramid_height or larger images")
        param = caffe_pb2.LayerParameter(name=f"{self.name}_level{level}", type="Pooling", phase=int(self.phase))
        param.pooling_param.pool = self.layer_param.spp_param.pool
        for field, (height, width) in (("kernel", kernel), ("stride", kernel), ("pad", pad)):
            setattr(param.pooling_param, field + "_h", height)
            setattr(param.pooling_param, field + "_w", width)
        return create_layer(param)

    def forward(self, bottom, top):
        for pooling, pooled in zip(self._levels, self._pooled):
            pooling.needs_backward = self.needs_backward
            pooling.forward(bottom, [pooled])
            pooling.note_versions(bottom)
        if len(self._pooled) == 1:
            top[0].tensor = self._pooled[0].tensor.clone()
        else:
            top[0].tensor = torch.cat([blob.tensor.flatten(1) for blob in self._pooled], 1)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        parts = top[0].diff_tensor.flatten(1).split([torch.Size(b.shape[1:]).numel() for b in self._pooled], 1)
        total = torch.zeros_like(bottom[0].tensor)
        for pooling, pooled, part in zip(self._levels, self._pooled, parts):
            pooled.diff_tensor = part.reshape(pooled.shape)
            pooling.backward([pooled], [True], bottom)
            total += bottom[0].diff_tensor
        bottom[0].diff_tensor = total

    def release(self):
        super().release()
        for pooling, pooled in zip(self._levels, self._pooled):
            pooling.release()
            pooled.release()
