"""Exported nets against the nets they came from: every layer type that has a counterpart, in ONNX and in PyTorch."""
import caffe
import caffe.export
import numpy as np
import pytest
import torch
from support.nets import net_from_text

IMAGE = 'input: "x" input_shape { dim: 2 dim: 4 dim: 11 dim: 14 } '
ROWS = 'input: "x" input_shape { dim: 3 dim: 6 } '
FILL = 'weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 1 }'
ENDING = {"onnx": ".onnx", "torch": ".pth"}


def one(body, inputs=IMAGE, name="made/by.hand"):
    return inputs + 'layer { name: "%s" bottom: "x" top: "y" %s }' % (name, body)


CASES = {
    "convolution": one('type: "Convolution" convolution_param { num_output: 6 kernel_h: 3 kernel_w: 2 stride: 2 pad_h: 1'
                       ' pad_w: 0 group: 2 dilation: 1 %s }' % FILL),
    "dilated": one('type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 dilation: 2 bias_term: false '
                   'weight_filler { type: "xavier" } }'),
    "deconvolution": one('type: "Deconvolution" convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 %s }' % FILL),
    "inner_product": one('type: "InnerProduct" inner_product_param { num_output: 5 %s }' % FILL),
    "inner_product_rows": one('type: "InnerProduct" inner_product_param { num_output: 5 transpose: true %s }' % FILL, ROWS),
    "inner_product_no_bias": one('type: "InnerProduct" inner_product_param { num_output: 5 bias_term: false '
                                 'weight_filler { type: "xavier" } }'),
    "relu": one('type: "ReLU"'),
    "leaky": one('type: "ReLU" relu_param { negative_slope: 0.1 }'),
    "prelu": one('type: "PReLU" prelu_param { filler { type: "uniform" min: 0 max: 1 } }'),
    "prelu_shared": one('type: "PReLU" prelu_param { channel_shared: true }'),
    "sigmoid": one('type: "Sigmoid"'), "tanh": one('type: "TanH"'), "absval": one('type: "AbsVal"'),
    "dropout": one('type: "Dropout" dropout_param { dropout_ratio: 0.3 scale_train: false }'),
    "max_pool": one('type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 }'),     # the last window is cut
    "max_pool_pad": one('type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }'),
    "max_pool_floor": one('type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 2 round_mode: FLOOR }'),
    "ave_pool": one('type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 }'),
    "ave_pool_pad": one('type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 3 pad: 1 }'),
    "global_max": one('type: "Pooling" pooling_param { pool: MAX global_pooling: true }'),
    "global_ave": one('type: "Pooling" pooling_param { pool: AVE global_pooling: true }'),
    "lrn": one('type: "LRN" lrn_param { local_size: 3 alpha: 0.7 beta: 0.6 k: 2 }'),
    "softmax": one('type: "Softmax"'), "softmax_axis": one('type: "Softmax" softmax_param { axis: -1 }'),
    "flatten": one('type: "Flatten"'),
    "reshape": one('type: "Reshape" reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 14 } }'),
    "batch_norm": one('type: "BatchNorm"'),
    "scale": one('type: "Scale" scale_param { bias_term: true filler { type: "gaussian" std: 1 } }'),
    "scale_alone": one('type: "Scale" scale_param { filler { type: "gaussian" std: 1 } }', ROWS),
}
for operation in ("SUM", "PROD", "MAX"):
    CASES["eltwise_" + operation.lower()] = IMAGE + (
        'layer { name: "a" type: "ReLU" bottom: "x" top: "a" } layer { name: "b" type: "TanH" bottom: "x" top: "b" } '
        'layer { name: "y" type: "Eltwise" bottom: "a" bottom: "b" bottom: "x" top: "y" eltwise_param { operation: %s } }'
        % operation)
CASES["eltwise_coeff"] = CASES["eltwise_sum"].replace("SUM", "SUM coeff: 1 coeff: -0.3 coeff: 2")
# In-place layers behind a split: the names of the values may not run together.
CASES["in_place_and_split"] = IMAGE + (
    'layer { name: "one" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3 kernel_size: 1 %s } } '
    'layer { name: "relu" type: "ReLU" bottom: "c" top: "c" } layer { name: "drop" type: "Dropout" bottom: "c" top: "c" } '
    'layer { name: "t" type: "TanH" bottom: "c" top: "t" } layer { name: "return" type: "Sigmoid" bottom: "c" top: "s" } '
    'layer { name: "again" type: "ReLU" bottom: "t" top: "t" relu_param { negative_slope: 0.5 } } '
    'layer { name: "y" type: "Concat" bottom: "t" bottom: "s" bottom: "x" top: "y" } '
    'layer { name: "torch" type: "ReLU" bottom: "y" top: "y" }' % FILL)


def built(text, seed=1):
    caffe.set_random_seed(seed)
    return net_from_text(text, caffe.TEST)


def export(net, target, folder):
    path = str(folder / ("net" + ENDING[target]))
    (caffe.export.to_onnx if target == "onnx" else caffe.export.to_torch)(net, path)
    return path


def fill_statistics(net):
    """Running averages of BatchNorm as a training leaves them."""
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for blob, values in zip(layer.blobs, ([1, 2, -3, 0], [4, 5, 6, 7], [2])):
                blob.data[...] = values


@pytest.mark.parametrize("target", ["onnx", "torch"])
@pytest.mark.parametrize("case", CASES)
def test_layer_computes_the_same(case, target, tmp_path):
    net = built(CASES[case])
    fill_statistics(net)
    path = export(net, target, tmp_path)
    shape = list(net.blobs["x"].shape)
    for first in (shape[0], 5):                     # axis 0 is free
        x = np.random.default_rng(0).normal(size=[first] + shape[1:]).astype(np.float32)
        (name, (difference, largest)), = caffe.export.largest_differences(net, path, {"x": x}).items()
        assert name == "y" and largest > 0.01
        assert difference <= 2e-6 * max(1, largest)


ROI_NET = ('input: "x" input_shape { dim: 2 dim: 3 dim: 19 dim: 31 } input: "rois" input_shape { dim: 1 dim: 5 } '
           'layer { name: "pool5" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" '
           'roi_pooling_param { pooled_h: %d pooled_w: %d spatial_scale: 0.0625 } }')


def many_rois(count):
    """Inside, across and outside an image of 496 x 304, many on half cells, some turned inside out."""
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(-100, 700, (count, 2)), 1), np.sort(rng.uniform(-100, 400, (count, 2)), 1)
    rois = np.stack((rng.integers(0, 2, count), x[:, 0], y[:, 0], x[:, 1], y[:, 1]), axis=1)
    rois[::2, 1:] = np.round(rois[::2, 1:] / 8) * 8
    rois[::10, [1, 3]] = rois[::10, [3, 1]]
    return rois.astype(np.float32)


@pytest.mark.parametrize("target, count", [("onnx", 20000), ("onnx", 0), ("torch", 400), ("torch", 0)])
@pytest.mark.parametrize("bins", [(6, 6), (7, 7), (2, 5)])
def test_roi_pooling_is_equal_bit_for_bit(target, count, bins, tmp_path):
    net = built(ROI_NET % bins)
    path = export(net, target, tmp_path)
    x = np.random.default_rng(1).normal(size=(2, 3, 19, 31)).astype(np.float32)
    differences = caffe.export.largest_differences(net, path, {"x": x, "rois": many_rois(count)})
    assert differences["y"][0] == 0


def test_exported_torch_module_can_be_trained(tmp_path):
    net = built(ROI_NET % (3, 3) + 'layer { name: "fc" type: "InnerProduct" bottom: "y" top: "z" inner_product_param '
                '{ num_output: 2 %s } }' % FILL)
    export(net, "torch", tmp_path)
    namespace = {}
    exec((tmp_path / "net.py").read_text(), namespace)
    module = namespace["Net"]()
    module.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    x = torch.rand(2, 3, 19, 31, requires_grad=True)
    module(x, torch.tensor([[0, 10, 10, 200, 150.0]]))["z"].sum().backward()
    assert module.fc.weight.grad.abs().sum() > 0 and x.grad.abs().sum() > 0


def test_names_of_the_state_dict(tmp_path):
    export(built(CASES["convolution"]), "torch", tmp_path)
    state = torch.load(tmp_path / "net.pth", weights_only=True)
    assert {name: tuple(array.shape) for name, array in state.items()} == {
        "made_by_hand.weight": (6, 2, 3, 2), "made_by_hand.bias": (6,)}


def test_shared_weights_stand_in_an_onnx_file_once(tmp_path):
    fc = ('layer { name: "%s" type: "InnerProduct" bottom: "x" top: "%s" param { name: "w" } param { name: "b" } '
          'inner_product_param { num_output: 5 ' + FILL + ' } }')
    net = built(ROWS + fc % ("a", "a") + fc % ("b", "b"))
    path = export(net, "onnx", tmp_path)
    import onnx
    assert sorted(t.name for t in onnx.load(path).graph.initializer) == ["a.bias", "a.weight"]
    differences = caffe.export.largest_differences(net, path, {"x": np.ones((3, 6), np.float32)})
    assert sorted(differences) == ["a", "b"] and max(d for d, _ in differences.values()) < 1e-6


@pytest.mark.parametrize("target", ["onnx", "torch"])
@pytest.mark.parametrize("body, words", [
    ('type: "MVN"', ["made/by.hand", "MVN"]),
    ('type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 3 }', ["made/by.hand", "stride"]),
    ('type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }', ["made/by.hand", "STOCHASTIC"]),
    ('type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL }', ["made/by.hand", "WITHIN_CHANNEL"])])
def test_layer_without_counterpart_is_named(body, words, target, tmp_path):
    with pytest.raises(caffe.CaffeError) as e:
        export(built(one(body)), target, tmp_path)
    assert [word for word in words if word not in str(e.value)] == []
    assert list(tmp_path.iterdir()) == []


def test_net_in_train_is_refused(tmp_path):
    with pytest.raises(caffe.CaffeError, match="TEST"):
        export(net_from_text(CASES["relu"], caffe.TRAIN), "onnx", tmp_path)


def test_check_sees_other_weights(tmp_path):
    net = built(CASES["inner_product"])
    path = export(net, "onnx", tmp_path)
    net.params["made/by.hand"][1].data[2] += 0.5
    x = np.zeros((2, 4, 11, 14), np.float32)
    assert caffe.export.largest_differences(net, path, {"x": x})["y"][0] == pytest.approx(0.5, abs=1e-6)
