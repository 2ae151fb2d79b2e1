"""Classifier and Detector against the steps they consist of; numbers compared with pycaffe 1.0."""
import caffe
import numpy as np
import pytest

NET = """name: "c" input: "data" input_shape { dim: 4 dim: 3 dim: 8 dim: 8 }
    layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
    layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.3 } } }
    layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }"""
SETTINGS = dict(mean=np.array([10.0, 20, 30]), raw_scale=255, channel_swap=(2, 1, 0), input_scale=0.02)


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    caffe.set_random_seed(3)
    caffe.Net(str(path), caffe.TEST).save(tmp_path / "net.caffemodel")
    return str(path), str(tmp_path / "net.caffemodel")


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [rng.random((20, 23, 3), np.float32), rng.random((9, 30, 3), np.float32), rng.random((8, 8, 3), np.float32)]


def transformed(net, image):
    image = np.asarray(image, np.float32)[:, :, ::-1].transpose(2, 0, 1)
    return (image * 255 - SETTINGS["mean"][:, None, None]) * SETTINGS["input_scale"]


def probabilities(net, arrays):
    return np.concatenate([net.forward(data=np.stack([a] * 4))["prob"][:1].copy() for a in arrays])


def test_predict_averages_ten_crops_of_each_image(files, images):
    classifier = caffe.Classifier(*files, image_dims=(10, 12), **SETTINGS)
    assert isinstance(classifier, caffe.Net) and classifier.phase == caffe.TEST
    got = classifier.predict(images)
    crops = caffe.io.oversample([caffe.io.resize_image(i, (10, 12)) for i in images], (8, 8))
    expected = probabilities(classifier, [transformed(classifier, c) for c in crops]).reshape(3, 10, 5).mean(1)
    assert got.shape == (3, 5)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_predict_may_take_the_centre_alone(files, images):
    classifier = caffe.Classifier(*files, image_dims=[10, 12], **SETTINGS)
    centres = [caffe.io.resize_image(i, (10, 12))[1:9, 2:10] for i in images]
    np.testing.assert_allclose(classifier.predict(images, oversample=False),
                               probabilities(classifier, [transformed(classifier, c) for c in centres]), rtol=1e-5)
    assert caffe.Classifier(*files).predict(images[2:], False).shape == (1, 5)


def test_windows_are_classified(files, images, monkeypatch):
    monkeypatch.setattr(caffe.io, "load_image", lambda name: images[int(name)])
    detector = caffe.Detector(*files, **SETTINGS)
    windows = np.array([[0, 0, 20, 20], [3, 4, 12, 15]])
    found = detector.detect_windows([("0", windows), ("1", [(1, 2, 9, 12)])])
    assert [(d["filename"], list(d["window"])) for d in found] == [("0", [0, 0, 20, 20]), ("0", [3, 4, 12, 15]), ("1", [1, 2, 9, 12])]
    crops = [caffe.io.resize_image(images[0][3:12, 4:15], (8, 8)), caffe.io.resize_image(images[1][1:9, 2:12], (8, 8))]
    np.testing.assert_allclose([d["prediction"] for d in found[1:]],
                               probabilities(detector, [transformed(detector, c) for c in crops]), rtol=1e-5)


def test_a_window_shows_its_surroundings_and_the_mean_outside(files, images):
    detector = caffe.Detector(*files, context_pad=2, **SETTINGS)
    mean = SETTINGS["mean"][[2, 1, 0]] / 255
    np.testing.assert_allclose(detector.crop_mean.ravel(), mean)
    inside = detector.crop(images[0], np.array([6, 6, 12, 12]))                # 7 x 7, shown in 4 x 4 of 8 x 8
    assert inside.shape == (8, 8, 3)
    np.testing.assert_allclose(inside, caffe.io.resize_image(images[0][2:16, 2:16], (8, 8)), atol=1e-6)
    corner = detector.crop(images[0], np.array([0, 0, 6, 6]))
    np.testing.assert_allclose(corner[:2], np.broadcast_to(mean, (2, 8, 3)), rtol=1e-6)
    np.testing.assert_allclose(corner[:, :2], np.broadcast_to(mean, (8, 2, 3)), rtol=1e-6)
    assert abs(corner[3:, 3:] - mean).min() > 0


def test_what_a_detector_cannot_do_is_one_line(files, tmp_path):
    with pytest.raises(caffe.CaffeError, match="context_pad 4 needs a square input larger than twice that; 'data' is 8 x 8"):
        caffe.Detector(*files, context_pad=4)
    detector = caffe.Detector(*files)
    with pytest.raises(caffe.CaffeError, match="there are no windows"):
        detector.detect_windows([])
    with pytest.raises(caffe.CaffeError, match="needs the module selective_search_ijcv_with_python"):
        detector.detect_selective_search(["a.jpg"])

