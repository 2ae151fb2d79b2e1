"""tools/convert_squeezenet.py: the published names of SqueezeNet v1.0's layers become ours, the weights stay."""
import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from support.error_line import assert_error
from support.reference import ROOT

NET = ROOT / "models/pascal_voc/SqueezeNet/fast_rcnn/test.prototxt"
PUBLISHED = {"conv1x1_1": "squeeze1x1", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}


@pytest.fixture(scope="module")
def trunk():
    """{our name: [arrays]} of the layers with weights, filled with random numbers."""
    rng = np.random.default_rng(3)
    caffe.set_mode_cpu()
    params = caffe.Net(str(NET), caffe.TEST).params
    return {name: [rng.standard_normal(blob.data.shape).astype(np.float32) for blob in blobs]
            for name, blobs in params.items() if name.startswith(("conv1", "fire"))}


def write_published(path, trunk):
    model = caffe_pb2.NetParameter(name="SqueezeNet_v1.0")
    for name, arrays in trunk.items():
        fire, _, layer = name.rpartition("/")
        published = model.layer.add(name=f"{fire}/{PUBLISHED[layer]}" if fire else name, type="Convolution")
        for array in arrays:
            blob = published.blobs.add(data=array.ravel().tolist())
            blob.shape.dim.extend(array.shape)
    path.write_bytes(model.SerializeToString())
    return path


def test_layers_get_our_names(run, tmp_path, trunk):
    out = tmp_path / "data" / "SqueezeNet.caffemodel"
    result = run("convert_squeezenet.py", write_published(tmp_path / "published.caffemodel", trunk), "--out", out)
    assert result.returncode == 0, result.stderr
    net = caffe.Net(str(NET), str(out), caffe.TEST)
    assert len(trunk) == 25
    for name, arrays in trunk.items():
        for blob, array in zip(net.params[name], arrays):
            np.testing.assert_array_equal(blob.data, array)


def test_mistakes_are_one_line(run, tmp_path, trunk):
    assert_error(run("convert_squeezenet.py", tmp_path / "none"), "none", "fetch_imagenet_models.sh squeezenet")
    (tmp_path / "broken").write_bytes(b"<html>")
    assert_error(run("convert_squeezenet.py", tmp_path / "broken"), "not a caffemodel")
    of_v11 = {**trunk, "conv1": [np.zeros((64, 3, 3, 3), np.float32), np.zeros(64, np.float32)]}
    path = write_published(tmp_path / "v1.1.caffemodel", of_v11)
    assert_error(run("convert_squeezenet.py", path, "--out", tmp_path / "out"), "conv1", "(64, 3, 3, 3)", "v1.0")
    assert not (tmp_path / "out").exists()
