"""tools/compress_net.py from outside: thin layers by SVD, their prototxt, their ranks."""
import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.weights import write_random_weights


@pytest.fixture
def compress(run, tiny_net, tmp_path):
    """compress(ranks..., **flags): on TinyNet (fc6: 16 x 72, fc7: 16 x 16) of 3 classes."""
    prototxt = tiny_net / "fast_rcnn" / "test.prototxt"
    write_random_weights(prototxt, tmp_path / "net.caffemodel")

    def call(*ranks, **changed):
        flags = {"def": prototxt, "def-svd": tmp_path / "svd.prototxt", "net": tmp_path / "net.caffemodel",
                 "num_rois": 20, **changed}
        args = [part for flag, value in flags.items() for part in ("--" + flag, value)]
        return run("compress_net.py", *args, *(["--ranks", *ranks] if ranks else []))
    return call


def read(folder, name):
    """{layer: [arrays]} of a caffemodel."""
    net = caffe_pb2.NetParameter.FromString((folder / name).read_bytes())
    return {layer.name: [np.array(b.data, np.float32).reshape(b.shape.dim) for b in layer.blobs] for layer in net.layer}


def test_thin_layers_are_the_truncated_svd(compress, tmp_path):
    result = compress("fc6=7", "fc7=4")
    assert result.returncode == 0, result.stderr
    full, thin = read(tmp_path, "net.caffemodel"), read(tmp_path, "net_svd_fc6_7_fc7_4.caffemodel")
    for name, rank in (("fc6", 7), ("fc7", 4)):
        (low,), (up, bias), (weights, full_bias) = thin[name + "_L"], thin[name + "_U"], full[name]
        assert low.shape == (rank, weights.shape[1]) and up.shape == (weights.shape[0], rank)
        u, s, v = np.linalg.svd(weights.astype(np.float64), full_matrices=False)
        np.testing.assert_allclose(up @ low, (u[:, :rank] * s[:rank]) @ v[:rank], atol=1e-5)
        np.testing.assert_array_equal(bias, full_bias)
        kept = 100 * (s[:rank] ** 2).sum() / (s ** 2).sum()
        assert "%s: rank %d of 16, %.2f %%" % (name, rank, kept) in result.stdout
    for name in ("conv1", "conv2", "cls_score", "bbox_pred"):
        for mine, theirs in zip(thin[name], full[name]):
            np.testing.assert_array_equal(mine, theirs)
    assert "compressed" in result.stdout and "cls_prob: largest difference" in result.stdout


def test_prototxt_is_written_once_and_then_obeyed(compress, tmp_path):
    assert compress("fc6=7", "fc7=4").returncode == 0
    net = text_format.Parse((tmp_path / "svd.prototxt").read_text(), caffe_pb2.NetParameter())
    layers = {layer.name: layer for layer in net.layer}
    names = [layer.name for layer in net.layer]
    assert names[names.index("roi_pool5") + 1:] == ["fc6_L", "fc6_U", "relu6", "drop6", "fc7_L", "fc7_U", "relu7", "drop7",
                                                    "cls_score", "bbox_pred", "cls_prob"]
    assert list(layers["fc6_L"].bottom) == ["pool5"] and list(layers["fc6_L"].top) == ["fc6_L"]
    assert list(layers["fc6_U"].bottom) == ["fc6_L"] and list(layers["fc6_U"].top) == ["fc6"]
    assert not layers["fc6_L"].inner_product_param.bias_term and layers["fc6_U"].inner_product_param.bias_term
    text = (tmp_path / "svd.prototxt").read_text().replace("num_output: 7", "num_output: 9")
    (tmp_path / "svd.prototxt").write_text(text)
    result = compress("fc6=7", "fc7=4")                         # the file's ranks hold
    assert result.returncode == 0 and (tmp_path / "net_svd_fc6_9_fc7_4.caffemodel").is_file(), result.stderr
    assert (tmp_path / "svd.prototxt").read_text() == text


def test_full_rank_computes_the_same(compress, tmp_path):
    assert compress("fc6=16", "fc7=16").returncode == 0
    net = caffe.Net(str(tmp_path / "svd.prototxt"), str(tmp_path / "net_svd_fc6_16_fc7_16.caffemodel"), caffe.TEST)
    full = read(tmp_path, "net.caffemodel")
    rois = np.array([[0, 5, 6, 170, 180], [0, 0, 0, 223, 223]], np.float32)
    net.blobs["rois"].reshape(*rois.shape)
    net.forward(data=np.random.default_rng(0).normal(scale=60, size=(1, 3, 224, 224)).astype(np.float32), rois=rois)
    pool5 = net.blobs["pool5"].data.reshape(2, -1)
    fc6 = np.maximum(pool5 @ full["fc6"][0].T + full["fc6"][1], 0)
    np.testing.assert_allclose(net.blobs["fc6"].data, fc6, rtol=1e-4, atol=1e-4 * fc6.max())


def assert_error(result, *words):
    said = result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in said, said
    assert [word for word in words if word not in lines[0]] == [], lines[0]


def test_ranks_that_cannot_be(compress, tmp_path):
    assert_error(compress(), "1024", "fc6", "16 x 72")          # VGG16's ranks
    assert_error(compress("fc6=many"), "fc6=many", "LAYER=RANK")
    assert_error(compress("fc9=4"), "fc9", "fc6, fc7, cls_score, bbox_pred")
    assert not (tmp_path / "svd.prototxt").exists()


def test_compressed_net_without_thin_layers(compress, tiny_net):
    assert_error(compress(**{"def-svd": tiny_net / "fast_rcnn" / "test.prototxt"}), "fc6_L")
