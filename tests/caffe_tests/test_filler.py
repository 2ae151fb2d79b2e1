"""Fillers, against numbers that the C++ Caffe gave."""
import caffe
import numpy as np
import pytest
from support.nets import net_from_text
from support.one_layer import make_layer

BILINEAR = {1: [1], 2: [1 / 4, 1 / 4], 3: [.5, 1, .5], 4: [.1875, .5625, .5625, .1875], 5: [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3],
            6: [5 / 36, 15 / 36, 25 / 36, 25 / 36, 15 / 36, 5 / 36]}


@pytest.mark.parametrize("size", BILINEAR)
def test_bilinear(size):
    """The middle row of a kernel."""
    layer, *_ = make_layer('type: "Deconvolution" convolution_param { num_output: 1 kernel_size: %d weight_filler '
                           '{ type: "bilinear" } }' % size, [np.zeros((1, 1, 8, 8))])
    kernel = layer.blobs[0].data[0, 0]
    np.testing.assert_allclose(kernel[size // 2], BILINEAR[size], rtol=1e-6)
    np.testing.assert_array_equal(kernel, kernel.T)


def test_sparse_gaussian_counts_by_input():
    """30 outputs, 15 a weight's input: half of the weights (C++ Caffe: 390 and 396 of 784 in two tries)."""
    caffe.set_random_seed(3)
    layer, *_ = make_layer('type: "InnerProduct" inner_product_param { num_output: 30 weight_filler '
                           '{ type: "gaussian" std: 1 sparse: 15 } }', [np.zeros((1, 784))])
    kept = (layer.blobs[0].data != 0).mean()
    assert abs(kept - 0.5) < 0.02       # 6 standard deviations


def weights():
    net = net_from_text('layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 4 } } }'
                        'layer { name: "f" type: "InnerProduct" bottom: "d" top: "f" inner_product_param { num_output: 2'
                        ' weight_filler { type: "gaussian" std: 1 } } }')
    return net.params["f"][0].data.tolist()


def test_the_seed_outlasts_a_choice_of_the_mode():
    """The original's tools seed first, and choose the mode then."""
    caffe.set_random_seed(3)
    first = weights()
    caffe.set_random_seed(3)
    caffe.set_mode_cpu()
    assert weights() == first != weights()
