"""models/**/*.prototxt: in step with their builder, and the original's nets."""
import shutil
import subprocess
import sys

import caffe
import pytest
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
from generate.layers import freeze
from generate.prototxt import prototxt
from google.protobuf import text_format
from support.reference import ROOT, shared, shipped

MODELS = ROOT / "models"
VOC_NETS = ("VGG16", "VGG_CNN_M_1024", "SqueezeNet")
METHODS = ("fast_rcnn", "fast_rcnn_ohem")


def read(path, message=caffe_pb2.NetParameter):
    return text_format.Parse(path.read_text(), message())


def voc_net(net, method="fast_rcnn_ohem", name="train"):
    return read(MODELS / "pascal_voc" / net / method / (name + ".prototxt"))


def prototxts(folder=MODELS):
    """The alternating nets of py-faster-rcnn are called .pt."""
    return [*folder.rglob("*.prototxt"), *folder.rglob("*.pt")]


def test_committed_files_are_what_the_builder_writes(tmp_path):
    clone = tmp_path / "my clone (ü)'s"
    shutil.copytree(MODELS / "generate", clone / "models" / "generate")
    (clone / "caffe-fast-rcnn").symlink_to(ROOT / "caffe-fast-rcnn")
    make = clone / "models" / "generate" / "make.py"
    printed = subprocess.run([sys.executable, make], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    built, committed = ({str(path.relative_to(folder)): path.read_bytes() for path in prototxts(folder)}
                        for folder in (clone / "models", MODELS))
    assert sorted(built) == sorted(committed) == sorted(line.removeprefix("wrote models/") for line in printed.splitlines())
    assert [path for path in built if built[path] != committed[path]] == []


def test_written_text_is_short_and_means_the_same():
    n = caffe.NetSpec()
    n.data = L.Input(shape=[{"dim": [1, 3]}, {"dim": [0, -1]}])
    n.conv = L.Convolution(n.data, num_output=8, kernel_size=[1, 3], bias_term=False, propagate_down=[True],
                           param={"lr_mult": 1, "decay_mult": 0.00025}, weight_filler={"type": "gaussian", "std": 1e-20})
    n.pool = L.Pooling(n.conv, pool=P.Pooling.AVE, include={"phase": caffe.TEST, "stage": ["a", "b"]})
    n.py = L.Python(n.pool, module="m", layer="Ü", param_str="{'a': \"b\", 'c': '\\n\t'}\n")
    n.out = L.Power(n.py, power=1 / 3, scale=16777216, shift=float("-inf"))
    net = n.to_proto()
    net.name, net.force_backward = "net", True
    text = prototxt(net, "what it is")
    assert text_format.Parse(text, caffe_pb2.NetParameter()) == net
    assert text.startswith('# Written by models/generate/make.py: change it there.\n# what it is\nname: "net"\n')
    assert """
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"
  param { lr_mult: 1 decay_mult: 0.00025 }
  propagate_down: true
  convolution_param { num_output: 8 bias_term: false kernel_size: 1 kernel_size: 3 weight_filler { type: "gaussian" std: 1e-20 } }
}
""" in text
    assert '  include { phase: TEST stage: "a" stage: "b" }\n  pooling_param { pool: AVE }\n' in text


def test_freezing_sets_both_multipliers_and_nothing_else():
    n = caffe.NetSpec()
    n.data = L.Input()
    n.a, n.b = (L.InnerProduct(n.data, num_output=2, param=[{"name": name, "lr_mult": 3}, {}]) for name in "ab")
    n.c = L.InnerProduct(n.a, num_output=2)
    before = n.to_proto()
    freeze(n, ["data", "a", "c"])
    frozen = n.to_proto()
    assert list(frozen.layer[1].param) == [caffe_pb2.ParamSpec(name="a", lr_mult=0, decay_mult=0),
                                           caffe_pb2.ParamSpec(lr_mult=0, decay_mult=0)]
    assert [frozen.layer[i] for i in (0, 2, 3)] == [before.layer[i] for i in (0, 2, 3)]


def test_every_prototxt_parses():
    for path in prototxts():
        read(path, caffe_pb2.SolverParameter if "solver" in path.name else caffe_pb2.NetParameter)


@pytest.mark.parametrize("net", VOC_NETS)
@pytest.mark.parametrize("method", METHODS)
def test_solver_has_the_originals_values(net, method):
    solver = read(MODELS / "pascal_voc" / net / method / "solver.prototxt", caffe_pb2.SolverParameter)
    assert solver.train_net == "models/pascal_voc/%s/%s/train.prototxt" % (net, method)
    assert (ROOT / solver.train_net).is_file()
    assert solver.iter_size == (2 if method == "fast_rcnn_ohem" else 1)
    assert (solver.lr_policy, solver.display, solver.average_loss, solver.snapshot) == ("step", 20, 100, 0)
    assert solver.snapshot_prefix == net.lower() + "_fast_rcnn"
    assert [solver.momentum, solver.weight_decay, solver.gamma] == pytest.approx([0.9, 0.0005, 0.1])
    if net != "SqueezeNet":
        assert (solver.base_lr, solver.stepsize) == (pytest.approx(0.001), 30000)


@pytest.mark.parametrize("net, frozen, blobs", [("VGG16", ["conv1_1", "conv1_2", "conv2_1", "conv2_2"], 13),
                                                ("VGG_CNN_M_1024", ["conv1"], 5)])
@pytest.mark.parametrize("method", METHODS)
def test_multipliers_of_the_trunk(net, frozen, blobs, method):
    convs = {layer.name: [(p.lr_mult, p.decay_mult) for p in layer.param]
             for layer in voc_net(net, method).layer if layer.type == "Convolution"}
    assert len(convs) == blobs
    assert {name for name, params in convs.items() if params == [(0, 0), (0, 0)]} == set(frozen)
    assert all(convs[name] == [(1, 1), (2, 1)] for name in set(convs) - set(frozen))


@pytest.mark.parametrize("net", VOC_NETS)
def test_roi_networks_are_the_originals(net):
    """From the read-only branch on: names, types, bottoms, tops, propagate_down and params as in the recorded net."""
    recorded = roi_part(read(shipped("lib", "c6_ohem", "train.prototxt")))
    assert roi_part(without_weights_scale(voc_net(net))) == recorded


def roi_part(net):
    layers = list(net.layer)
    first = [layer.name for layer in layers].index("roi_pool5_readonly")
    trunk_top = layers[first].bottom[0]
    return [(layer.name, layer.type, ["TRUNK" if b == trunk_top else b for b in layer.bottom], list(layer.top),
             list(layer.propagate_down), [str(param) for param in layer.param], list(layer.loss_weight))
            for layer in layers[first:] if layer.type != "Dropout"]      # the recorded net has none


def without_weights_scale(net):
    """fc6's lr_mult is the one thing our SqueezeNet changes in the RoI network."""
    for layer in net.layer:
        if layer.name == "fc6":
            layer.param[0].lr_mult = 1
    return net


def test_fc_layers_have_fillers_in_both_copies():
    for net in VOC_NETS:
        layers = {layer.name: layer for layer in voc_net(net).layer}
        for name in ("fc6", "fc7", "cls_score", "bbox_pred"):
            ours, owner = layers[name].inner_product_param, layers[name + "_readonly"].inner_product_param
            assert ours == owner
            assert ours.weight_filler.type == "gaussian" and ours.weight_filler.std > 0


def test_dropout_stands_in_both_copies_where_the_original_has_it():
    names = [layer.name for layer in voc_net("VGG16").layer if layer.type == "Dropout"]
    assert names == ["drop6_readonly", "drop7_readonly", "drop6", "drop7"]


def test_plain_and_ohem_share_trunk_and_test_net():
    for net in VOC_NETS:
        plain, ohem = (voc_net(net, method) for method in METHODS)
        trunk = [str(layer) for layer in plain.layer][:[layer.name for layer in plain.layer].index("roi_pool5")]
        assert [str(layer) for layer in ohem.layer][:len(trunk)] == trunk
        tests = [(MODELS / "pascal_voc" / net / method / "test.prototxt").read_text() for method in METHODS]
        assert tests[0] == tests[1]


def test_squeezenet_trunk_is_the_one_the_weights_were_trained_with():
    trained = caffe_pb2.NetParameter()
    trained.ParseFromString(shared("data", "imagenet_models", "SqueezeNet.caffemodel").read_bytes())
    ours = [facts(layer) for layer in voc_net("SqueezeNet").layer[1:]]
    last = [layer.name for layer in trained.layer].index("fire9/concat")
    theirs = [facts(layer) for layer in trained.layer[:last + 1]]
    assert ours[:len(theirs)] == theirs


def facts(layer):
    conv, pool = layer.convolution_param, layer.pooling_param
    return (layer.name, layer.type, list(layer.bottom), list(layer.top), conv.num_output, list(conv.kernel_size),
            list(conv.stride), list(conv.pad), pool.pool, pool.kernel_size, pool.stride)
