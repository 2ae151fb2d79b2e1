"""PSROIPooling: the position-sensitive pooling of R-FCN."""
import torch

from ..kernels.roi.psroi_pooling import psroi_pooling_backward, psroi_pooling_forward
from ..layer import Layer, register


@register("PSROIPooling")
class PSROIPoolingLayer(Layer):
    """Average pooling of each region into a G x G grid whose bins each read score maps of their own (R-FCN, section 2).

    layer { name: "psroipooled_cls_rois" type: "PSROIPooling" bottom: "rfcn_cls" bottom: "rois"
            top: "psroipooled_cls_rois"
            psroi_pooling_param { spatial_scale: 0.0625 output_dim: 21 group_size: 7 } }    # spatial_scale = 1 / stride

    bottom[0] (N, output_dim * G * G, H, W); bottom[1] (R, 5), a row [image index, x1, y1, x2, y2] in pixels of the
    net's input; top (R, output_dim, G, G) with G = group_size; R may be 0.  The rounding rule is told in
    kernels/roi/psroi_pooling.py.  RoIs get a zero diff.
    """

    bottoms = (2, 2)
    reads_top = False

    def setup(self, bottom, top):
        param = self.layer_param.psroi_pooling_param
        self.output_dim, self.group_size, self.spatial_scale = param.output_dim, param.group_size, param.spatial_scale
        if not (self.output_dim > 0 and self.group_size > 0):
            self.fail("output_dim %d and group_size %d must be positive" % (self.output_dim, self.group_size))
        if not self.spatial_scale > 0:
            self.fail("spatial_scale %g; expected 1 / stride of bottom 0, such as 0.0625" % self.spatial_scale)

    def reshape(self, bottom, top):
        features, rois = bottom[0].shape, bottom[1].shape
        channels = self.output_dim * self.group_size ** 2
        if len(features) != 4 or features[1] != channels:
            self.fail("bottom 0 has shape %s; expected (N, output_dim * group_size^2 = %d, H, W)"
                      % (features, channels))
        if not rois or bottom[1].count != rois[0] * 5:
            self.fail("bottom 1 has shape %s; expected RoIs (R, 5)" % (rois,))
        top[0].reshape(rois[0], self.output_dim, self.group_size, self.group_size)

    def forward(self, bottom, top):
        top[0].tensor = psroi_pooling_forward(bottom[0].tensor, bottom[1].tensor.reshape(-1, 5), self.output_dim,
                                              self.group_size, self.spatial_scale)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff_tensor = psroi_pooling_backward(top[0].diff_tensor, bottom[1].tensor.reshape(-1, 5),
                                                           bottom[0].shape, self.spatial_scale)
        if propagate_down[1]:
            bottom[1].diff_tensor = torch.zeros_like(bottom[1].tensor)

    def allow_force_backward(self, bottom_index):
        return bottom_index == 0
