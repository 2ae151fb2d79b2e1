"""Layers give the same numbers whatever the strides of the tensors in their blobs (channels last, slices)."""
import numpy as np
import pytest
import torch
from support.one_layer import TRAIN, make_layer

FILLER = 'weight_filler { type: "xavier" }'
LAYERS = [
    'type: "Convolution" convolution_param { num_output: 6 kernel_size: 3 pad: 1 %s }' % FILLER,
    'type: "Deconvolution" convolution_param { num_output: 6 kernel_size: 3 stride: 2 %s }' % FILLER,
    'type: "Im2col" convolution_param { kernel_size: 2 }',
    'type: "InnerProduct" inner_product_param { num_output: 5 %s }' % FILLER,
    'type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 }',
    'type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 2 }',
    'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }',
    'type: "LRN" lrn_param { local_size: 3 }',
    'type: "LRN" lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }',
    'type: "MVN"', 'type: "BatchNorm"', 'type: "Softmax"', 'type: "Softmax" softmax_param { axis: 3 }',
]


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def sliced(x):
    """The same numbers as every other element of a larger array."""
    return torch.stack([x, x], -1)[..., 0]


@pytest.mark.parametrize("lay_out", [channels_last, sliced])
@pytest.mark.parametrize("text", LAYERS)
def test_strides_do_not_matter(text, lay_out):
    x = np.random.RandomState(0).randn(2, 4, 7, 6)
    layer, bottom, top = make_layer(text, [x], phase=TRAIN)
    plain, diff = bottom[0].tensor, np.random.RandomState(1).randn(*top[0].shape)
    results = []
    for arrange in (torch.clone, lay_out):
        for blob in layer.blobs:
            blob.zero_diff()
        bottom[0].tensor = arrange(plain)
        layer.forward(bottom, top)
        top[0].diff_tensor = arrange(torch.tensor(diff, dtype=torch.float32))
        layer.backward(top, [True], bottom)
        results.append([top[0].data.copy(), bottom[0].diff.copy()] + [p.diff.copy() for p in layer.blobs])
    for one, other in zip(*results):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
