"""im_detect and test_net of a trained small net, against what the original gave on its C++ Caffe."""
import caffe
import numpy as np
import pytest
from fast_rcnn.detections import load_detections
from fast_rcnn.test import im_detect, test_net
from support.reference import lib_case, shared
from support.settings import settings

SCORES, BOXES = 2e-4, 2e-2  # tolerances of the reference: float32 noise of resizing and matrix products


@pytest.fixture(scope="module")
def vectors():
    return dict(lib_case("c7_detect.npz"))


@pytest.fixture(scope="module")
def net():
    folder = shared("reference", "lib", "c6_ohem")
    caffe.set_mode_cpu()
    net = caffe.Net(str(folder / "test.prototxt"), str(folder / "final.caffemodel"), caffe.TEST)
    net.name = "small"
    return net


@pytest.fixture(autouse=True)
def recorded_settings(tmp_path):
    with settings({"TEST.SCALES": (176,), "TEST.MAX_SIZE": 288, "ROOT_DIR": str(tmp_path)}):
        yield


def detect(net, vectors, n=1):
    return im_detect(net, vectors["im%d.image" % n], vectors["im%d.boxes" % n])


def check(result, vectors, key):
    scores, pred_boxes = result
    np.testing.assert_allclose(scores, vectors[key + ".scores"], rtol=0, atol=SCORES)
    if key + ".pred_boxes" in vectors:
        expected = vectors[key + ".pred_boxes"]
        np.testing.assert_allclose(pred_boxes[:, :expected.shape[1]], expected, rtol=0, atol=BOXES)


@pytest.mark.parametrize("n", range(5))
def test_im_detect(net, vectors, n):
    check(detect(net, vectors, n), vectors, "im%d" % n)


@pytest.mark.parametrize("key, changes", [
    ("nodedup", {"DEDUP_BOXES": 0}),
    ("noreg", {"TEST.BBOX_REG": False}),
    ("svm", {"TEST.SVM": True}),
    ("scales", {"TEST.SCALES": (120, 176, 240), "TEST.MAX_SIZE": 400}),
])
def test_variants(net, vectors, key, changes):
    with settings(changes):
        check(detect(net, vectors), vectors, key)


class StoredImages:
    """The five recorded images as an imdb."""
    name, num_classes = "recorded", 21
    classes = tuple("class%d" % c for c in range(21))

    def __init__(self, vectors):
        self.images = [vectors["im%d.image" % n] for n in range(5)]
        self.image_index = vectors["ids"].tolist()
        self.roidb = [{"boxes": vectors["im%d.boxes" % n], "gt_classes": np.zeros(len(vectors["im%d.boxes" % n]), int)}
                      for n in range(5)]

    def image_path_at(self, i):
        return str(i)

    def image_hashes(self):
        return [None] * 5

    def evaluate_detections(self, all_boxes, output_dir):
        return load_detections(output_dir + "/detections.npz", self)


def as_rows(all_boxes):
    """(D, 7) rows [image class x1 y1 x2 y2 score], ordered by image, class and falling score."""
    rows = [np.column_stack((np.full(len(dets), i), np.full(len(dets), cls), dets))
            for cls, row in enumerate(all_boxes) for i, dets in enumerate(row)]
    return np.concatenate(rows)


def matched(rows, expected):
    """For each row of `rows` whether `expected` has one of the same image and class with the same box and score."""
    same = np.abs(rows[:, np.newaxis] - expected) <= [0, 0, BOXES, BOXES, BOXES, BOXES, SCORES]
    return same.all(axis=2).any(axis=1) if len(rows) and len(expected) else np.zeros(len(rows), bool)


@pytest.mark.parametrize("key, max_per_image, thresh", [
    ("all", 0, .05), ("max20", 20, .05), ("max100", 100, -np.inf), ("none", 100, .9999)])
def test_test_net(net, vectors, monkeypatch, key, max_per_image, thresh):
    """Rows whose score is within the tolerance of what decides (thresh, the last one kept) may come and go."""
    imdb = StoredImages(vectors)
    monkeypatch.setattr("fast_rcnn.test.read_image", lambda path: imdb.images[int(path)])
    rows = as_rows(test_net(net, imdb, max_per_image=max_per_image, thresh=thresh))
    expected = vectors["test_net.%s_stable" % key]
    for image in range(5):
        of_image, expected_of_image = (r[r[:, 0] == image] for r in (rows, expected))
        lowest = expected_of_image[:, 6].min(initial=1) if max_per_image else thresh
        for left, right in ((of_image, expected_of_image), (expected_of_image, of_image)):
            odd = left[~matched(left, right)]
            assert (odd[:, 6] < max(lowest, thresh) + SCORES).all(), odd
    assert abs(len(rows) - len(expected)) <= 2


def test_zero_boxes(net, vectors):
    scores, pred_boxes = im_detect(net, vectors["im0.image"], np.zeros((0, 4), np.uint16))
    assert scores.shape == (0, 21) and pred_boxes.shape == (0, 84)
