"""InnerProduct: the fully connected layer."""
import torch

from ..common import on_gpu
from ..filler import new_param
from ..kernels.linear import add_matmul, linear, matmul, product
from ..layer import Layer, register


@register("InnerProduct")
class InnerProduct(Layer):
    """top = bottom x weights' + bias, with all axes from `axis` on as one vector.

    layer { name: "fc6" type: "InnerProduct" bottom: "pool5" top: "fc6"
            param { lr_mult: 1 } param { lr_mult: 2 }
            inner_product_param { num_output: 4096 axis: 1 bias_term: true transpose: false
                                  weight_filler { type: "gaussian" std: 0.005 } bias_filler { type: "constant" } } }

    bottom (N, C, H, W) -> top (N, num_output): the axes before `axis` stay.  N may be 0.
    blobs: weights (num_output, C H W), with transpose (C H W, num_output); bias (num_output)
    """

    reads_top = False

    def setup(self, bottom, top):
        p = self.layer_param.inner_product_param
        if p.num_output < 1:
            self.fail("num_output must be at least 1")
        self.axis = self.canonical_axis(p.axis, len(bottom[0].shape))
        self.inputs = torch.Size(bottom[0].shape[self.axis:]).numel()
        shape = (self.inputs, p.num_output) if p.transpose else (p.num_output, self.inputs)
        self.blobs = [new_param(shape, p.weight_filler)]
        if p.bias_term:
            self.blobs.append(new_param([p.num_output], p.bias_filler))

    def reshape(self, bottom, top):
        shape, num_output = bottom[0].shape, self.layer_param.inner_product_param.num_output
        inputs = torch.Size(shape[self.axis:]).numel()
        if inputs != self.inputs:
            self.fail("bottom of shape %s has %d numbers from axis %d on; the weights %s take %d"
                      % (shape, inputs, self.axis, self.blobs[0].shape, self.inputs))
        top[0].reshape(*shape[:self.axis], num_output)

    def forward(self, bottom, top):
        bias = self.blobs[1].tensor if len(self.blobs) > 1 else None
        if self.axis == 1 and not self.needs_backward:
            top[0].set_rows(*bottom[0].linear(self._weight(), bias))
        else:
            y = linear(self._rows(bottom[0].tensor), self._weight(), bias)      # (M, K) (K, num_output)
            top[0].tensor = y.reshape(top[0].shape)

    def backward(self, top, propagate_down, bottom):
        diff = top[0].diff_tensor.reshape(-1, self.layer_param.inner_product_param.num_output)
        if self.learns(0):
            # straight into the diff: fc6 of VGG16 has 103 million weights, a second copy would be 400 MB
            x = self._rows(bottom[0].tensor)
            a, b = (x, diff) if self.layer_param.inner_product_param.transpose else (diff, x)
            if on_gpu(x) and not self.blobs[0].has_diff:
                self.blobs[0].add_diff(product(a.t(), b), is_new=True)
            else:
                add_matmul(self.blobs[0].mutable_diff_tensor(), a.t(), b)
        if len(self.blobs) > 1 and self.learns(1):
            self.blobs[1].add_diff(diff.sum(0), is_new=True)
        if propagate_down[0]:
            bottom[0].diff_tensor = matmul(diff, self._weight()).reshape(bottom[0].shape)

    def _rows(self, x):
        """(..., axes from `axis` on) -> (M, K)."""
        rows = torch.Size(x.shape[:self.axis]).numel()
        return x.reshape(rows, self.inputs)

    def _weight(self):
        """The weights as (num_output, K)."""
        weight = self.blobs[0].tensor
        return weight.t() if self.layer_param.inner_product_param.transpose else weight
