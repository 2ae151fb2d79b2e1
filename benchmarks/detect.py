"""im_detect on VGG16 with 300 and 2000 RoIs, image to boxes, against plain PyTorch and OpenCV."""
import caffe
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from _inputs import SEED, photograph, random_boxes
from _ours import MODELS, he_weights, plain_params
from _plain import PlainNet
from _report import Row
from _timing import interleaved
from fast_rcnn.config import cfg
from fast_rcnn.test import im_detect

TARGET = 1.1
SHRINK = 0.625      # the photograph's sides over those of the net's input


def cases(sizes):
    """{case name: function of the settings}."""
    return {"detect/%s" % net: lambda settings, net=net: _measure(settings, net) for net in sizes.nets[-1:]}


def _measure(settings, net_name):
    sizes, rng = settings.sizes, np.random.default_rng(SEED)
    height, width = round(SHRINK * sizes.height), round(SHRINK * sizes.width)
    image = photograph(height, width)
    cfg.TEST.SCALES = (sizes.height,)
    caffe.set_random_seed(SEED)
    net = caffe.Net(str(MODELS / net_name / "fast_rcnn" / "test.prototxt"), caffe.TEST)
    he_weights(net)
    plain = PlainNet(net_name, plain_params(net), train=False)
    rows = []
    for count in (300, 2000) if sizes.rois == 2000 else (sizes.rois,):
        boxes = random_boxes(count, height, width, rng)
        _require_same(im_detect(net, image, boxes), plain_detect(plain, image, boxes, sizes.height))
        seconds = interleaved({"ours": lambda boxes=boxes: im_detect(net, image, boxes),
                               "peer": lambda boxes=boxes: plain_detect(plain, image, boxes, sizes.height)},
                              settings.repeats, warmup=0)
        rows.append(Row("detect/%s/%d" % (net_name, count), seconds["ours"], seconds["peer"], "plain PyTorch",
                        target=TARGET))
    return rows


def plain_detect(net, image, boxes, short_side):
    """Scores (R, 21) and boxes (R, 84) in pixels of the image (H, W, 3), without im_detect and the runtime."""
    scale = short_side / min(image.shape[:2])
    data = cv2.resize(image.astype(np.float32) - np.float32(cfg.PIXEL_MEANS), None, fx=scale, fy=scale)
    data = torch.from_numpy(np.ascontiguousarray(data.transpose(2, 0, 1)[np.newaxis]))
    boxes = torch.from_numpy(boxes)
    with torch.inference_mode():
        rois = torch.cat((torch.zeros(len(boxes), 1), boxes * scale), 1)
        cls_score, deltas = net.head(net.trunk(data), rois)
        return F.softmax(cls_score, 1).numpy(), _decode(boxes, deltas, image.shape).numpy()


def _decode(boxes, deltas, shape):
    """Boxes (R, 4) moved by deltas (R, 84), clipped to the image."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    centre = boxes[:, :2] + 0.5 * size
    deltas = deltas.view(len(boxes), -1, 4)                                     # (R, 21, 4)
    centre = deltas[:, :, :2] * size[:, None] + centre[:, None]
    half = 0.5 * deltas[:, :, 2:].exp() * size[:, None]
    limits = torch.tensor([shape[1] - 1, shape[0] - 1] * 2)
    return torch.cat((centre - half, centre + half), 2).clamp(torch.zeros(4), limits).flatten(1)


def _require_same(ours, theirs):
    """Both find the same boxes, but for RoIs that im_detect takes for equal (cfg.DEDUP_BOXES)."""
    for a, b in zip(ours, theirs):
        error = np.abs(a - b).max(axis=1)
        if not (error < 1e-3 * np.abs(b).max()).mean() > 0.9:
            raise RuntimeError("im_detect and plain PyTorch find different boxes")
