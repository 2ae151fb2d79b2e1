"""The mining layer on 2000 RoIs and 21 classes, of one image and of two, against per-RoI Python loops."""
import math

import caffe
import numpy as np
from _inputs import NUM_CLASSES, SEED, minibatch
from _report import Row
from _timing import interleaved
from caffe.proto import caffe_pb2
from fast_rcnn.config import cfg
from google.protobuf import text_format

LIMIT = 0.005       # seconds that are asked for
BOTTOMS = ("cls_prob", "bbox_pred", "rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights")


def cases(sizes):
    """{case name: function of the settings}."""
    return {"mining/%d" % images: lambda settings, images=images: _measure(settings, images) for images in (1, 2)}


def _measure(settings, images):
    blobs = _blobs(settings.sizes, images)
    cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.IMS_PER_BATCH = settings.sizes.batch * images, images
    net = _net(blobs)
    net.forward()
    rows = naive_hard_rois(blobs, cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.OHEM_NMS_THRESH)
    if not np.array_equal(net.blobs["rois_hard"].data, blobs["rois"][rows]):
        raise RuntimeError("mining: the naive loops choose other RoIs than the layer")
    seconds = interleaved({"ours": lambda: net.forward_from_to(len(BOTTOMS)),
                           "peer": lambda: naive_hard_rois(blobs, cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.OHEM_NMS_THRESH)},
                          settings.repeats, warmup=2)
    return [Row("mining/%d_image%s" % (images, "s" * (images > 1)), seconds["ours"], seconds["peer"],
                "loops over RoIs in Python", LIMIT, 1, "limit")]


def _blobs(sizes, images):
    rng = np.random.default_rng(SEED)
    blobs = minibatch(sizes, sizes.rois, images)
    scores = np.exp(rng.normal(size=(sizes.rois, NUM_CLASSES)))
    blobs["cls_prob"] = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    blobs["bbox_pred"] = rng.normal(size=blobs["bbox_targets"].shape).astype(np.float32)
    return {name: blobs[name] for name in BOTTOMS}


def _net(blobs):
    """The layer behind inputs."""
    text = "".join('layer { name: "%s" type: "Input" top: "%s" input_param { shape { %s } } }\n' % (
        name, name, " ".join("dim: %d" % n for n in blob.shape)) for name, blob in blobs.items())
    text += 'layer { name: "hard_roi_mining" type: "Python" %s %s python_param { module: "roi_data_layer.layer" ' % (
        " ".join('bottom: "%s"' % name for name in blobs), " ".join('top: "%s_hard"' % name for name in BOTTOMS[2:]))
    text += 'layer: "OHEMDataLayer" param_str: "\'num_classes\': %d" } }' % NUM_CLASSES
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TRAIN)
    for name, blob in blobs.items():
        net.blobs[name].data[...] = blob
    return net


def naive_hard_rois(blobs, batch_size, nms_thresh):
    """Rows of the hard RoIs: a loop for the losses, NMS by loss for each image and label, the largest losses left."""
    losses = [_loss(i, blobs) for i in range(len(blobs["rois"]))]
    groups = {}
    for i, (roi, label) in enumerate(zip(blobs["rois"].tolist(), blobs["labels"].tolist())):
        groups.setdefault((roi[0], label), []).append(i)
    kept = [i for rows in groups.values() for i in naive_nms(rows, losses, blobs["rois"][:, 1:].tolist(), nms_thresh)]
    return sorted(kept, key=lambda i: -losses[i])[:batch_size]


def _loss(i, blobs):
    """Softmax loss and smooth L1 loss of one RoI."""
    label = int(blobs["labels"][i])
    loss = -math.log(max(blobs["cls_prob"][i, label], np.finfo(np.float64).eps))
    for k in range(4 * label, 4 * label + 4) if label else ():
        diff = blobs["bbox_inside_weights"][i, k] * (blobs["bbox_pred"][i, k] - blobs["bbox_targets"][i, k])
        smooth = 0.5 * diff ** 2 if abs(diff) < 1 else abs(diff) - 0.5
        loss += float(blobs["bbox_outside_weights"][i, k] * smooth)
    return loss


def naive_nms(rows, scores, boxes, thresh):
    """The rows that stay, by falling score: each drops later ones of an IoU >= thresh with it."""
    kept = []
    for i in sorted(rows, key=lambda i: -scores[i]):
        if all(naive_iou(boxes[i], boxes[k]) < thresh for k in kept):
            kept.append(i)
    return kept


def naive_iou(a, b):
    """IoU of two boxes [x1 y1 x2 y2], both corners inside."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    area_a, area_b = ((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b))
    return width * height / (area_a + area_b - width * height)
