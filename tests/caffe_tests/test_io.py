"""caffe.io: resizing beside scikit-image and SciPy, the Transformer beside its formula, messages there and back."""
import subprocess
import sys

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from support.reference import ROOT

PHOTO = ROOT / "data" / "demo" / "cat.jpg"
SHAPES = [((13, 17), (5, 7)), ((5, 7), (13, 17)), ((5, 17), (9, 6)), ((8, 8), (8, 4)), ((6, 6), (6, 6)), ((1, 9), (3, 3)),
          ((9, 9), (1, 1)), ((60, 80), (27, 27))]


@pytest.mark.parametrize("old, new", SHAPES)
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_scikit_images(old, new, order, channels):
    transform = pytest.importorskip("skimage.transform")
    image = np.random.default_rng(order).normal(2, 5, (*old, channels))
    low, span = image.min(), np.ptp(image)
    expected = transform.resize((image - low) / span, new, order=order, mode="constant") * span + low
    got = caffe.io.resize_image(image, new, order)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-6 * span)
    np.testing.assert_allclose(caffe.io.resize_image(image.astype(np.float32), new, order), expected, atol=2e-6 * span)


@pytest.mark.parametrize("old, new", SHAPES)
@pytest.mark.parametrize("order", [0, 1, 3])
def test_other_channel_numbers_are_resized_as_scipys_zoom(old, new, order):
    ndimage = pytest.importorskip("scipy.ndimage")
    image = np.random.default_rng(order).normal(2, 5, (*old, 4))
    expected = ndimage.zoom(image, [new[0] / old[0], new[1] / old[1], 1], order=order)
    np.testing.assert_allclose(caffe.io.resize_image(image, new, order), expected, rtol=1e-5, atol=1e-5)


def test_an_image_of_one_colour_keeps_it():
    assert (caffe.io.resize_image(np.full((4, 5, 3), 7.0), (2, 9)) == 7).all()


def test_resizing_without_scipy_needs_it_for_splines_only():
    code = """if True:
        import sys
        sys.modules["scipy"] = sys.modules["skimage"] = None
        import caffe, numpy as np
        image = np.random.rand(9, 9, 3)
        assert caffe.io.resize_image(image, (4, 5)).shape == (4, 5, 3)
        try:
            caffe.io.resize_image(image, (4, 5), 3)
        except caffe.CaffeError as e:
            print(e)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert "interp_order 3 (a spline) needs SciPy" in done.stdout, done.stderr


def test_a_photograph_goes_through_the_transformer_and_back():
    image = caffe.io.load_image(PHOTO)[:97, :130]
    mean = np.array([104, 117, 123.0])
    t = caffe.io.Transformer({"data": (1, 3, *image.shape[:2])})
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 1, 0))
    t.set_raw_scale("data", 255)
    t.set_mean("data", mean)
    t.set_input_scale("data", 0.017)
    before = image.copy()
    out = t.preprocess("data", image)
    expected = (image.transpose(2, 0, 1)[::-1] * 255 - mean[:, None, None]) * 0.017
    assert out.dtype == np.float32 and out.shape == (3, 97, 130)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(image, before)
    back = t.deprocess("data", out[np.newaxis])
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, image, atol=1e-6)


def test_a_mean_image_of_another_size_is_resized():
    t = caffe.io.Transformer({"data": (1, 3, 6, 8)})
    mean = np.random.default_rng(0).uniform(0, 255, (3, 12, 20))
    t.set_mean("data", mean)
    np.testing.assert_array_equal(t.mean["data"], caffe.io.resize_image(mean.transpose(1, 2, 0), (6, 8)).transpose(2, 0, 1))


@pytest.mark.parametrize("call, error, message", [
    (lambda t: t.set_transpose("data", (0, 1)), caffe.CaffeError, "expected an order of 3 axes"),
    (lambda t: t.set_channel_swap("data", (0, 1)), caffe.CaffeError, "expected an order of 3 channels"),
    (lambda t: t.set_mean("data", np.zeros(4)), ValueError, r"expected a mean of shape \(3,\) or \(3, height, width\), got \(4,\)"),
    (lambda t: t.set_mean("data", np.zeros((5, 6))), ValueError, "got .5, 6."),
    (lambda t: t.preprocess("label", np.zeros((2, 2, 3))), caffe.CaffeError, "'label' is not one of its inputs, which are .'data'."),
    (lambda t: t.preprocess("data", np.zeros((2, 2))), caffe.CaffeError, "expected an image of shape .height, width, channels."),
])
def test_a_mistake_with_the_transformer_is_one_line(call, error, message):
    with pytest.raises(error, match=message):
        call(caffe.io.Transformer({"data": (1, 3, 5, 6)}))


def test_oversample_gives_corners_and_centre_and_their_mirrors():
    images = np.random.default_rng(0).random((2, 7, 9, 3))
    crops = caffe.io.oversample(images, (4, 5))
    places = [(0, 0), (0, 4), (3, 0), (3, 4), (1, 2)]
    expected = [[image[y:y + 4, x:x + 5] for y, x in places] + [image[y:y + 4, x:x + 5][:, ::-1] for y, x in places]
                for image in images]
    assert crops.dtype == np.float32
    np.testing.assert_array_equal(crops, np.float32(expected).reshape(20, 4, 5, 3))
    with pytest.raises(ValueError, match=r"crops of \(8, 5\) are larger than the images of \(7, 9\)"):
        caffe.io.oversample(images, (8, 5))


def write_image(path, array, mode=None):
    image = pytest.importorskip("PIL.Image").fromarray(array)
    image = image if mode is None else image.convert(mode)
    image.save(path)


@pytest.mark.parametrize("mode, ending", [("RGB", "png"), ("RGB", "jpg"), ("L", "png"), ("1", "png"), ("P", "png"), ("RGBA", "png"),
                                          ("LA", "png"), ("L", "bmp")])
def test_images_of_every_mode_load_as_scikit_image_loads_them(mode, ending, tmp_path):
    skimage_io, util = pytest.importorskip("skimage.io"), pytest.importorskip("skimage.util")
    path = tmp_path / f"image.{ending}"
    write_image(path, np.random.default_rng(0).integers(0, 256, (6, 7, 4 if mode == "RGBA" else 3), np.uint8), mode)
    image = caffe.io.load_image(path)
    assert image.shape == (6, 7, 3) and image.dtype == np.float32
    expected = util.img_as_float32(skimage_io.imread(path))
    expected = expected[:, :, np.newaxis] if expected.ndim == 2 else expected
    wanted = np.tile(expected[:, :, :1], (1, 1, 3)) if expected.shape[2] < 3 else expected[:, :, :3]
    np.testing.assert_allclose(image, wanted, atol=1e-6)
    if expected.shape[2] != 2:
        np.testing.assert_allclose(caffe.io.load_image(path, color=False)[:, :, 0],
                                   util.img_as_float32(skimage_io.imread(path, as_gray=True)), atol=1e-5)


def test_printers_colours_become_red_green_and_blue(tmp_path):
    write_image(tmp_path / "a.jpg", np.full((8, 8, 3), (250, 128, 10), np.uint8), "CMYK")
    np.testing.assert_allclose(caffe.io.load_image(tmp_path / "a.jpg")[4, 4], np.array([250, 128, 10]) / 255, atol=0.02)


def test_sixteen_bits_are_kept(tmp_path):
    numbers = np.array([[0, 1000], [40000, 65535]], np.uint16)
    write_image(tmp_path / "a.png", numbers)
    np.testing.assert_allclose(caffe.io.load_image(tmp_path / "a.png", color=False)[:, :, 0], numbers / 65535, rtol=1e-6)


def test_without_pillow_opencv_reads_the_same(tmp_path, monkeypatch):
    pytest.importorskip("cv2")
    for mode, channels in (("RGB", 3), ("L", 3), ("RGBA", 4)):
        write_image(tmp_path / f"{mode}.png", np.random.default_rng(0).integers(0, 256, (5, 6, channels), np.uint8), mode)
    expected = {mode: caffe.io.load_image(tmp_path / f"{mode}.png") for mode in ("RGB", "L", "RGBA")}
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    for mode, image in expected.items():
        np.testing.assert_allclose(caffe.io.load_image(tmp_path / f"{mode}.png"), image, atol=1e-6)


@pytest.mark.parametrize("content, message", [(None, "cannot read this image: No such file"), (b"", "not an image"),
                                              (b"<html>", "not an image"), (PHOTO.read_bytes()[:5000], "cut off")])
def test_what_is_no_image_is_named(content, message, tmp_path):
    path = tmp_path / "picture.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(caffe.CaffeError, match=f"picture.jpg: .*{message}"):
        caffe.io.load_image(path)


def test_blobprotos_hold_arrays_of_any_shape():
    array, diff = np.random.default_rng(0).random((2, 3, 4)), np.random.default_rng(1).random((2, 3, 4))
    blob = caffe.io.array_to_blobproto(array, diff)
    assert list(blob.shape.dim) == [2, 3, 4] and caffe.io.blobproto_to_array(blob).dtype == np.float64
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob), array, rtol=1e-6)
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob, return_diff=True), diff, rtol=1e-6)
    assert caffe.io.blobproto_to_array(caffe.io.array_to_blobproto(np.array(3.0))) == 3


def test_blobprotos_of_the_older_form_and_of_doubles():
    old = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    assert caffe.io.blobproto_to_array(old).tolist() == [[[[0, 1, 2]], [[3, 4, 5]]]]
    double = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[2]), double_data=[0.1, 0.2])
    assert caffe.io.blobproto_to_array(double).tolist() == [0.1, 0.2]
    with pytest.raises(ValueError):
        caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=range(6)))


def test_lists_of_arrays_as_bytes():
    arrays = [np.arange(6.0).reshape(2, 3), np.array([1.5])]
    back = caffe.io.blobprotovector_str_to_arraylist(caffe.io.arraylist_to_blobprotovector_str(arrays))
    assert [a.tolist() for a in back] == [a.tolist() for a in arrays]


@pytest.mark.parametrize("dtype, field", [(np.uint8, "data"), (np.float32, "float_data"), (np.int64, "float_data")])
def test_datums_hold_images(dtype, field):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    datum = caffe.io.array_to_datum(array, label=7)
    assert (datum.channels, datum.height, datum.width, datum.label) == (2, 3, 4, 7) and len(getattr(datum, field))
    back = caffe.io.datum_to_array(datum)
    assert back.dtype == (np.uint8 if dtype == np.uint8 else np.float64)
    back[...] = 0                                                          # writable
    assert not caffe.io.array_to_datum(array).HasField("label")


def test_datums_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"expected an array \(channels, height, width\), got shape \(2, 3\)"):
        caffe.io.array_to_datum(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="encoded image"):
        caffe.io.datum_to_array(caffe_pb2.Datum(encoded=True, data=b"\x89PNG"))
