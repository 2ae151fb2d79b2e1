"""Weights to start from: what of a detector of other classes is loaded, and what is not."""
import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from fast_rcnn.class_names import write_class_names
from training.pretrained import load_detector, load_pretrained
from utils.errors import UserError

NET = """name: "n" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc7" type: "InnerProduct" bottom: "x" top: "fc7" inner_product_param { num_output: %(width)d %(filler)s } }
layer { name: "%(prefix)scls_score" type: "InnerProduct" bottom: "fc7" top: "cls_score" inner_product_param { num_output: %(n)d %(filler)s } }
layer { name: "bbox_pred" type: "InnerProduct" bottom: "fc7" top: "bbox_pred" inner_product_param { num_output: %(n4)d %(filler)s } }
"""


@pytest.fixture
def make_net(tmp_path):
    """make_net(classes, value, width) -> a net whose weights are all `value`."""
    def make(classes, value=0.0, width=5, prefix=""):
        path = tmp_path / "net.prototxt"
        path.write_text(NET % {"n": classes, "n4": 4 * classes, "width": width, "prefix": prefix,
                               "filler": "weight_filler { type: 'constant' value: %g }" % value})
        return caffe.Net(str(path), caffe.TEST)
    return make


def save(net, path):
    net.save(str(path))
    return path


def values(net):
    return {name: float(blobs[0].data.flat[0]) for name, blobs in net.params.items()}


def test_a_detector_of_other_classes(make_net, tmp_path, capsys):
    file, net = save(make_net(21, 7), tmp_path / "voc.caffemodel"), make_net(4, 1)
    load_pretrained(net, file)
    assert values(net) == {"fc7": 7, "cls_score": 1, "bbox_pred": 1}
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "other classes" in line]
    assert "voc.caffemodel" in line and "cls_score has 21x5 and 21 there and 4x5 and 4 here" in line
    assert "bbox_pred has 84x5 and 84 there and 16x5 and 16 here" in line


def test_the_same_classes_load_whole(make_net, tmp_path, capsys):
    net = make_net(4, 1)
    load_pretrained(net, save(make_net(4, 7), tmp_path / "mine.caffemodel"))
    assert set(values(net).values()) == {7} and "other classes" not in capsys.readouterr().out


def test_only_the_last_layers_may_differ(make_net, tmp_path):
    file = save(make_net(21, 7, width=6), tmp_path / "wide.caffemodel")
    with pytest.raises(caffe.CaffeError, match="fc7"):
        load_pretrained(make_net(4), file)
    file = save(make_net(21, 7, prefix="my_"), tmp_path / "named.caffemodel")
    with pytest.raises(caffe.CaffeError, match="my_cls_score"):
        load_pretrained(make_net(4, prefix="my_"), file)


@pytest.mark.parametrize("classes, loaded", [(4, 7), (21, 1)])
def test_older_files_pad_shapes_with_ones(make_net, tmp_path, classes, loaded):
    """The published detectors give num, channels, height, width."""
    old = caffe_pb2.NetParameter.FromString(save(make_net(classes, 7), tmp_path / "old.caffemodel").read_bytes())
    for layer in old.layer:
        for blob in layer.blobs:
            dims = [1] * (4 - len(blob.shape.dim)) + list(blob.shape.dim)
            blob.ClearField("shape")
            blob.num, blob.channels, blob.height, blob.width = dims
    (tmp_path / "old.caffemodel").write_bytes(old.SerializeToString())
    net = make_net(4, 1)
    load_pretrained(net, tmp_path / "old.caffemodel")
    assert values(net) == {"fc7": 7, "cls_score": loaded, "bbox_pred": loaded}
    assert np.isfinite(net.params["bbox_pred"][0].data).all()


# ---- by the names of the classes

RFCN = """name: "r" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 5 dim: 2 dim: 2 } } }
layer { name: "rfcn_cls" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: %d kernel_size: 1 } }
layer { name: "rfcn_bbox" type: "Convolution" bottom: "x" top: "b" convolution_param { num_output: %d kernel_size: 1 } }
"""
THREE, SORTED = ("__background__", "cat", "dog", "cow"), ("__background__", "COW", "cat", "Dog")


def numbered(net, path, names=None):
    """Save a net whose every row of weights is its own number."""
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = np.arange(len(blob.data)).reshape((-1,) + (1,) * (blob.data.ndim - 1))
    net.save(str(path))
    write_class_names(path, names)
    return path


def rows(net):
    """{layer: the number in each row}, which is the same in weights and bias."""
    for weights, bias in net.params.values():
        np.testing.assert_array_equal(weights.data.reshape(len(bias.data), -1).T,
                                      np.tile(bias.data, (weights.data[0].size, 1)))
    return {name: bias.data.tolist() for name, (_, bias) in net.params.items()}


def test_the_same_classes_in_another_order(make_net, tmp_path, capsys):
    file, net = numbered(make_net(4), tmp_path / "pets.caffemodel", THREE), make_net(4, 1)
    load_pretrained(net, file, SORTED)
    assert rows(net) == {"fc7": [0, 1, 2, 3, 4], "cls_score": [0, 3, 1, 2],
                         "bbox_pred": [0, 1, 2, 3, 12, 13, 14, 15, 4, 5, 6, 7, 8, 9, 10, 11]}
    said = capsys.readouterr().out
    assert "in another order; the rows of its cls_score and bbox_pred are sorted" in said


def test_other_classes_of_the_same_number(make_net, tmp_path, capsys):
    """Before, the rows of one class were taken for those of another, silently."""
    file, net = numbered(make_net(4), tmp_path / "pets.caffemodel", THREE), make_net(4, 7)
    load_pretrained(net, file, ("__background__", "cat", "dog", "kite"))
    assert rows(make_net(4))["cls_score"] == [0] * 4
    assert net.params["cls_score"][0].data.min() == net.params["bbox_pred"][0].data.min() == 7
    assert net.params["fc7"][1].data.tolist() == [0, 1, 2, 3, 4]
    said = capsys.readouterr().out
    assert "has other classes: missing: kite; unknown: cow; cls_score and bbox_pred are initialised by their fillers" in said


@pytest.mark.parametrize("shared", [True, False])
def test_score_maps_of_rfcn(tmp_path, shared, capsys):
    """9 parts of each of 3 classes, one after the other; boxes that the classes share stay."""
    names = ("__background__", "a", "b")
    (tmp_path / "r.prototxt").write_text(RFCN % (27, 72 if shared else 108))
    file = numbered(caffe.Net(str(tmp_path / "r.prototxt"), caffe.TEST), tmp_path / "r.caffemodel", names)
    net = caffe.Net(str(tmp_path / "r.prototxt"), caffe.TEST)
    load_pretrained(net, file, ("__background__", "b", "a"))
    assert rows(net)["rfcn_cls"] == [*range(9), *range(18, 27), *range(9, 18)]
    assert rows(net)["rfcn_bbox"] == [*range(72)] if shared else [*range(36), *range(72, 108), *range(36, 72)]
    (tmp_path / "r.prototxt").write_text(RFCN % (36, 72 if shared else 144))
    net = caffe.Net(str(tmp_path / "r.prototxt"), caffe.TEST)
    load_pretrained(net, file, ("__background__", "b", "a", "c"))
    assert rows(net) == {"rfcn_cls": [0] * 36, "rfcn_bbox": [*range(72)] if shared else [0] * 144}
    assert "missing: c, rfcn_cls has 27x5x1x1 and 27 there" in capsys.readouterr().out


def test_a_detector_without_names_is_taken_as_it_is_with_a_line(make_net, tmp_path, capsys):
    net = make_net(4, 1)
    load_pretrained(net, numbered(make_net(4), tmp_path / "old.caffemodel"), SORTED)
    assert rows(net)["cls_score"] == [0, 1, 2, 3]
    assert "old.caffemodel has no class names; the rows of its cls_score and bbox_pred are" in capsys.readouterr().out
    load_pretrained(net, numbered(make_net(4, prefix="other_"), tmp_path / "trunk.caffemodel"))
    assert "class names" not in capsys.readouterr().out


@pytest.mark.parametrize("in_file", [True, False])
def test_a_detector_to_go_on_with_has_the_very_classes(make_net, tmp_path, in_file):
    file = numbered(make_net(4), tmp_path / "pets.caffemodel", THREE if in_file else None)
    recorded, net = (SORTED if in_file else THREE), make_net(4)
    load_detector(net, file, SORTED, recorded, "pets_trainval")
    assert rows(net)["cls_score"] == [0, 3, 1, 2]
    with pytest.raises(UserError, match="pets.caffemodel has other classes than pets_trainval: missing: kite; unknown: cow"):
        load_detector(net, file, ("__background__", "cat", "dog", "kite"), recorded, "pets_trainval")
