"""caffe convert_imageset, compute_image_mean, extract_features: LMDBs as Caffe's tools write them."""
import io

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from caffe.util import datum_images
from PIL import Image
from support.caffe_command import DATA

lmdb = pytest.importorskip("lmdb")


def records(path):
    """[(key, Datum)] by the package lmdb itself."""
    with lmdb.open(str(path), readonly=True) as env, env.begin() as transaction:
        return [(key.decode(), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()]


@pytest.fixture
def folder(tmp_path):
    """Images a.png, 'b c.png' (6 x 8, RGB) and list.txt, which names them and two that cannot be read."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b c.png"):
        Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "bad.png").write_text("no image")
    (tmp_path / "list.txt").write_text("a.png 3\nbad.png 1\nb c.png -2\nnone.png 0\n")
    return tmp_path


@pytest.fixture(params=["opencv", "pillow"])
def decoder(request, monkeypatch):
    """With OpenCV, and as where there is none."""
    if request.param == "pillow":
        monkeypatch.setattr(datum_images, "_cv2", lambda: None)


def rgb(path):
    return np.array(Image.open(path).convert("RGB"))


def test_images_become_datums_in_order_of_the_list(run_caffe, folder, decoder):
    code, _, err = run_caffe("convert_imageset", "%s/" % folder, folder / "list.txt", folder / "db")
    assert code == 0 and "A total of 4 images." in err and "Processed 2 files." in err
    assert err.count("Could not open or find file") == 2 and "%s/bad.png" % folder in err and "%s/none.png" % folder in err
    found = records(folder / "db")
    assert [(key, datum.label) for key, datum in found] == [("00000000_a.png", 3), ("00000002_b c.png", -2)]
    for (_, datum), name in zip(found, ("a.png", "b c.png")):
        assert (datum.channels, datum.height, datum.width, datum.encoded) == (3, 6, 8, False)
        pixels = np.frombuffer(datum.data, np.uint8).reshape(3, 6, 8)
        np.testing.assert_array_equal(pixels, rgb(folder / name)[:, :, ::-1].transpose(2, 0, 1))


def test_gray_resized_and_shuffled_images(run_caffe, folder, decoder):
    caffe.set_random_seed(1)
    code, _, _ = run_caffe("convert_imageset", "-gray", "--shuffle", "-resize_height=3", "-resize_width", 4, "%s/" % folder,
                           folder / "list.txt", folder / "db")
    found = records(folder / "db")
    assert code == 0 and sorted(key[9:] for key, _ in found) == ["a.png", "b c.png"]
    places = {key[9:]: int(key[:8]) for key, _ in found}
    assert set(places.values()) <= set(range(4)) and places != {"a.png": 0, "b c.png": 2}
    for key, datum in found:
        assert (datum.channels, datum.height, datum.width) == (1, 3, 4)
        gray = np.array(Image.open(folder / key[9:]).convert("L"), np.float64)
        halves = gray.reshape(3, 2, 4, 2).mean((1, 3))       # linear interpolation at half the size
        np.testing.assert_allclose(np.frombuffer(datum.data, np.uint8).reshape(3, 4), halves, atol=1.01)


def test_encoded_images_keep_their_files_bytes(run_caffe, folder, decoder):
    assert run_caffe("convert_imageset", "-encoded", "%s/" % folder, folder / "list.txt", folder / "db")[0] == 0
    datum = records(folder / "db")[0][1]
    assert datum.encoded and datum.label == 3 and datum.data == (folder / "a.png").read_bytes()
    run_caffe("convert_imageset", "-encoded", "-encode_type", "jpg", "-gray", "%s/" % folder, folder / "list.txt", folder / "j")
    datum = records(folder / "j")[0][1]
    image = Image.open(io.BytesIO(datum.data))
    assert image.format == "JPEG" and image.mode == "L" and image.size == (8, 6)
    code, _, err = run_caffe("convert_imageset", "-encoded", "-encode_type", "xyz", "%s/" % folder, folder / "list.txt", folder / "x")
    assert code == 1 and "images cannot be encoded as 'xyz'" in err


def test_images_of_two_sizes_and_a_data_base_that_is_there_are_refused(run_caffe, folder):
    Image.new("RGB", (5, 5)).save(folder / "c.png")
    (folder / "two.txt").write_text("a.png 0\nc.png 1\n")
    code, _, err = run_caffe("convert_imageset", "-check_size", "%s/" % folder, folder / "two.txt", folder / "db")
    assert code == 1 and "c.png is 5x5x3 (height, width, channels), those before it are 6x8x3" in err
    assert run_caffe("convert_imageset", "%s/" % folder, folder / "two.txt", folder / "two")[0] == 0
    code, _, err = run_caffe("convert_imageset", "%s/" % folder, folder / "two.txt", folder / "two")
    assert code == 1 and "exists already; remove it" in err
    code, _, err = run_caffe("compute_image_mean", folder / "two")
    assert code == 1 and "record 00000001_c.png has shape (3, 5, 5), those before it (3, 6, 8)" in err


@pytest.mark.parametrize("flags", [(), ("-encoded",)])
def test_the_mean_image_is_a_binaryproto(run_caffe, folder, decoder, flags):
    run_caffe("convert_imageset", *flags, "%s/" % folder, folder / "list.txt", folder / "db")
    code, _, err = run_caffe("compute_image_mean", folder / "db", folder / "mean.binaryproto")
    mean = np.mean([rgb(folder / name)[:, :, ::-1].transpose(2, 0, 1) for name in ("a.png", "b c.png")], axis=0)
    blob = caffe_pb2.BlobProto.FromString((folder / "mean.binaryproto").read_bytes())
    assert code == 0 and (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 6, 8)
    np.testing.assert_allclose(np.array(blob.data).reshape(3, 6, 8), mean, rtol=1e-6)
    assert "Number of channels: 3" in err and "mean_value channel [0]: %.6g" % mean[0].mean() in err


def test_features_of_several_blobs(run_caffe, tmp_path):
    (tmp_path / "net.prototxt").write_text(DATA + """
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
        layer { name: "cube" type: "Reshape" bottom: "ip" top: "cube" reshape_param { shape { dim: 4 dim: 5 dim: 1 dim: 1 } } }""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.save(str(tmp_path / "w.caffemodel"))
    arguments = tmp_path / "w.caffemodel", tmp_path / "net.prototxt", "data,cube", "%s,%s" % (tmp_path / "d", tmp_path / "c"), 2, "lmdb"
    code, _, err = run_caffe("extract_features", *arguments)
    assert code == 0 and err.count("Extracted features of 8 query images for feature blob") == 2
    data, cube = records(tmp_path / "d"), records(tmp_path / "c")
    assert [key for key, _ in data] == ["%010d" % n for n in range(8)]
    assert {(d.channels, d.height, d.width) for _, d in cube} == {(5, 1, 1)}
    features = np.array([d.float_data for _, d in data], np.float32)
    np.testing.assert_allclose([d.float_data for _, d in cube], features @ net.params["ip"][0].data.T, atol=1e-5)
    code, _, err = run_caffe("extract_features", *arguments[:2], "nothing", tmp_path / "e", 1, "lmdb", "CPU")
    assert code == 1 and "unknown feature blob nothing" in err and "its blobs are data" in err


def test_a_missing_package_lmdb_is_one_line(run_caffe, folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    code, _, err = run_caffe("compute_image_mean", folder / "db")
    assert code == 1 and "LMDB needs the package lmdb, which is not installed; pip install lmdb" in err
