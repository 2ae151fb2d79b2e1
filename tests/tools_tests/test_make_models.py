"""models/**/*.prototxt: in step with their builder, and the original's nets."""
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.reference import ROOT, shared, shipped
from support.tiny_net import load_make_models

MODELS = ROOT / "models"
VOC_NETS = ("VGG16", "VGG_CNN_M_1024", "SqueezeNet")
METHODS = ("fast_rcnn", "fast_rcnn_ohem")


@pytest.fixture(scope="module")
def make_models():
    return load_make_models()


def read(path, message=caffe_pb2.NetParameter):
    return text_format.Parse(path.read_text(), message())


def voc_net(net, method="fast_rcnn_ohem", name="train"):
    return read(MODELS / "pascal_voc" / net / method / (name + ".prototxt"))


def prototxts():
    """The alternating nets of py-faster-rcnn are called .pt."""
    return [*MODELS.rglob("*.prototxt"), *MODELS.rglob("*.pt")]


def test_committed_files_are_what_the_builder_writes(make_models):
    built = make_models.all_files()
    committed = {str(path.relative_to(MODELS)): path.read_text() for path in prototxts()}
    assert sorted(built) == sorted(committed)
    assert [path for path in built if built[path] != committed[path]] == []


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
