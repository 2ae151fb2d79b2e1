"""Our side of the benchmarks: solvers and nets of the project's prototxts, fed by hand, with weights from a seed."""
from contextlib import contextmanager

import caffe
import numpy as np
import torch
from _inputs import SEED
from _paths import ROOT
from caffe.proto import caffe_pb2
from google.protobuf import text_format

MODELS = ROOT / "models" / "pascal_voc"
RATE = 1e-4
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}      # of the factors that a precision multiplies


def read_net(path):
    """The NetParameter of a prototxt."""
    return text_format.Parse(path.read_text(), caffe_pb2.NetParameter())


@contextmanager
def precision(name):
    """caffe.set_precision(name) for a while."""
    before = caffe.precision()
    caffe.set_precision(name)
    try:
        yield
    finally:
        caffe.set_precision(before)


def in_precisions(function, names):
    """{name: the function run under caffe.set_precision(name)} for interleaved()."""
    def arm(name):
        def run():
            with precision(name):
                function()
        return run
    return {name: arm(name) for name in names}


def training_solver(net_name, method, blobs):
    """The solver of models/pascal_voc/<net>/<method>, one pass an iteration, its data layer replaced by `blobs`."""
    param = caffe_pb2.SolverParameter()
    text_format.Parse((MODELS / net_name / method / "solver.prototxt").read_text(), param)
    param.ClearField("train_net")
    param.iter_size, param.display, param.base_lr = 1, 0, RATE
    net = read_net(MODELS / net_name / method / "train.prototxt")
    layers = [layer for layer in net.layer if layer.name != "data"]
    del net.layer[:]
    for name, blob in blobs.items():
        net.layer.add(name=name, type="Input", top=[name]).input_param.shape.add(dim=blob.shape)
    net.layer.extend(layers)
    param.net_param.CopyFrom(net)
    caffe.set_random_seed(SEED)
    solver = caffe.SGDSolver(param)
    feed(solver.net, blobs)
    he_weights(solver.net)
    return solver


def feed(net, blobs):
    """Put arrays into the net's input blobs."""
    for name, blob in blobs.items():
        net.blobs[name].reshape(*blob.shape)
        net.blobs[name].data[...] = blob


def he_weights(net):
    """Weights of the convolutions that keep the size of what goes through (the prototxts leave them 0)."""
    rng = np.random.default_rng(SEED)
    for blobs in net.params.values():
        weight = blobs[0].data
        if weight.ndim == 4:
            deviation = np.sqrt(2 / np.prod(weight.shape[1:]))
            weight[...] = deviation * rng.standard_normal(weight.shape, dtype=np.float32)


def plain_params(net):
    """The (weight, bias) tensors of the layers that learn or could, read-only copies aside, in the order of the net."""
    return [(torch.tensor(weight.data), torch.tensor(bias.data))
            for name, (weight, bias) in net.params.items() if not name.endswith("_readonly")]
