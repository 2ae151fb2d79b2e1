"""Which anchors a region proposal network should call objects, and how it should move them."""
import caffe
import numpy as np
import numpy.random as npr
from fast_rcnn.bbox_transform import bbox_transform
from fast_rcnn.config import cfg
from utils.cython_bbox import bbox_overlaps
from utils.python_layer import put

from rpn.anchors import shifted_anchors
from rpn.layer_io import objects_of, read_anchors


class AnchorTargetLayer(caffe.Layer):
    """Labels and regression targets of the anchors of each image.

    layer { name: "rpn-data" type: "Python"
            bottom: "rpn_cls_score" bottom: "gt_boxes" bottom: "im_info" bottom: "data"
            top: "rpn_labels" top: "rpn_bbox_targets" top: "rpn_bbox_inside_weights" top: "rpn_bbox_outside_weights"
            python_param { module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"
                           param_str: "{'feat_stride': 16, 'scales': [8, 16, 32], 'allowed_border': 0}" } }

    bottoms: rpn_cls_score (N, 2*A, H, W), of which only the shape counts; gt_boxes (G, 5) [x1 y1 x2 y2 class] pixels of
    the scaled image, or (G, 6) with the image's number last where N > 1; im_info (N, 3) [height width scale]; data.
    tops: labels (N, 1, A*H, W), 1 object, 0 background, -1 neither; targets and weights (N, 4*A, H, W).
    Anchors that reach more than allowed_border pixels out of the image are neither.  Settings: cfg.TRAIN.RPN_*.
    """

    def setup(self, bottom, top):
        params, self._anchors = read_anchors(self, bottom[0].shape[1])
        self._feat_stride = params["feat_stride"]
        self._border = params.get("allowed_border", 0)
        count, _, height, width = bottom[0].shape
        top[0].reshape(count, 1, len(self._anchors) * height, width)
        for blob in (top[1], top[2], top[3]):
            blob.reshape(count, 4 * len(self._anchors), height, width)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        count, _, height, width = bottom[0].shape
        all_anchors = shifted_anchors(self._anchors, height, width, self._feat_stride)
        gt_boxes, im_info = bottom[1].data, bottom[2].data
        images = [self._targets(all_anchors, objects_of(gt_boxes, i), im_info[i]) for i in range(count)]
        for k, columns in enumerate((1, 4, 4, 4)):
            # N of (H*W*A, columns) -> (N, A*columns, H, W)
            maps = np.stack([arrays[k] for arrays in images]).reshape(count, height, width, -1).transpose(0, 3, 1, 2)
            put(top[k], maps.reshape(count, 1, -1, width) if columns == 1 else maps)

    def backward(self, top, propagate_down, bottom):
        pass

    def _targets(self, all_anchors, gt_boxes, im_info):
        """labels (K, 1), targets, inside and outside weights (K, 4), float32, for all K anchors of one image."""
        train = cfg.TRAIN
        inside = np.flatnonzero(are_inside(all_anchors, im_info[0], im_info[1], self._border))
        anchors = all_anchors[inside]
        overlaps = bbox_overlaps(anchors, gt_boxes[:, :4])                  # (I, G)
        labels = label_anchors(overlaps, train.RPN_NEGATIVE_OVERLAP, train.RPN_POSITIVE_OVERLAP,
                               train.RPN_CLOBBER_POSITIVES)
        subsample(labels, train.RPN_BATCHSIZE, train.RPN_FG_FRACTION)
        targets = np.zeros((len(anchors), 4), np.float32)
        if overlaps.size:
            targets[:] = bbox_transform(anchors, gt_boxes[overlaps.argmax(axis=1), :4])
        weights = loss_weights(labels, train.RPN_BBOX_INSIDE_WEIGHTS, train.RPN_POSITIVE_WEIGHT)
        arrays = (labels[:, np.newaxis], targets, *weights)
        return [unmap(array, len(all_anchors), inside, fill) for array, fill in zip(arrays, (-1, 0, 0, 0))]


def are_inside(boxes, height, width, border=0):
    """Mask (N,) of the boxes (N, 4) that reach no more than `border` pixels out of an image."""
    return ((boxes[:, :2] >= -border).all(axis=1) & (boxes[:, 2] < width + border) & (boxes[:, 3] < height + border))


def label_anchors(overlaps, negative_overlap, positive_overlap, clobber_positives):
    """Labels (N,) float32 of anchors by their overlaps (N, G) with the objects: 1, 0, or -1 for neither.

    Objects: overlap >= positive_overlap with any, and for each object the anchors that overlap it most, however
    little (the original: though it be not at all).  Background: overlap < negative_overlap with all.
    clobber_positives: what is both is background.
    """
    best = overlaps.max(axis=1, initial=0)
    best_of_gt = (overlaps == overlaps.max(axis=0, initial=0)) & (overlaps > 0)     # (N, G)
    positive = best_of_gt.any(axis=1) | (best >= positive_overlap)
    negative = best < negative_overlap
    labels = np.full(len(overlaps), -1, np.float32)
    for label, rows in ((1, positive), (0, negative)) if clobber_positives else ((0, negative), (1, positive)):
        labels[rows] = label
    return labels


def subsample(labels, batch_size, fg_fraction):
    """Turn the surplus of labels 1, then of labels 0, into -1, in place, drawn from numpy's global generator."""
    for label, most in ((1, int(fg_fraction * batch_size)), (0, batch_size)):
        if label == 0:
            most -= np.count_nonzero(labels == 1)
        inds = np.flatnonzero(labels == label)
        if len(inds) > most:
            labels[npr.choice(inds, size=len(inds) - most, replace=False)] = -1


def loss_weights(labels, inside_weights, positive_weight):
    """Inside and outside weights (N, 4) float32 of labels (N,).

    positive_weight p: together the objects weigh p, the background 1 - p; negative: each anchor the same, together 1.
    """
    positive, negative = labels == 1, labels == 0
    inside, outside = np.zeros((len(labels), 4), np.float32), np.zeros((len(labels), 4), np.float32)
    inside[positive] = inside_weights
    if positive_weight < 0:
        outside[positive | negative] = 1 / max(1, np.count_nonzero(positive | negative))
    else:
        outside[positive] = positive_weight / max(1, np.count_nonzero(positive))
        outside[negative] = (1 - positive_weight) / max(1, np.count_nonzero(negative))
    return inside, outside


def unmap(rows, count, inds, fill):
    """(count, ...) array with `rows` at `inds` and `fill` elsewhere."""
    array = np.full((count,) + rows.shape[1:], fill, rows.dtype)
    array[inds] = rows
    return array


# The original's names for parts of these, which forks import.

def _unmap(data, count, inds, fill=0):
    """`unmap` in float32."""
    return unmap(np.asarray(data, np.float32), count, inds, fill)


def _compute_targets(ex_rois, gt_rois):
    """Targets (N, 4) float32 that take ex_rois (N, 4) to gt_rois (N, 5) [x1 y1 x2 y2 class]."""
    return bbox_transform(ex_rois, gt_rois[:, :4]).astype(np.float32)
