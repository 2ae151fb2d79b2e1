"""The 3 x 3 convolutions that go by Winograd's way, and their layer, against direct convolutions in float64."""
import numpy as np
import pytest
import torch
from caffe.kernels.conv import winograd
from caffe.kernels.conv.descriptor import ConvolutionDescriptor
from support.one_layer import float64, forward_backward, make_layer

# images, inputs, outputs, height, width, pad: tiles cut at both ends, one row of tiles a block and several
SIZES = [(1, 32, 48, 17, 23, (1, 1)), (2, 48, 32, 16, 16, (0, 2)), (3, 32, 32, 18, 15, (2, 0)), (1, 32, 32, 6, 800, (1, 1)),
         (2, 32, 64, 1, 260, (1, 1))]


def numbers(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).randn(*shape).astype(np.float32))


def direct(x, weight, bias, diff, pad):
    """(top, x diff, weight diff) in float64."""
    x, weight = (t.double().requires_grad_() for t in (x, weight))
    y = torch.nn.functional.conv2d(x, weight, None if bias is None else bias.double(), padding=pad)
    y.backward(diff.double())
    return y.detach(), x.grad, weight.grad


def close(got, want):
    assert got.shape == want.shape and got.dtype == torch.float32
    assert float((got - want).abs().max() / want.abs().max()) < 1e-5


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("num, inputs, outputs, height, width, pad", SIZES)
def test_against_direct_convolution(num, inputs, outputs, height, width, pad, layout):
    x, weight = numbers(1, num, inputs, height, width), numbers(2, outputs, inputs, 3, 3)
    bias = numbers(3, outputs) if num == 1 else None
    diff = numbers(4, num, outputs, height + 2 * pad[0] - 2, width + 2 * pad[1] - 2)
    top, x_diff, weight_diff = direct(x, weight, bias, diff, pad)
    x, diff = x.contiguous(memory_format=layout), diff.contiguous(memory_format=layout)
    d = ConvolutionDescriptor((1, 1), pad, (1, 1))
    assert winograd.fits(x, weight, d)
    close(winograd.forward(x, weight, bias, d), top)
    for got, want in zip(winograd.backward(diff, x, weight, d, (True, True)), (x_diff, weight_diff)):
        close(got, want)


@pytest.mark.parametrize("shape, kernel, stride, pad, dilation, groups", [
    ((1, 32, 20, 20), (32, 32, 5, 5), [1, 1], [1, 1], [1, 1], 1), ((1, 32, 20, 20), (32, 32, 3, 3), [2, 1], [1, 1], [1, 1], 1),
    ((1, 32, 20, 20), (32, 32, 3, 3), [1, 1], [3, 1], [1, 1], 1), ((1, 32, 20, 20), (32, 32, 3, 3), [1, 1], [1, 1], [1, 2], 1),
    ((1, 64, 20, 20), (32, 32, 3, 3), [1, 1], [1, 1], [1, 1], 2), ((1, 40, 20, 20), (32, 40, 3, 3), [1, 1], [1, 1], [1, 1], 1),
    ((0, 32, 20, 20), (32, 32, 3, 3), [1, 1], [1, 1], [1, 1], 1)])
def test_what_goes_the_direct_way(shape, kernel, stride, pad, dilation, groups):
    d = ConvolutionDescriptor(stride, pad, dilation, groups=groups)
    assert not winograd.fits(torch.zeros(shape), torch.zeros(kernel), d)


def test_the_layer_takes_it_in_float32_and_not_in_float64():
    text = 'type: "Convolution" convolution_param { num_output: 32 kernel_size: 3 pad: 1 }'
    x, diff = numbers(5, 1, 32, 18, 21).numpy(), numbers(6, 1, 32, 18, 21).numpy()
    params = [numbers(7, 32, 32, 3, 3).numpy(), numbers(8, 32).numpy()]
    got = forward_backward(text, [x], [diff], params=params)
    with float64():
        want = forward_backward(text, [x], [diff], params=params)
        layer, bottom, _ = make_layer(text, [x])
        assert not winograd.fits(bottom[0].tensor, layer.blobs[0].tensor, layer.descriptor)
    for a, b in zip(sum(got, []), sum(want, [])):
        assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()


def test_tops_read_and_write_as_arrays_with_the_channels_first():
    layer, bottom, top = make_layer('type: "Convolution" convolution_param { num_output: 32 kernel_size: 3 pad: 1 }',
                                    [numbers(9, 1, 32, 16, 17).numpy()])
    layer.forward(bottom, top)
    assert top[0].data.shape == (1, 32, 16, 17)
    top[0].data[0, 3, 2, 1] = 7
    assert float(top[0].tensor[0, 3, 2, 1]) == 7 and top[0].data.ravel()[3 * 16 * 17 + 2 * 17 + 1] == 7
