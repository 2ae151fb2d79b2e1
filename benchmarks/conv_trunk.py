"""VGG16 without RoIs against the C++ Caffe: the convolutions on one image, and the whole classifier there and back.

Both read the same prototxt and the same weights, and must agree on the result.
"""
import os
import tempfile
from pathlib import Path

import caffe
import numpy as np
import torch
from _caffe_peer import CaffePeer
from _inputs import SEED, image_blob
from _machine import limit_seconds
from _ours import DTYPES, he_weights, in_precisions, read_net
from _paths import ROOT
from _plain import TRUNKS, trunk
from _report import Row
from _timing import interleaved
from torch.utils.flop_counter import FlopCounterMode

DEPLOY = ROOT / "models" / "imagenet" / "VGG16" / "deploy.prototxt"
TARGETS = {"float32": 0.45, "bf16": 0.12}
IMAGES = 2          # of the classifier's batch
AGREEMENT = 1e-3    # of the largest activation


def cases(sizes):
    """{case name: function of the settings}."""
    return {"trunk/VGG16/forward": _forward, "trunk/VGG16/classifier": _classifier}


def _forward(settings):
    """Rows: the trunk's forward pass in both precisions, against the C++ Caffe and plain PyTorch."""
    data = {"data": image_blob(settings.sizes.height, settings.sizes.width)}
    with tempfile.TemporaryDirectory() as folder:
        net, files = _write(folder, trunk_param(data), data, caffe.TEST)
        peer = CaffePeer(settings.caffe_python, files, "forward", torch.get_num_threads())
        with peer:
            peer.require_same(net.forward()["conv5_3"], AGREEMENT)
            arms = {**in_precisions(net.forward, TARGETS), **peer.arms(), "plain": _plain_forward(net, data["data"])}
            seconds = interleaved(arms, settings.repeats)
    flops, num_bytes = _work(arms["plain"]), 8 * sum(blob.count for blob in net.blobs.values())
    return [row for name in TARGETS for row in (
        Row("trunk/VGG16/forward/%s" % name, seconds[name], seconds.get("caffe"), peer.name,
            limit_seconds(flops, num_bytes, DTYPES[name]), TARGETS[name]),
        Row("trunk/VGG16/forward/%s/plain" % name, seconds[name], seconds["plain"], "plain PyTorch in float32"))]


def _classifier(settings):
    """One row: forward + backward of the whole VGG16 with a loss, float32, against the C++ Caffe."""
    rng = np.random.default_rng(SEED)
    images = np.repeat(image_blob(224, 224), IMAGES, axis=0)
    data = {"data": images, "label": rng.integers(0, 1000, IMAGES).astype(np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        net, files = _write(folder, _classifier_param(data), data, caffe.TRAIN)

        def ours():
            net.clear_param_diffs()
            net.forward()
            net.backward()

        with CaffePeer(settings.caffe_python, files, "forward_backward", torch.get_num_threads()) as peer:
            seconds = interleaved({"ours": ours, **peer.arms()}, settings.repeats)
    return [Row("trunk/VGG16/classifier/float32", seconds["ours"], seconds.get("caffe"), peer.name,
                note="forward + backward, %d images of 224 x 224" % IMAGES)]


def trunk_param(data):
    """The deploy net up to relu5_3, on an input of data's shape."""
    net = read_net(DEPLOY)
    del net.layer[[layer.name for layer in net.layer].index("relu5_3") + 1:]
    net.input_shape[0].dim[:] = data["data"].shape
    return net


def _classifier_param(data):
    """The deploy net with a batch of data's size and a loss in place of the probabilities; no dropout."""
    net = read_net(DEPLOY)
    net.input_shape[0].dim[:] = data["data"].shape
    net.input.append("label")
    net.input_shape.add(dim=data["label"].shape)
    layers = [layer for layer in net.layer if layer.type not in ("Softmax", "Dropout")]
    del net.layer[:]
    net.layer.extend(layers)
    net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=["fc8", "label"], top=["loss"])
    for layer in net.layer:
        if layer.type == "InnerProduct":
            layer.inner_product_param.weight_filler.type = "xavier"
    return net


def _write(folder, param, data, phase):
    """The net with data and weights from a seed, and the files that let the C++ Caffe run the same."""
    files = {name: os.path.join(folder, name) for name in ("net.prototxt", "net.caffemodel", "data.npz", "result.npy")}
    Path(files["net.prototxt"]).write_text(str(param), encoding="utf-8")
    caffe.set_random_seed(SEED)
    net = caffe.Net(files["net.prototxt"], phase)
    he_weights(net)
    for name, array in data.items():
        net.blobs[name].data[...] = array
    net.save(files["net.caffemodel"])
    np.savez(files["data.npz"], **data)
    return net, files


def _plain_forward(net, data):
    params = [(torch.tensor(weight.data), torch.tensor(bias.data)) for weight, bias in net.params.values()]
    data = torch.tensor(data)

    def run():
        with torch.no_grad():
            trunk(TRUNKS["VGG16"], params, data)
    return run


def _work(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
