"""Published nets by NetSpec, built and run in TRAIN and TEST: LeNet, AlexNet, GoogLeNet, cifar10-quick, the MNIST
autoencoder (two layers of one name), a Siamese net; and a recurrent net that learns."""
import json
import os
import subprocess

import caffe
import numpy as np
import pytest
from caffe import layers as L
from support.nets import solver_from_text
from support.published_nets import NETS, published_net

OUTPUTS = {     # TRAIN, TEST
    "LeNet": (["loss"], ["accuracy", "loss"]), "AlexNet": (["loss"], ["accuracy", "loss"]),
    "GoogLeNet": (["loss1", "loss2", "loss3"], ["loss1", "loss2", "loss3", "top1", "top5"]),
    "cifar10-quick": (["loss"], ["accuracy", "loss"]),
    "mnist autoencoder": (["cross_entropy_loss", "l2_error"], ["cross_entropy_loss", "l2_error"]),
    "Siamese": (["loss"], ["loss"]),
}
START = {"LeNet": 2.3, "AlexNet": 6.9, "GoogLeNet": 1.6 * 6.9, "cifar10-quick": 2.3}       # losses of chance: log(classes)


def dummy_source(shape, largest, batch=1):
    """Random images, and labels of the largest class."""
    fillers = [dict(type="uniform", min=0, max=1), dict(type="constant", value=largest or 0)]
    if largest is None:
        return L.DummyData(shape=dict(dim=[batch, *shape]), data_filler=fillers[0])
    return L.DummyData(shape=[dict(dim=[batch, *shape]), dict(dim=[batch])], data_filler=fillers, ntop=2)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST], ids=["TRAIN", "TEST"])
@pytest.mark.parametrize("name", NETS)
def test_is_built_and_runs(name, phase, tmp_path):
    caffe.set_random_seed(1)
    (tmp_path / "net.prototxt").write_text(str(published_net(name, dummy_source)), encoding="utf-8")
    net = caffe.Net(str(tmp_path / "net.prototxt"), phase)
    assert net.outputs == OUTPUTS[name][phase]
    assert sum(blob.count for blob in net.learnable_params) == NETS[name][-1]
    loss = net.forward_from_to()
    assert np.isfinite(float(loss)) and all(np.isfinite(out.data).all() for out in map(net.blobs.get, net.outputs))
    if name in START:
        assert float(loss) == pytest.approx(START[name], rel=0.25)
    if phase == caffe.TRAIN:
        net.backward()
        assert [layer for layer in net.params if not np.abs(net.params[layer][0].diff).max() > 0] == []


def test_two_losses_of_one_name():
    net = published_net("mnist autoencoder", dummy_source)
    assert [list(layer.top) for layer in net.layer if layer.name == "loss"] == [["cross_entropy_loss"], ["l2_error"]]
    built = caffe.Net(net, caffe.TRAIN)
    assert list(built._layer_names).count("loss") == 2
    assert built.blob_loss_weights["cross_entropy_loss"] == 1 and built.blob_loss_weights["l2_error"] == 0


def test_the_branches_of_the_siamese_net_share_their_weights():
    net = caffe.Net(published_net("Siamese", dummy_source), caffe.TRAIN)
    for name in ("conv1", "conv2", "ip1", "ip2", "feat"):
        assert all(a is b for a, b in zip(net.params[name], net.params[name + "_p"], strict=True))


DESCRIBE = """
import json, sys, caffe
net = caffe.Net(sys.argv[1], int(sys.argv[2]))
json.dump([list(net._layer_names), list(net._blob_names), [list(b.shape) for b in net._blobs], list(net.outputs),
           {name: [list(b.shape) for b in net.params[name]] for name in net.params}], open(sys.argv[3], "w"))
"""


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("name", NETS)
def test_has_the_layers_blobs_and_shapes_of_caffe_1_0(name, phase, tmp_path):
    python = os.environ.get("CAFFE_PYTHON")
    if not python:
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    (tmp_path / "net.prototxt").write_text(str(published_net(name, dummy_source)), encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([python, "-c", DESCRIBE, "net.prototxt", str(phase), "theirs.json"], check=True, cwd=tmp_path, env=env)
    theirs = json.loads((tmp_path / "theirs.json").read_text(encoding="utf-8"))
    net = caffe.Net(str(tmp_path / "net.prototxt"), phase)
    assert theirs == [list(net._layer_names), list(net._blob_names), [list(b.shape) for b in net._blobs],
                      list(net.outputs), {k: [list(b.shape) for b in v] for k, v in net.params.items()}]


# ---- a recurrent net that learns: which sign did the first number of the sequence have?

STEPS, STREAMS, LENGTH = 10, 16, 5      # two sequences of five steps in each stream


def recurrent_net(kind):
    n = caffe.NetSpec()
    n.x, n.cont, n.label = (L.Input(shape=dict(dim=dim)) for dim in ([STEPS, STREAMS, 2], [STEPS, STREAMS], [STEPS, STREAMS]))
    n.h = getattr(L, kind)(n.x, n.cont, recurrent_param=dict(num_output=8, weight_filler=dict(type="xavier")))
    n.score = L.InnerProduct(n.h, num_output=2, axis=2, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label, softmax_param=dict(axis=2))
    n.accuracy = L.Accuracy(n.score, n.label, accuracy_param=dict(axis=2))
    return str(n.to_proto())


def show_sequences(net, rng):
    """New sequences into the net's inputs: noise, and a sign at each sequence's first step, marked by cont 0."""
    signs = rng.choice([-1, 1], (STEPS // LENGTH, STREAMS))
    x = rng.normal(0, 0.5, (STEPS, STREAMS, 2))
    x[::LENGTH, :, 0] = signs
    x[:, :, 1] = 0
    x[::LENGTH, :, 1] = 1                                       # "this is the first number"
    net.blobs["x"].data[...] = x
    net.blobs["cont"].data[...] = (np.arange(STEPS) % LENGTH > 0)[:, None]
    net.blobs["label"].data[...] = np.repeat(signs > 0, LENGTH, 0)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_a_recurrent_net_learns_to_remember(kind, tmp_path):
    caffe.set_random_seed(3)
    rng = np.random.default_rng(3)
    solver = solver_from_text(recurrent_net(kind), 'type: "Adam" base_lr: 0.02 lr_policy: "fixed"', tmp_path)
    show_sequences(solver.net, rng)
    solver.net.forward()
    before = float(solver.net.blobs["accuracy"].data)
    for _ in range(150):
        show_sequences(solver.net, rng)
        solver.step(1)
    right = []
    for _ in range(10):
        show_sequences(solver.net, rng)
        right.append(float(solver.net.forward()["accuracy"]))
    assert before < 0.8 and np.mean(right) > 0.97
