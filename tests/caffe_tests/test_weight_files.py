"""caffemodel files: read fast, in all the forms Caffe wrote, and refused clearly when damaged."""
import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from caffe.util.weight_files import read_weights, write_weights
from support.nets import net_from_text

NET = """input: "x" input_shape { dim: 1 dim: 3 }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.25 } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 2 } }"""


def saved(path, **layers):
    """A caffemodel written by the ordinary schema, one number at a time."""
    net = caffe_pb2.NetParameter(name="n")
    for name, arrays in layers.items():
        layer = net.layer.add(name=name, type="InnerProduct")
        for array in arrays:
            blob = layer.blobs.add(data=array.ravel())
            blob.shape.dim.extend(array.shape)
    path.write_bytes(net.SerializeToString())
    return str(path)


W, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.float32([7, 8])


def test_what_we_write_the_ordinary_schema_reads_and_the_reverse(tmp_path):
    (name, kind, (w, b)), = read_weights(saved(tmp_path / "w", a=[W, B]))
    assert (name, kind) == ("a", "InnerProduct")
    np.testing.assert_array_equal(w, W)
    param = caffe_pb2.NetParameter(name="n")
    param.layer.add(name="a", type="InnerProduct")
    write_weights(str(tmp_path / "v"), param, [[W, B]])
    net = caffe_pb2.NetParameter.FromString((tmp_path / "v").read_bytes())
    assert list(net.layer[0].blobs[0].shape.dim) == [2, 3] and list(net.layer[0].blobs[0].data) == W.ravel().tolist()


def test_legacy_shapes_and_v1_layers_load(tmp_path):
    net = caffe_pb2.NetParameter()
    layer = net.layers.add(name="a", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=W.ravel())
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=B)
    (tmp_path / "old").write_bytes(net.SerializeToString())
    target = net_from_text(NET)
    target.copy_from(str(tmp_path / "old"))
    np.testing.assert_array_equal(target.params["a"][0].data, W)
    np.testing.assert_array_equal(target.params["a"][1].data, B)


def test_layers_of_the_oldest_format_load(tmp_path):
    """V0: name and weights are in `layers { layer { ... } }`.  C++ Caffe loads the same numbers."""
    net = caffe_pb2.NetParameter()
    layer = net.layers.add().layer
    layer.name, layer.type = "a", "innerproduct"
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=W.ravel())
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=B)
    (tmp_path / "old").write_bytes(net.SerializeToString())
    target = net_from_text(NET)
    target.copy_from(str(tmp_path / "old"))
    np.testing.assert_array_equal(target.params["a"][0].data, W)
    np.testing.assert_array_equal(target.params["a"][1].data, B)


def test_unpacked_arrays_load(tmp_path):
    """Protobuf allows repeated numbers one by one, each behind its own tag."""
    shape = caffe_pb2.BlobShape(dim=[2]).SerializeToString()
    blob = bytes([7 << 3 | 2, len(shape)]) + shape + b"".join(bytes([5 << 3 | 5]) + np.float32(v).tobytes() for v in (7, 8))
    layer = caffe_pb2.LayerParameter(name="a", type="Bias").SerializeToString() + bytes([7 << 3 | 2, len(blob)]) + blob
    (tmp_path / "u").write_bytes(bytes([100 << 3 & 0x7f | 2 | 0x80, 100 >> 4]) + bytes([len(layer)]) + layer)
    (_, _, (b,)), = read_weights(str(tmp_path / "u"))
    np.testing.assert_array_equal(b, [7, 8])


def test_loading_says_for_each_layer_what_happened(tmp_path, capfd):
    net_from_text(NET).copy_from(saved(tmp_path / "w", a=[W, B], fc9=[W]))
    text = capfd.readouterr().err
    assert "Copying source layer a\n" in text
    assert "Ignoring source layer fc9 (2x3)" in text
    assert "Layer b is not in" in text and "keeps the values of its fillers (weight_filler constant 0" in text


def test_wrong_weights_are_refused_before_anything_changes(tmp_path):
    net = net_from_text(NET)
    before = net.params["a"][0].data.copy()
    wrong = saved(tmp_path / "w", a=[W, B], b=[np.zeros((2, 5), np.float32), B])
    with pytest.raises(caffe.CaffeError, match=r"layer b, parameter 0: shape \(2, 5\) in the file, \(2, 2\) in the net"):
        net.copy_from(wrong)
    np.testing.assert_array_equal(net.params["a"][0].data, before)
    with pytest.raises(caffe.CaffeError, match="layer a has 1 arrays in the file and 2 parameters"):
        net.copy_from(saved(tmp_path / "w2", a=[W]))


def test_damaged_files_are_named(tmp_path):
    whole = saved(tmp_path / "w", a=[W, B])
    (tmp_path / "cut").write_bytes(open(whole, "rb").read()[:-5])
    (tmp_path / "page").write_text("<html>not found</html>")
    for name in ("cut", "page"):
        with pytest.raises(caffe.CaffeError, match="%s: (not a caffemodel|holds no layers)" % name):
            net_from_text(NET).copy_from(str(tmp_path / name))
    with pytest.raises(caffe.CaffeError, match="cannot read this caffemodel: No such file"):
        net_from_text(NET).copy_from(str(tmp_path / "none"))


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = saved(tmp_path / "w", a=[W, B])
    old = open(path, "rb").read()
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk gone")))
    with pytest.raises(caffe.CaffeError, match="cannot write .*w: disk gone"):
        net_from_text(NET).save(path)
    assert open(path, "rb").read() == old and [p.name for p in tmp_path.iterdir()] == ["w"]
