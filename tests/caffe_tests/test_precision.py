"""caffe.set_precision: what is rounded to bfloat16, what stays float32."""
import caffe
import numpy as np
import pytest
import torch
from caffe import common
from caffe.kernels import linear, rounding
from caffe.kernels.conv import bands, convolution
from caffe.kernels.conv.descriptor import ConvolutionDescriptor
from support.gradient import check_gradient
from support.nets import net_from_text, solver_from_text
from support.one_layer import forward_backward

FC = 'type: "InnerProduct" inner_product_param { num_output: 5 %s }'
CONV = 'type: "Convolution" convolution_param { num_output: 6 kernel_size: 3 pad: 1 %s }'
DECONV = 'type: "Deconvolution" convolution_param { num_output: 6 kernel_size: 2 stride: 2 %s }'
# layer, bottom, top, weights
LAYERS = [(FC % "", (4, 7), (4, 5), (5, 7)), (FC % "transpose: true", (4, 7), (4, 5), (7, 5)),
          (FC % "bias_term: false", (4, 7), (4, 5), (5, 7)),
          (CONV % "", (2, 4, 5, 6), (2, 6, 5, 6), (6, 4, 3, 3)), (CONV % "group: 2", (1, 4, 5, 6), (1, 6, 5, 6), (6, 2, 3, 3)),
          (DECONV % "", (2, 4, 3, 3), (2, 6, 6, 6), (4, 6, 2, 2))]

NET = """
layer { name: "data" type: "Input" top: "data" top: "label" input_param { shape { dim: 8 dim: 2 dim: 9 dim: 9 } shape { dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
        num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


@pytest.fixture(params=["rounded float32", "bfloat16 kernels"])
def bf16(request, monkeypatch):
    """bf16 by both ways of multiplying."""
    monkeypatch.setattr(common, "native_bf16", lambda: request.param == "bfloat16 kernels")
    caffe.set_precision("bf16")
    yield request.param
    caffe.set_precision("float32")


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    caffe.set_precision("float32")


def numbers(shape, seed):
    return np.random.RandomState(seed).uniform(-2, 2, shape).astype(np.float32)


def rounded(x):
    return torch.tensor(x).bfloat16().float().numpy()


def pass_of(text, bottom, top, weights, change=lambda x: x):
    """(tops, bottom diffs, parameter diffs) of the layer on numbers that `change` went over; biases are whole numbers."""
    params = [change(numbers(weights, 1)), np.arange(top[1], dtype=np.float32) if "bias_term" not in text else None]
    return forward_backward(text, [change(numbers(bottom, 2))], [change(numbers(top, 3))],
                            params=[p for p in params if p is not None])


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case[0])
def test_factors_are_rounded_and_nothing_else(bf16, case):
    got = pass_of(*case)
    caffe.set_precision("float32")
    want, exact = pass_of(*case, change=rounded), pass_of(*case)
    if len(want[2]) > 1:
        want[2][1] = exact[2][1]                # the bias is no factor: its diff is that of the numbers as they are
    for mine, true in zip(sum(got, []), sum(want, [])):
        assert mine.dtype == np.float32
        # a bfloat16 kernel rounds its results too, some their partial sums: 2^-7 of the largest number
        size = 2e-6 if bf16 == "rounded float32" else 2 ** -7
        np.testing.assert_allclose(mine, true, rtol=0, atol=size * np.abs(true).max())
    assert np.abs(got[0][0] - exact[0][0]).max() > 1e-3 and np.abs(got[2][0] - exact[2][0]).max() > 1e-3


@pytest.mark.parametrize("case", LAYERS[:3], ids=lambda case: case[0])
def test_a_large_weight_is_rounded_block_by_block(bf16, monkeypatch, case):
    monkeypatch.setattr(linear, "_BLOCK", 11)         # one row of 7 at a time
    test_factors_are_rounded_and_nothing_else(bf16, case)


@pytest.mark.parametrize("case", LAYERS[:3], ids=lambda case: case[0])
def test_many_rows_meet_a_large_weight(bf16, monkeypatch, case):
    monkeypatch.setattr(linear, "_BLOCK_OF_MANY", 11)
    monkeypatch.setattr(linear, "_MANY", 3)
    test_factors_are_rounded_and_nothing_else(bf16, case)


@pytest.mark.parametrize("kernel, stride, pad, dilation, groups", [
    (3, 1, 1, 1, 1), (3, 2, 0, 1, 1), (1, 1, 0, 1, 1), (5, 1, 4, 1, 2), (3, 2, 2, 2, 1), (3, 3, 2, 1, 1), (2, 1, 1, 3, 1)])
def test_large_images_are_convolved_band_by_band(bf16, monkeypatch, kernel, stride, pad, dilation, groups):
    d = ConvolutionDescriptor((stride, stride), (pad, pad), (dilation, dilation), groups=groups)
    args = torch.randn(2, 4, 11, 6), torch.randn(6, 4 // groups, kernel, kernel), torch.randn(6), d
    whole = convolution.forward(*args)
    for numbers in (1, 500, 700):
        monkeypatch.setattr(bands, "_BAND", numbers)
        np.testing.assert_allclose(convolution.forward(*args), whole, rtol=0, atol=2 ** -8 * whole.abs().max())


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_single_image_stays_channels_last(bf16, kernel):
    """Whatever its stride along N, which means nothing but made PyTorch's convolutions fall back to other kernels."""
    x = torch.randn(6, 7, 8).permute(2, 0, 1).unsqueeze(0)
    assert x.shape == (1, 8, 6, 7) and x.stride(0) == 8
    y = convolution.forward(x, torch.randn(5, 8, kernel, kernel), None, ConvolutionDescriptor((1, 1), (0, 0), (1, 1)))
    assert y.is_contiguous(memory_format=torch.channels_last) and not y.is_contiguous()


@pytest.mark.parametrize("layout", ["plain", "transposed", "channels last", "with gaps"])
def test_rounding_is_that_of_torch(layout):
    random = np.random.RandomState(9)
    bits = random.randint(0, 2 ** 32, 2 * 3 * 5 * 7 * 40, dtype=np.uint32)
    bits[:8] = [0, 1 << 31, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x3F808000, 0x3F818000, 0x7FFFFFFF]
    x = torch.from_numpy(bits.view(np.float32)).reshape(2, 3, 5, 280)
    x = {"plain": x, "transposed": x.reshape(30, 280).t(), "with gaps": x[:, :, ::2],
         "channels last": x.contiguous(memory_format=torch.channels_last)}[layout]
    got, want = rounding._rounded_float32(x), x.bfloat16().float()
    assert torch.equal(got.isnan(), want.isnan())
    assert torch.equal(got.nan_to_num(0.5), want.nan_to_num(0.5)) and got.shape == x.shape


def test_weights_stay_as_they_are(bf16):
    net = net_from_text(NET)
    before = net.params["fc"][0].data.copy()
    net.forward(data=numbers((8, 2, 9, 9), 4), label=np.arange(8) % 2)
    net.backward()
    assert (net.params["fc"][0].data == before).all() and (rounded(before) != before).any()
    assert net.params["fc"][0].diff.dtype == net.blobs["conv"].data.dtype == np.float32
    assert (rounded(net.params["conv"][0].diff) != net.params["conv"][0].diff).any() or bf16 == "bfloat16 kernels"


def losses_of_training(folder, precision):
    caffe.set_precision(precision)
    caffe.set_random_seed(5)
    solver = solver_from_text(NET, 'base_lr: 0.02 lr_policy: "fixed" momentum: 0.9', folder)
    solver.net.blobs["data"].data[...] = numbers((8, 2, 9, 9), 4)
    solver.net.blobs["label"].data[...] = np.arange(8) % 2
    losses = []
    for _ in range(30):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    return np.array(losses)


def test_training_learns_beside_float32(bf16, tmp_path):
    low, full = losses_of_training(tmp_path, "bf16"), losses_of_training(tmp_path, "float32")
    assert low[-1] < 0.05 * low[0]
    # against the largest loss, as a loss of nearly 0 is the difference of two numbers that are rounded
    np.testing.assert_allclose(low, full, rtol=0, atol=2 ** -8 * full.max())
    assert (low != full).any()


def test_tf32_is_float32_on_the_cpu():
    exact = pass_of(*LAYERS[3])
    caffe.set_precision("tf32")
    assert all((a == b).all() for a, b in zip(sum(pass_of(*LAYERS[3]), []), sum(exact, [])))


@pytest.mark.parametrize("name, mode", [("tf32", "tf32"), ("float32", "ieee"), ("bf16", "ieee")])
def test_switches_of_a_gpu(name, mode):
    caffe.set_precision(name)
    assert caffe.precision() == name
    assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == mode
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction      # products are added up in float32


def test_float64_is_not_touched(bf16):
    for text, bottom, _top, _weights in LAYERS[:4]:
        check_gradient(text, [numbers(bottom, 6)])


def test_unknown_name():
    with pytest.raises(caffe.CaffeError, match="'half'.*float32, tf32, bf16"):
        caffe.set_precision("half")
    assert caffe.precision() == "float32"


@pytest.mark.parametrize("precision, mode", [("float32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_a_host_program_may_still_ask_pytorch_in_either_way(precision, mode):
    """PyTorch raises where its two settings for TF32 contradict each other."""
    caffe.set_precision(precision)
    try:
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == (mode == "tf32")
        parts = torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul
        assert [part.fp32_precision for part in parts] == [mode] * 3
        with torch.backends.cudnn.flags(enabled=True):      # reads the old setting, and puts it back
            assert torch.backends.cudnn.enabled
    finally:
        caffe.set_precision("float32")
