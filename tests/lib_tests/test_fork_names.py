"""The names that forks of the original import, called as they call them, with the original's numbers."""
import numpy as np
import pytest
from datasets.ds_utils import validate_boxes, xywh_to_xyxy, xyxy_to_xywh
from datasets.voc_eval import parse_rec
from easydict import EasyDict as edict
from fast_rcnn import config
from fast_rcnn.config import cfg, cfg_from_file, cfg_from_list, changed_settings
from fast_rcnn.test import _get_blobs, _get_image_blob, _project_im_rois, im_detect, vis_detections
from nms.gpu_nms import gpu_nms
from nms.py_cpu_nms import py_cpu_nms
from roi_data_layer import minibatch
from roi_data_layer.roidb import _compute_targets, add_bbox_regression_targets
from rpn import anchor_target_layer, generate, generate_anchors, proposal_layer, proposal_target_layer
from support.roidbs import random_entries
from support.settings import settings
from utils.cython_bbox import bbox_overlaps
from utils.cython_nms import nms
from utils.errors import UserError
from utils.timer import Timer

IM = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
BOXES = np.array([[0, 0, 49, 29], [10, 5, 95, 55]], np.uint16)
SMALL = {"TEST.SCALES": (30,), "TEST.MAX_SIZE": 200, "TEST.HAS_RPN": False}


# ---- NMS -----------------------------------------------------------------------------------------------------------------

def test_nms_of_every_name():
    """IoU 1/2 exactly: the CPU kernels drop the lower box at a threshold of 1/2, the GPU's and Python's keep it."""
    dets = np.array([[0, 0, 9, 9, .9], [0, 0, 9, 4, .8], [50, 50, 59, 59, .7], [50, 50, 59, 58, .6]], np.float32)
    assert nms(dets, .5) == [0, 2]
    assert py_cpu_nms(dets, .5) == gpu_nms(dets, .5, device_id=0) == [0, 1, 2]
    assert py_cpu_nms(dets, .49) == [0, 2] and gpu_nms(dets[:0], .5) == []


def test_timer():
    timer = Timer()
    timer.tic()
    assert timer.toc(average=False) == timer.diff == timer.total_time == timer.average_time and timer.calls == 1


# ---- boxes ---------------------------------------------------------------------------------------------------------------

def test_box_formats():
    boxes = np.array([[10, 20, 30, 5]])
    assert xywh_to_xyxy(boxes).tolist() == [[10, 20, 39, 24]]
    assert xyxy_to_xywh(xywh_to_xyxy(boxes)).tolist() == boxes.tolist()
    validate_boxes(np.array([[0, 0, 99, 59]]), width=100, height=60)
    validate_boxes(np.zeros((0, 4)), width=100, height=60)
    for bad in ([0, 0, 100, 59], [-1, 0, 5, 5], [5, 0, 4, 5], [0, 0, 5, np.nan]):
        with pytest.raises(UserError, match="1 of 2 boxes .* 100 x 60 pixels, the first is"):
            validate_boxes(np.array([[0, 0, 9, 9], bad]), width=100, height=60)


def test_overlaps_of_gt_boxes_with_their_class():
    gt_boxes = np.array([[0, 0, 49, 29, 7], [0, 0, 49, 59, 2]], np.float32)
    np.testing.assert_allclose(bbox_overlaps(BOXES.astype(float), gt_boxes)[0], [1, .5])


def test_anchors_step_by_step():
    """The comments of the original's generate_anchors.py list its nine anchors; the first is -83 -39 100 56, 1-based."""
    window = np.array([1, 1, 16, 16]) - 1
    assert generate_anchors._whctrs(window) == (16, 16, 7.5, 7.5)
    ratios = generate_anchors._ratio_enum(window, np.array([0.5, 1, 2]))
    assert (ratios[0] + 1).tolist() == [-2.5, 3, 19.5, 14]
    anchors = np.vstack([generate_anchors._scale_enum(ratio, np.array([8, 16, 32])) for ratio in ratios])
    np.testing.assert_array_equal(anchors, generate_anchors.generate_anchors(scales=2 ** np.arange(3, 6)))
    assert (anchors[0] + 1).tolist() == [-83, -39, 100, 56]
    assert generate_anchors._mkanchors(np.array([23.]), np.array([12.]), 7.5, 7.5).tolist() == [[-3.5, 2, 18.5, 13]]


# ---- testing -------------------------------------------------------------------------------------------------------------

def test_blobs_of_an_image():
    with settings(SMALL):
        data, im_scales = _get_image_blob(IM)
        blobs, same = _get_blobs(IM, BOXES)
        assert data.shape == (1, 3, 30, 50) and data.dtype == np.float32 and im_scales.tolist() == same.tolist() == [.5]
        np.testing.assert_array_equal(blobs["data"], data)
        assert blobs["rois"].tolist() == [[0, 0, 0, 24.5, 14.5], [0, 5, 2.5, 47.5, 27.5]]
        cfg.TEST.HAS_RPN = True
        assert _get_blobs(IM, None)[0]["rois"] is None
        cfg.TEST.SCALES = (30, 60)
        rois, levels = _project_im_rois(np.array([[0, 0, 299, 223], [0, 0, 511, 511]]), _get_image_blob(IM)[1])
        assert levels.tolist() == [[1], [0]] and rois[1].tolist() == [0, 0, 255.5, 255.5]


class Feature:
    """A net with data and rois, as bottom-up-attention's tools ask it: im_detect, then the blobs."""

    class Blob:
        def reshape(self, *shape):
            self.shape = shape

    def __init__(self):
        self.blobs = {"data": self.Blob(), "rois": self.Blob()}

    def forward(self, data, rois):
        return {"cls_prob": np.full((len(rois), 2), .5, np.float32), "bbox_pred": np.zeros((len(rois), 8), np.float32)}


def test_detection_as_forks_call_it():
    with settings({**SMALL, "DEDUP_BOXES": 0}):
        scores, boxes = im_detect(Feature(), IM, BOXES)
    assert scores.shape == (2, 2) and boxes[0, 4:].tolist() == [0, 0, 50, 30]


def test_vis_detections(monkeypatch):
    """Each of the first ten that score above thresh is a figure of its own, in a window."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gca().get_title()))
    dets = np.array([[1, 2, 30, 40, .95], [1, 2, 30, 40, .5], [5, 5, 9, 9, .85]], np.float32)
    vis_detections(IM, "car", dets, thresh=.5)
    vis_detections(IM, "car", np.tile(dets[:1], (12, 1)))
    assert shown == ["car  0.950", "car  0.850"] + ["car  0.950"] * 10
    plt.close("all")


# ---- minibatches ---------------------------------------------------------------------------------------------------------

@pytest.fixture
def entry(tmp_path):
    entries = random_entries(tmp_path, 1)
    add_bbox_regression_targets(entries)
    return entries[0]


def naive_labels(data, num_classes):
    """Targets and inside weights by loops."""
    targets, weights = np.zeros((len(data), 4 * num_classes)), np.zeros((len(data), 4 * num_classes))
    for row, (cls, *delta) in enumerate(data):
        if cls > 0:
            targets[row, 4 * int(cls):4 * int(cls) + 4] = delta
            weights[row, 4 * int(cls):4 * int(cls) + 4] = cfg.TRAIN.BBOX_INSIDE_WEIGHTS
    return targets, weights


def test_sampled_rois(entry):
    """From the seed the original's draw: choice of the foreground, then of the background."""
    overlaps = entry["max_overlaps"]
    fg_inds, bg_inds = np.flatnonzero(overlaps >= .5), np.flatnonzero((overlaps < .5) & (overlaps >= .1))
    np.random.seed(7)
    keep = np.append(np.random.choice(fg_inds, 4, replace=False),
                     np.random.choice(bg_inds, min(12, len(bg_inds)), replace=False))
    np.random.seed(7)
    labels, found, rois, targets, weights = minibatch._sample_rois(entry, 4, 16, 3)
    assert labels.tolist() == [entry["max_classes"][i] for i in keep[:4]] + [0] * (len(keep) - 4)
    np.testing.assert_array_equal(found, overlaps[keep])
    np.testing.assert_array_equal(rois, entry["boxes"][keep])
    for got, want in zip((targets, weights), naive_labels(entry["bbox_targets"][keep], 3)):
        np.testing.assert_array_equal(got, want)


def test_all_rois(entry):
    overlaps = entry["max_overlaps"]
    labels, found, rois, _, weights = minibatch._all_rois(entry, 3)
    count = (overlaps >= .5).sum()
    np.testing.assert_array_equal(found, np.append(overlaps[overlaps >= .5], overlaps[overlaps < .5]))
    assert (labels[:count] > 0).all() and not labels[count:].any() and len(rois) == len(weights) == len(overlaps)


def test_parts_of_a_minibatch(entry):
    with settings({"TRAIN.SCALES": (24, 48), "TRAIN.MAX_SIZE": 200, "TRAIN.BATCH_SIZE": 3}):
        blob, im_scales = minibatch._get_image_blob([entry, dict(entry, flipped=True)], [1, 0])
        side = min(entry["width"], entry["height"])
        np.testing.assert_allclose(im_scales, [48 / side, 24 / side])
        assert blob.shape[:2] == (2, 3) and minibatch._project_im_rois(BOXES, 2)[1].tolist() == [20, 10, 190, 110]
        assert minibatch.select_hard_examples([.5, 3, 1, 2]).tolist() == [1, 3, 2]
        targets, weights = minibatch._get_bbox_regression_labels(np.array([[2, 1, 2, 3, 4], [0, 0, 0, 0, 0]], np.float32), 3)
        assert targets.tolist() == [[0] * 8 + [1, 2, 3, 4], [0] * 12] and weights.sum() == 4


def test_targets_of_a_roidb_entry(entry):
    with settings({"TRAIN.BBOX_NORMALIZE_TARGETS": False}):
        add_bbox_regression_targets([entry])
    np.testing.assert_array_equal(_compute_targets(entry["boxes"], entry["max_overlaps"], entry["max_classes"]),
                                  entry["bbox_targets"])


# ---- the RPN's layers ----------------------------------------------------------------------------------------------------

def test_parts_of_the_proposal_layers():
    boxes = np.array([[0, 0, 15, 15], [0, 0, 14, 15], [0, 0, 40, 15]], np.float32)
    assert proposal_layer._filter_boxes(boxes, 16).tolist() == [0, 2]
    assert anchor_target_layer._unmap(np.array([1, 0]), 4, np.array([3, 1]), fill=-1).tolist() == [-1, 0, -1, 1]
    assert anchor_target_layer._unmap(np.ones((1, 4)), 2, np.array([1])).tolist() == [[0] * 4, [1] * 4]
    targets = anchor_target_layer._compute_targets(boxes[:1], np.array([[16, 0, 31, 15, 9]], np.float32))
    assert targets.tolist() == [[1, 0, 0, 0]] and targets.dtype == np.float32


def test_sampled_proposals():
    gt_boxes = np.array([[10, 10, 29, 29, 2]], np.float32)
    rois = np.array([[0, 10, 10, 29, 29], [0, 12, 10, 29, 29], [0, 40, 40, 50, 50], [0, 60, 40, 70, 50]], np.float32)
    changes = {"TRAIN.BG_THRESH_LO": 0.0, "TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED": True}
    with settings(changes):
        np.random.seed(1)
        labels, kept, targets, weights = proposal_target_layer._sample_rois(rois, gt_boxes, 1, 2, 3)
        np.random.seed(1)
        fg, bg = np.random.choice([0, 1], 1, replace=False)[0], np.random.choice([2, 3], 1, replace=False)[0]
        assert labels.tolist() == [2, 0] and kept.tolist() == [rois[fg].tolist(), rois[bg].tolist()]
        assert weights.tolist() == [[0] * 8 + [1] * 4, [0] * 12]
        data = proposal_target_layer._compute_targets(rois[1:2, 1:], gt_boxes[:, :4], np.array([2.]))
        np.testing.assert_allclose(data, [[2, -1 / 18 / .1, 0, np.log(20 / 18) / .2, 0]], rtol=1e-5)
        everything = proposal_target_layer._sample_rois(rois, gt_boxes, np.inf, np.inf, 3)
        assert sorted(everything[0].tolist()) == [0, 0, 2, 2]


def test_im_info_of_proposals():
    with settings(SMALL):
        data, im_info = generate._get_image_blob(IM)
    assert data.shape == (1, 3, 30, 50) and im_info.tolist() == [[30, 50, .5]]


# ---- annotations and settings --------------------------------------------------------------------------------------------

def test_parse_rec(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<annotation><object><name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>"
                    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>")
    (obj,) = parse_rec(str(path))
    assert {"name": "dog", "pose": "Left", "truncated": 1, "difficult": 0, "bbox": [1, 2, 30, 40]}.items() <= obj.items()


@pytest.fixture
def own_setting():
    """A fork's settings, added as its lines at the end of config.py would."""
    __C = config.__C
    __C.TRAIN.GAMMA, __C.FORK, __C.FORK.NAMES, __C.FORK.LIST = 2.0, edict(), (), [1]
    yield __C
    __C.TRAIN.pop("GAMMA")      # del removes the attribute alone
    __C.pop("FORK")


def test_settings_of_a_fork(own_setting, tmp_path):
    (tmp_path / "a.yml").write_text("TRAIN: {GAMMA: 3}\nFORK: {NAMES: [a, b]}\n")
    cfg_from_file(tmp_path / "a.yml")
    assert (own_setting.TRAIN.GAMMA, own_setting.FORK.NAMES) == (3.0, ("a", "b")) and type(cfg.TRAIN.GAMMA) is float
    cfg_from_list(["TRAIN.GAMMA", "0.5", "FORK.LIST", "[2, 3]"])
    assert (cfg.TRAIN.GAMMA, cfg.FORK.LIST, changed_settings()["TRAIN.GAMMA"]) == (.5, [2, 3], .5)
    with pytest.raises(UserError, match="TRAIN.GAMMA in --set must be a float, got 'much'"):
        cfg_from_list(["TRAIN.GAMMA", "much"])
    with pytest.raises(UserError, match="FORK.LIST in --set must be a list, got 3"):
        cfg_from_list(["FORK.LIST", "3"])
    with pytest.raises(UserError, match="nearest known one is TRAIN.GAMMA"):
        cfg_from_list(["TRAIN.GAMA", "1"])


def test_merge_a_into_b():
    with settings():
        config._merge_a_into_b(edict({"TRAIN": {"BATCH_SIZE": 32}, "EPS": 1e-3}), cfg)
        config._merge_a_into_b(edict({"SCALES": [300]}), cfg.TEST)
        assert (cfg.TRAIN.BATCH_SIZE, cfg.EPS, cfg.TEST.SCALES) == (32, 1e-3, (300,))
        with pytest.raises(UserError, match="unknown setting TRAIN.BATCHSIZE"):
            config._merge_a_into_b(edict({"TRAIN": {"BATCHSIZE": 32}}), cfg)
        with pytest.raises(UserError, match="takes cfg, or a branch of it"):
            config._merge_a_into_b(edict(), edict())
