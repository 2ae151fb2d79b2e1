"""The field of class names in caffemodels: written, read, changed, skipped by other Caffes; classes held against each other."""
import os
import subprocess

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from fast_rcnn.class_names import (
    class_columns,
    count_classes,
    difference,
    read_class_names,
    take_columns,
    write_class_names,
)
from utils.errors import UserError

NAMES = "__background__", "rød", "red apple", "二"
NET = """name: "n" layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 3
        weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "cls_score" type: "InnerProduct" bottom: "conv" top: "cls_score"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.5 } } }
"""


@pytest.fixture
def prototxt(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return str(tmp_path / "net.prototxt")


@pytest.fixture
def caffemodel(prototxt, tmp_path):
    caffe.set_random_seed(7)
    caffe.Net(prototxt, caffe.TEST).save(str(tmp_path / "net.caffemodel"))
    return tmp_path / "net.caffemodel"


def test_names_are_read_as_written_and_the_last_ones_count(caffemodel):
    assert read_class_names(caffemodel) is None
    write_class_names(caffemodel, NAMES)
    assert read_class_names(caffemodel) == NAMES
    write_class_names(caffemodel, ("__background__", "a", "b\nc", "d"))
    assert read_class_names(caffemodel) == ("__background__", "a", "b\nc", "d")


def test_the_weights_are_those_of_before(caffemodel, prototxt):
    before, weights = caffemodel.read_bytes(), caffe.Net(prototxt, str(caffemodel), caffe.TEST).params["cls_score"][0].data
    write_class_names(caffemodel, None)
    assert caffemodel.read_bytes() == before
    write_class_names(caffemodel, NAMES)
    assert caffemodel.read_bytes().startswith(before)
    net = caffe.Net(prototxt, str(caffemodel), caffe.TEST)
    np.testing.assert_array_equal(net.params["cls_score"][0].data, weights)


def test_protobuf_of_caffes_schema_keeps_the_field(caffemodel):
    """Who parses a caffemodel and writes it again, as load_pretrained does, keeps what it does not know."""
    write_class_names(caffemodel, NAMES)
    caffemodel.write_bytes(caffe_pb2.NetParameter.FromString(caffemodel.read_bytes()).SerializeToString())
    assert read_class_names(caffemodel) == NAMES


def test_files_of_the_old_format_and_other_files(caffemodel, tmp_path):
    old = caffe_pb2.NetParameter(name="old", input=["x"], input_dim=[1, 3])
    old.layers.add(name="fc", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT).blobs.add(data=[1, 2], num=1)
    (tmp_path / "v1").write_bytes(old.SerializeToString())
    write_class_names(tmp_path / "v1", NAMES)
    assert read_class_names(tmp_path / "v1") == NAMES and count_classes(tmp_path / "v1") is None
    whole = caffemodel.read_bytes()
    for name, content in {"cut": whole[:-9], "text": NET.encode(), "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(99), "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
        assert read_class_names(tmp_path / name) is None, name
    assert read_class_names(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", [b"{}", b"[]", b"[1]", b"\xff\xfe", b"ball, cup"])
def test_a_field_of_something_else_is_named(caffemodel, text):
    from fast_rcnn.class_names import CLASS_NAMES, _varint
    with open(caffemodel, "ab") as f:
        f.write(_varint(CLASS_NAMES << 3 | 2) + bytes([len(text)]) + text)
    with pytest.raises(UserError, match="net.caffemodel: its class names are .* expected a list of strings"):
        read_class_names(caffemodel)


def test_the_number_of_classes(caffemodel, tmp_path):
    assert count_classes(caffemodel) == 4
    net = caffe_pb2.NetParameter()
    net.layer.add(name="pool", type="PSROIPooling", bottom=["rfcn_bbox", "rois"]).psroi_pooling_param.output_dim = 8
    net.layer.add(name="pool2", type="PSROIPooling", bottom=["rfcn_cls", "rois"]).psroi_pooling_param.output_dim = 6
    for layer in net.layer:
        layer.psroi_pooling_param.spatial_scale, layer.psroi_pooling_param.group_size = 1, 3
    (tmp_path / "rfcn").write_bytes(net.SerializeToString())
    assert count_classes(tmp_path / "rfcn") == 6


# ---- names against names

def test_columns_put_a_nets_scores_in_the_order_wanted():
    columns = class_columns(("__background__", "Cat", "dog", "cow"), ["__background__", "cow", "cat", "DOG"], "n", "d")
    scores, boxes = np.arange(8.).reshape(2, 4), np.arange(32.).reshape(2, 16)
    there, moved = take_columns(scores, boxes, columns)
    assert there.tolist() == [[0, 3, 1, 2], [4, 7, 5, 6]]
    assert moved[0].tolist() == [0, 1, 2, 3, 12, 13, 14, 15, 4, 5, 6, 7, 8, 9, 10, 11]
    none = take_columns(scores[:0], boxes[:0], columns)
    assert none[0].shape == (0, 4) and none[1].shape == (0, 16)
    with pytest.raises(UserError, match="the net scores 4 classes, but has 3 class names"):
        take_columns(scores, boxes, columns[:3])


def test_what_differs_is_named_and_long_lists_are_cut():
    assert difference(["a", "B"], ["b", "A "]) == ""
    assert difference(["a", "x"], ["a", "y"]) == "missing: y; unknown: x"
    many = ["c%d" % k for k in range(80)]
    assert difference(many, ["c3"]) == "unknown: c0, c1, c2, c4, c5, c6, c7, c8 and 71 more"
    with pytest.raises(UserError, match="d: two of its classes differ only in upper and lower case: a, b, B; rename one"):
        class_columns(["a", "b"], ["a", "b", "B"], "n", "d")


# ---- the real pycaffe

OTHER = """
import sys, numpy, caffe
caffe.set_mode_cpu()
prototxt, caffemodel, data, out = sys.argv[1:]
net = caffe.Net(prototxt, caffemodel, caffe.TEST)
numpy.save(out, net.forward(data=numpy.load(data))["cls_score"])
net.save(caffemodel + ".again")
"""


def test_a_real_pycaffe_skips_the_field(caffemodel, prototxt, tmp_path):
    """The same numbers from a caffemodel with names and without; ours reads what it saved, without names."""
    python = os.environ.get("CAFFE_PYTHON")
    if not python:
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    data = np.random.default_rng(3).normal(size=(1, 3, 9, 9)).astype(np.float32)
    np.save(tmp_path / "data.npy", data)
    found = []
    for names in (None, NAMES):
        write_class_names(caffemodel, names)
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run([python, "-c", OTHER, prototxt, str(caffemodel), tmp_path / "data.npy", tmp_path / "out.npy"],
                       check=True, env=env, cwd=tmp_path)
        found.append(np.load(tmp_path / "out.npy"))
    assert read_class_names(caffemodel) == NAMES and np.array_equal(*found)
    ours = caffe.Net(prototxt, str(caffemodel), caffe.TEST).forward(data=data)["cls_score"]
    np.testing.assert_allclose(ours, found[1], rtol=1e-5)
    again = caffe.Net(prototxt, str(caffemodel) + ".again", caffe.TEST)
    np.testing.assert_allclose(again.forward(data=data)["cls_score"], found[1], rtol=1e-5)
