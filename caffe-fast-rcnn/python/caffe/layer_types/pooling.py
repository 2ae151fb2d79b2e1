"""Pooling: maximum, average or a random choice over windows."""
import torch
import torch.nn.functional as F

from .. import common
from ..kernels.pool import max_pooling
from ..layer import Layer, register
from ..proto.caffe_pb2 import PoolingParameter

LARGEST_WINDOW = 2 ** 30        # sums of two such numbers are ints of 32 bits


@register("Pooling")
class Pooling(Layer):
    """One number for each window of a channel.

    layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
            pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 0 round_mode: CEIL global_pooling: false } }

    bottom (N, C, H, W) -> top (N, C, H', W').  pool: MAX, AVE or STOCHASTIC; a second top of MAX holds, for each
    number, the position h W + w it came from (-1: from none).
    Corner behaviour, read from Caffe's pooling_layer.cpp and its results:
    - H' = ceil((H + 2 pad - kernel) / stride) + 1; with padding, a last window that starts outside H + pad is dropped.
      round_mode FLOOR takes floor.
    - windows are cut at the image's border; the first of equal maxima wins; AVE divides by the window's area inside the
      padded image (0 .. H + pad), so padding counts as zeros.
    - a window without pixels (stride > kernel) gives -FLT_MAX (MAX); AVE 0 divided by the window's area, which is nan
      where the window begins at the border (area 0) and 0 where it begins outside (a length below 0).
    - STOCHASTIC (no padding; inputs >= 0): TRAIN picks a pixel with probability proportional to it, TEST gives the
      mean weighted so: sum x^2 / sum x.
    """

    bottoms, tops, reads_top = (1, 1), (1, 2), False

    def setup(self, bottom, top):
        p = self.layer_param.pooling_param
        if len(bottom[0].shape) != 4:
            self.fail("expected a bottom of 4 axes (N, C, H, W), got shape %s" % (bottom[0].shape,))
        self.method = PoolingParameter.PoolMethod.Name(p.pool)
        if len(top) > 1 and self.method != "MAX":
            self.fail("only MAX pooling has a second top (the mask)")
        self.stride, self.pad = self._pair("stride", 1), self._pair("pad", 0)
        self.ceil = p.round_mode == PoolingParameter.CEIL
        sized = p.HasField("kernel_size") or p.HasField("kernel_h") or p.HasField("kernel_w")
        if p.global_pooling == sized:
            self.fail("give either a kernel (kernel_size, or kernel_h and kernel_w) or global_pooling: true")
        self.kernel = None if p.global_pooling else self._pair("kernel_size", 0)
        if p.global_pooling and (self.pad != [0, 0] or self.stride != [1, 1]):
            self.fail("global_pooling goes with pad 0 and stride 1")
        self._check_sizes()
        self.repeatable = self.method != "STOCHASTIC"
        self._saved = None

    def _pair(self, both, default):
        """[height, width] from X, or from X_h and X_w."""
        p, stem = self.layer_param.pooling_param, both.replace("_size", "")
        if p.HasField(stem + "_h") != p.HasField(stem + "_w") or (p.HasField(both) and p.HasField(stem + "_h")):
            self.fail("give either %s, or both %s_h and %s_w" % (both, stem, stem))
        if p.HasField(stem + "_h"):
            return [getattr(p, stem + "_h"), getattr(p, stem + "_w")]
        return [getattr(p, both) if p.HasField(both) else default] * 2

    def _check_sizes(self):
        if max(self.stride + self.pad + (self.kernel or [])) > LARGEST_WINDOW:
            self.fail("kernel %s, stride %s and pad %s must be at most 2^30" % (self.kernel, self.stride, self.pad))
        if min(self.stride) < 1 or (self.kernel and min(self.kernel) < 1):
            self.fail("kernel %s and stride %s must be at least 1" % (self.kernel, self.stride))
        if self.kernel and any(p >= k for p, k in zip(self.pad, self.kernel)):
            self.fail("pad %s must be smaller than kernel %s" % (self.pad, self.kernel))
        if self.method == "STOCHASTIC" and max(self.pad):
            self.fail("STOCHASTIC pooling knows no padding; got pad %s" % self.pad)

    def reshape(self, bottom, top):
        n, c, h, w = bottom[0].shape
        if 0 in (c, h, w):
            self.fail("bottom of shape %s has no channels or no pixels" % (bottom[0].shape,))
        self.window = self.kernel or [h, w]
        self.sizes = [self._pooled(size, i) for i, size in enumerate((h, w))]
        if min(self.sizes) < 1:
            self.fail("kernel %s is too large for a bottom of %d x %d pixels with pad %s"
                      % (self.window, h, w, self.pad))
        axes = list(zip((h, w), self.sizes, self.window, self.stride, self.pad))
        # rows and columns to put behind the image so that the last window is whole
        self.behind = [max(0, (out - 1) * s + k - size - p) for size, out, k, s, p in axes]
        # torch itself cuts windows at the border, but pads at most half a kernel and wants a pixel in each window
        self.torch_cuts = all(2 * p <= k and (out - 1) * s < size + p for size, out, k, s, p in axes)
        for t in top:
            t.reshape(n, c, *self.sizes)
        if not self.torch_cuts:
            height, width = (size + pad + more for size, pad, more in zip((h, w), self.pad, self.behind))
            self.require_memory(n * c * height * width, "its padded bottom")

    def _pooled(self, size, i):
        steps, rest = divmod(size + 2 * self.pad[i] - self.window[i], self.stride[i])
        out = steps + 1 + (rest > 0 and self.ceil)
        if max(self.pad) and (out - 1) * self.stride[i] >= size + self.pad[i]:
            out -= 1
        return out

    def _padded(self, x, value):
        (top, left), (bottom, right) = self.pad, self.behind
        return F.pad(x, (left, right, top, bottom), value=value)

    # ---- MAX: forward keeps the positions, backward sends the diff to them

    def forward(self, bottom, top):
        if self.method != "MAX":
            return super().forward(bottom, top)
        x = self.kept(bottom[0]) if self.needs_backward else bottom[0].tensor
        pad, ceil = self.pad, self.ceil
        if len(top) == 1 and self.torch_cuts and max_pooling.fits(x):
            top[0].tensor = max_pooling.forward(x, self.sizes, self.window, self.stride, self.pad)
            self._saved = (x, None, None) if self.needs_backward else None
            return
        if not self.torch_cuts:
            x, pad, ceil = self._padded(x, torch.finfo(torch.float32).min), [0, 0], False
        how = (self.window, self.stride, pad, [1, 1], ceil)
        y, index = torch.ops.aten.max_pool2d_with_indices(x, *how)
        self._saved = (x, how, index) if self.needs_backward else None
        top[0].tensor = y
        if len(top) > 1:
            offset = [0, 0] if self.torch_cuts else self.pad
            top[1].tensor = _mask(index, x.shape[3], offset, bottom[0].shape[2:]).to(y.dtype)

    def release(self):
        super().release()
        self._saved = None

    def backward(self, top, propagate_down, bottom):
        if self.method != "MAX":
            return super().backward(top, propagate_down, bottom)
        if not propagate_down[0]:
            return
        x, how, index = self._saved
        if how is None:
            bottom[0].diff_tensor = max_pooling.backward(top[0].diff_tensor, x, self.window, self.stride, self.pad)
            return
        diff = torch.ops.aten.max_pool2d_with_indices_backward(top[0].diff_tensor, x, *how, index)
        if not self.torch_cuts:
            h, w = bottom[0].shape[2:]
            diff = diff[:, :, self.pad[0]:self.pad[0] + h, self.pad[1]:self.pad[1] + w]
        bottom[0].diff_tensor = diff

    # ---- AVE and STOCHASTIC: the function, differentiated by torch

    def function(self, x):
        if self.method == "AVE":
            return self._average(x)
        return self._stochastic(x)

    def _average(self, x):
        if self.torch_cuts:
            return F.avg_pool2d(x, self.window, self.stride, self.pad, self.ceil)
        total = F.avg_pool2d(self._padded(x, 0.0), self.window, self.stride, divisor_override=1)
        height, width = (_lengths(*numbers, like=x) for numbers in zip(self.pad, self.stride, self.window, x.shape[2:],
                                                                       self.sizes))
        return total / (height[:, None] * width)

    def _stochastic(self, x):
        (h, w), (stride_h, stride_w) = self.window, self.stride
        windows = self._padded(x, 0.0).unfold(2, h, stride_h).unfold(3, w, stride_w)
        windows = windows.flatten(4)                                # (N, C, H', W', h w)
        if self.phase == common.TEST:
            return (windows * windows).sum(-1) / windows.sum(-1).clamp(min=torch.finfo(x.dtype).tiny)
        mass = windows.detach().cumsum(-1)
        draw = torch.rand(mass.shape[:-1], generator=common.generator(), dtype=x.dtype, device=x.device)[..., None]
        chosen = (mass < draw * mass[..., -1:]).sum(-1, keepdim=True)
        return windows.gather(-1, chosen)[..., 0]


def _lengths(pad, stride, window, size, count, like):
    """The lengths of `count` windows along one axis, cut off after the padding; below 1 where they begin there."""
    start = torch.arange(count, dtype=like.dtype, device=like.device) * stride - pad
    return (start + window).clamp(max=size + pad) - start


def _mask(index, width, offset, size):
    """Positions in an image of `width` whose pixel `offset` is the bottom's first -> h W + w there, -1 outside."""
    h, w = index // width - offset[0], index % width - offset[1]
    inside = (h >= 0) & (h < size[0]) & (w >= 0) & (w < size[1])
    return torch.where(inside, h * size[1] + w, -1)
