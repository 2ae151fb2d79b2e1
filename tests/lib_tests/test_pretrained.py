"""Weights to start from: what of a detector of other classes is loaded, and what is not."""
import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from fast_rcnn.pretrained import load_pretrained

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
