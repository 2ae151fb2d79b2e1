"""im_detect and test_net on a net made of numpy, so that what goes in and out of the net is seen."""
import types

import cv2
import numpy as np
import pytest
from datasets.content_hash import file_hash
from fast_rcnn.detections import load_detections, save_detections
from fast_rcnn.test import apply_nms, im_detect, image_detections, test_net
from support.settings import settings
from utils.errors import UserError

CLASSES = ("__background__", "cat", "dog")
IM = np.full((100, 200, 3), 128, np.uint8)


class FakeBlob:
    def __init__(self, *shape):
        self.reshape(*shape)

    def reshape(self, *shape):
        self.data = np.zeros(shape, np.float32)


class FakeNet:
    """Scores each RoI by its x1 (cat: x1 / 1000, dog: half of that); no regression; writes into its own memory."""
    name = "fake"

    def __init__(self, rpn_rois=None):
        self.blobs = {"data": FakeBlob(1, 3, 4, 4), "rois": FakeBlob(1, 5), "cls_score": FakeBlob(1, 3),
                      "cls_prob": FakeBlob(1, 3), "bbox_pred": FakeBlob(1, 12)}
        self.rpn_rois = rpn_rois
        if rpn_rois is not None:
            self.blobs["im_info"] = FakeBlob(1, 3)
        self.seen = []

    def forward(self, **inputs):
        self.seen.append(inputs)
        for name, array in inputs.items():
            assert array.dtype == np.float32 and array.shape == self.blobs[name].data.shape
        rois = inputs["rois"] if self.rpn_rois is None else self.rpn_rois
        self.blobs["rois"].data = rois
        for name, columns in (("cls_score", 3), ("cls_prob", 3), ("bbox_pred", 12)):
            if len(self.blobs[name].data) != len(rois):
                self.blobs[name].reshape(len(rois), columns)
        x1 = rois[:, 1] / 1000
        self.blobs["cls_prob"].data[...] = np.stack((1 - 1.5 * x1, x1, x1 / 2), axis=1)
        self.blobs["cls_score"].data[...] = self.blobs["cls_prob"].data * 10
        return {name: self.blobs[name].data for name in ("cls_prob", "bbox_pred")}


@pytest.fixture(autouse=True)
def one_to_one(tmp_path):
    """Images are not scaled, output goes to tmp_path."""
    with settings({"TEST.SCALES": (100,), "TEST.MAX_SIZE": 1000, "ROOT_DIR": str(tmp_path)}):
        yield


def boxes_of(*boxes):
    return np.array(boxes, dtype=np.uint16).reshape(-1, 4)


def test_shapes_and_values():
    net, boxes = FakeNet(), boxes_of([10, 20, 60, 70], [100, 5, 199, 99])
    scores, pred_boxes = im_detect(net, IM, boxes)
    np.testing.assert_allclose(scores[:, 1], [.01, .1])
    np.testing.assert_array_equal(pred_boxes[0], [10, 20, 61, 71] * 3)  # x2 = centre + w / 2
    np.testing.assert_array_equal(pred_boxes[1], [100, 5, 199, 99] * 3)  # clipped
    assert scores.shape == (2, 3) and pred_boxes.shape == (2, 12)
    assert net.seen[0]["data"].shape == (1, 3, 100, 200)


def test_equal_cells_are_run_once_and_get_what_the_first_gets():
    net = FakeNet()
    boxes = boxes_of([49, 49, 90, 90], [10, 20, 60, 70], [47, 47, 92, 92], [48, 50, 88, 89])
    scores, pred_boxes = im_detect(net, IM, boxes)
    assert len(net.seen[0]["rois"]) == 2
    np.testing.assert_allclose(scores[:, 1], [.049, .01, .049, .049])
    np.testing.assert_array_equal(pred_boxes[:, 4], [49, 10, 49, 49])
    with settings({"DEDUP_BOXES": 0}):
        scores, pred_boxes = im_detect(net, IM, boxes)
    np.testing.assert_allclose(scores[:, 1], [.049, .01, .047, .048])
    np.testing.assert_array_equal(pred_boxes[:, 4], [49, 10, 47, 48])


def test_large_coordinates_are_not_mistaken_for_each_other():
    """Mended: the original weights columns by powers of 1000, so (x1, y1) = (1000, 0) equals (0, 1)."""
    with settings({"DEDUP_BOXES": 1.0, "TEST.MAX_SIZE": 5000}):
        net = FakeNet()
        scores, _ = im_detect(net, np.zeros((100, 2200, 3), np.uint8), boxes_of([1000, 0, 2000, 10], [0, 1, 2000, 10]))
    assert len(net.seen[0]["rois"]) == 2
    np.testing.assert_allclose(scores[:, 1], [1, 0], atol=1e-6)


def test_no_boxes():
    """The original crashes in ROIPooling."""
    net = FakeNet()
    scores, pred_boxes = im_detect(net, IM, boxes_of())
    assert scores.shape == (0, 3) and pred_boxes.shape == (0, 12) and net.seen == []


def test_boxes_are_needed():
    with pytest.raises(UserError, match="needs the proposals .* TEST.HAS_RPN"):
        im_detect(FakeNet(), IM)


def test_without_regression_and_with_svm_scores():
    boxes = boxes_of([10, 20, 60, 250], [100, 5, 199, 99])
    with settings({"TEST.BBOX_REG": False, "TEST.SVM": True}):
        scores, pred_boxes = im_detect(FakeNet(), IM, boxes)
    np.testing.assert_array_equal(pred_boxes, np.tile(boxes, 3))  # not clipped either
    np.testing.assert_allclose(scores[:, 1], [.1, 1], rtol=1e-6)


@pytest.mark.parametrize("dedup", [0, 1 / 16])
def test_results_outlive_the_next_forward(dedup):
    with settings({"DEDUP_BOXES": dedup}):
        net = FakeNet()
        scores, _ = im_detect(net, IM, boxes_of([100, 20, 160, 70]))
        im_detect(net, IM, boxes_of([20, 20, 60, 70]))
    assert scores[0, 1] == np.float32(.1)


def test_net_with_its_own_proposals():
    rois = np.array([[0, 40, 20, 80, 60], [0, 20, 20, 60, 60]], np.float32)  # pixels of the image at twice its size
    net = FakeNet(rpn_rois=rois)
    with settings({"TEST.HAS_RPN": True, "TEST.SCALES": (200,)}):
        scores, pred_boxes = im_detect(net, IM)
        np.testing.assert_array_equal(net.seen[0]["im_info"], [[200, 400, 2]])
        assert set(net.seen[0]) == {"data", "im_info"}
    np.testing.assert_array_equal(pred_boxes[:, 4:8], [[20, 10, 41, 31], [10, 10, 31, 31]])
    np.testing.assert_allclose(scores[:, 1], [.04, .02])
    with settings({"TEST.HAS_RPN": True, "TEST.SCALES": (200, 300)}), pytest.raises(UserError, match="one scale"):
        im_detect(net, IM)


class FakeRpnNet(FakeNet):
    """Proposes the same part of the image at every size; its RoI layers can be run alone, as a net's can."""
    bottom_names = {"conv1": ["data"], "proposal": ["conv1", "im_info"], "roi_pool5": ["conv1", "rois"]}

    def __init__(self):
        super().__init__(np.array([[0, 0, 0, 0, 0]], np.float32))
        self.again = []

    def forward(self, start=None, **inputs):
        if start is not None:
            self.again.append((start, self.blobs["rois"].data.copy()))
            self.rpn_rois = self.blobs["rois"].data
            return super().forward()
        height, width, _ = inputs["im_info"][0]
        self.rpn_rois = np.array([[0, width / 2, 0, width - 1, height / 2]], np.float32)
        return super().forward(**inputs)


def test_net_with_its_own_proposals_at_all_scales_and_in_two_stages():
    """Each scale proposes anew; the second stage gives the blob rois what the first stage found."""
    net = FakeRpnNet()
    with settings({"TEST.HAS_RPN": True, "TEST.SCALES": (100, 200), "TEST.SCALE_MODE": "all", "TEST.MULTI_STAGE": True}):
        scores, pred_boxes = im_detect(net, IM)
        np.testing.assert_array_equal(pred_boxes[:, 4:8], [[100, 0, 199, 51]] * 2)      # clipped
        found = image_detections(net, IM, None, 0.09, 100)
    np.testing.assert_allclose(scores[:, 1], [.1, .2])
    assert [list(np.ravel(inputs["im_info"])) for inputs in net.seen if inputs][2:] == [[100, 200, 1], [200, 400, 2]]
    assert [start for start, _ in net.again] == ["roi_pool5"] * 2
    np.testing.assert_array_equal(net.again[0][1], [[0, 100, 0, 199, 51]])            # the dog scores 0.05, not more
    np.testing.assert_array_equal(net.again[1][1], [[0, 200, 0, 398, 102]] * 2)       # of both classes, in its pixels
    assert len(found[1]) == 1 and found[1][0, 4] == np.float32(.2)


class FakeImdb:
    """Three images of noise: two with proposals and a ground-truth box, one without any."""
    name, classes, num_classes = "fake_test", CLASSES, 3
    image_index = ["a", "b", "c"]

    def __init__(self, folder):
        self.folder, self.evaluated = folder, None
        for name in self.image_index:
            cv2.imwrite(self.image_path_at(self.image_index.index(name)), IM)
        boxes = np.array([[0, 0, 199, 99], [100, 0, 120, 20], [150, 50, 170, 70], [106, 0, 126, 21]], np.float32)
        some = {"boxes": boxes, "gt_classes": np.array([1, 0, 0, 0])}
        self.roidb = [some, {"boxes": np.zeros((0, 4), np.float32), "gt_classes": np.zeros(0, int)}, some]

    def image_path_at(self, i):
        return str(self.folder / (self.image_index[i] + ".png"))

    def image_hashes(self):
        return [file_hash(self.image_path_at(i)) for i in range(3)]

    def evaluate_detections(self, all_boxes, output_dir):
        self.evaluated = all_boxes, output_dir
        return "the result"


def test_a_whole_image_set(tmp_path):
    imdb = FakeImdb(tmp_path)
    assert test_net(FakeNet(), imdb, max_per_image=100, thresh=0.06) == "the result"
    all_boxes, output_dir = imdb.evaluated
    assert output_dir == str(tmp_path / "output" / "default" / "fake_test" / "fake")
    assert [len(dets) for dets in all_boxes[0] + all_boxes[1] + all_boxes[2]] == [0, 0, 0, 2, 0, 2, 1, 0, 1]
    cats = np.array([[150, 50, 171, 71, .15], [106, 0, 127, 22, .106]], np.float32)  # NMS keeps the higher of two
    np.testing.assert_array_equal(all_boxes[1][0], cats)
    np.testing.assert_array_equal(all_boxes[2][2], [[150, 50, 171, 71, np.float32(.075)]])
    loaded = load_detections(tmp_path / output_dir / "detections.npz", imdb)
    for cls in range(3):
        for image in range(3):
            np.testing.assert_array_equal(loaded[cls][image], all_boxes[cls][image])  # at full precision
            assert loaded[cls][image].dtype == np.float32


@pytest.mark.parametrize("max_per_image, kept", [(0, 3), (1, 1), (2, 2), (3, 3)])
def test_max_per_image(tmp_path, max_per_image, kept):
    imdb = FakeImdb(tmp_path)
    test_net(FakeNet(), imdb, max_per_image=max_per_image, thresh=0.06)
    assert sum(len(dets[0]) for dets in imdb.evaluated[0]) == kept


def test_ties_at_max_per_image_are_all_kept(tmp_path):
    imdb = FakeImdb(tmp_path)
    imdb.roidb[0] = {"boxes": np.array([[100, 0, 120, 20], [100, 50, 120, 70], [100, 80, 120, 99]], np.float32),
                     "gt_classes": np.zeros(3, int)}
    test_net(FakeNet(), imdb, max_per_image=1, thresh=0.06)
    assert [len(dets[0]) for dets in imdb.evaluated[0]] == [0, 3, 0]


def test_no_detection_at_all(tmp_path):
    imdb = FakeImdb(tmp_path)
    test_net(FakeNet(), imdb, thresh=0.99)
    all_boxes, output_dir = imdb.evaluated
    assert all(dets.shape == (0, 5) for dets_of_images in all_boxes for dets in dets_of_images)
    assert all(dets.shape == (0, 5) for row in load_detections(output_dir + "/detections.npz", imdb) for dets in row)


def test_pictures(tmp_path):
    test_net(FakeNet(), FakeImdb(tmp_path), vis=True)
    pictures = tmp_path / "output" / "default" / "fake_test" / "fake" / "vis"
    assert sorted(p.name for p in pictures.iterdir()) == ["a.jpg", "b.jpg", "c.jpg"]


def test_corrupt_image(tmp_path):
    imdb = FakeImdb(tmp_path)
    (tmp_path / "c.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="c.png .* corrupt"):
        test_net(FakeNet(), imdb)


def test_net_of_other_classes(tmp_path):
    imdb = FakeImdb(tmp_path)
    imdb.classes, imdb.num_classes = CLASSES + ("cow",), 4
    with pytest.raises(UserError, match="net fake scores 3 classes, but fake_test has 4"):
        test_net(FakeNet(), imdb)


def test_apply_nms():
    """Mended: the original compares dets == [], an error in numpy 2."""
    dets = np.array([[0, 0, 9, 9, .5], [0, 0, 9, 9, .6], [20, 0, 29, 9, .4]], np.float32)
    after = apply_nms([[[], []], [dets, np.zeros((0, 5), np.float32)], [dets[:1], dets]], 0.3)
    assert [[len(d) for d in row] for row in after] == [[0, 0], [2, 0], [1, 2]]
    np.testing.assert_array_equal(after[1][0], dets[[1, 2]])


def test_detections_of_an_image_that_was_replaced(tmp_path):
    imdb, path = FakeImdb(tmp_path), tmp_path / "d.npz"
    save_detections(path, [[[]] * 3] * 3, imdb)
    then = imdb.image_hashes()
    imdb.image_hashes = lambda: [None, *then[1:]]           # an image that is not there now is not compared
    assert len(load_detections(path, imdb)) == 3
    imdb.image_hashes = lambda: [then[0], "other", then[2]]
    with pytest.raises(UserError, match="1 images of fake_test were replaced since, the first is b; test again"):
        load_detections(path, imdb)
    with np.load(path) as f:                                # as older versions wrote it
        np.savez(path, **{key: f[key] for key in ("rows", "image_ids", "classes")})
    assert len(load_detections(path, imdb)) == 3


def test_detections_that_do_not_fit(tmp_path):
    imdb, path = FakeImdb(tmp_path), tmp_path / "d.npz"
    with pytest.raises(UserError, match="d.npz holds no detections .*tools/test_net.py writes detections.npz"):
        load_detections(path, imdb)
    np.savez(path, rows=np.array([{}], dtype=object), image_ids=[], classes=[])
    with pytest.raises(UserError, match="holds no detections"):  # a pickle is never read
        load_detections(path, imdb)
    path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match="holds no detections"):
        load_detections(path, imdb)
    save_detections(path, [[[]] * 3] * 3, imdb)
    other = types.SimpleNamespace(name="other", classes=CLASSES, image_index=["a", "b"])
    with pytest.raises(UserError, match=r"other images than other has \(3 there, 2 here\); test again on other"):
        load_detections(path, other)
    other = types.SimpleNamespace(name="other", classes=("__background__", "x", "y"), image_index=["a", "b", "c"])
    with pytest.raises(UserError, match="d.npz has other classes than other: missing: x, y; unknown: cat, dog; test again"):
        load_detections(path, other)
