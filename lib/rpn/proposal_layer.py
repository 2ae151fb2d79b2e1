"""From the outputs of a region proposal network to proposals."""
import caffe
import numpy as np
from fast_rcnn.bbox_transform import bbox_transform_inv, clip_boxes
from fast_rcnn.config import cfg
from fast_rcnn.finite import NotFiniteError
from nms.cpu_nms import greedy_nms
from utils.python_layer import phase_of, put

from rpn.anchors import shifted_anchors
from rpn.layer_io import read_anchors


class ProposalLayer(caffe.Layer):
    """Moves the anchors of each image, and keeps the best of them.

    layer { name: "proposal" type: "Python"
            bottom: "rpn_cls_prob_reshape" bottom: "rpn_bbox_pred" bottom: "im_info" top: "rois" top: "scores"
            python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
                           param_str: "{'feat_stride': 16, 'scales': [8, 16, 32]}" } }

    bottoms: rpn_cls_prob_reshape (N, 2*A, H, W), the objects' probabilities in channels A .. 2*A - 1; rpn_bbox_pred
    (N, 4*A, H, W), anchor a in channels 4*a .. 4*a + 3; im_info (N, 3) [height width scale].
    tops: rois (R, 5) [image, x1 y1 x2 y2] pixels of the scaled image, by image, then by falling score; scores (R, 1),
    which may be left out.  R may be 0, where nothing is as large as RPN_MIN_SIZE (the original fails there).
    Settings: cfg.TRAIN.RPN_* or cfg.TEST.RPN_*, by the net's phase.
    """

    def setup(self, bottom, top):
        params, self._anchors = read_anchors(self, bottom[0].shape[1])
        self._feat_stride = params["feat_stride"]
        top[0].reshape(1, 5)
        if len(top) > 1:
            top[1].reshape(1, 1)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        settings = cfg[phase_of(self)]
        all_scores, all_deltas, im_info = (bottom[i].data for i in range(3))
        # In TRAIN the losses show it.
        if phase_of(self) == "TEST" and not (np.isfinite(all_scores).all() and np.isfinite(all_deltas).all()):
            raise NotFiniteError("the ProposalLayer gets scores or deltas that are not finite")
        height, width = all_scores.shape[2:]
        anchors = shifted_anchors(self._anchors, height, width, self._feat_stride)
        rois, roi_scores = [], []
        for i, (scores, deltas) in enumerate(zip(all_scores[:, len(self._anchors):], all_deltas)):
            boxes, scores = propose(scores, deltas, anchors, im_info[i], settings.RPN_MIN_SIZE,
                                    settings.RPN_PRE_NMS_TOP_N, settings.RPN_POST_NMS_TOP_N, settings.RPN_NMS_THRESH)
            rois.append(np.insert(boxes, 0, i, axis=1))                     # (R, 4) -> (R, 5)
            roi_scores.append(scores)
        put(top[0], np.concatenate(rois))
        if len(top) > 1:
            put(top[1], np.concatenate(roi_scores)[:, np.newaxis])

    def backward(self, top, propagate_down, bottom):
        pass


def propose(scores, deltas, anchors, im_info, min_size, pre_nms_top_n, post_nms_top_n, nms_thresh):
    """Proposals of one image: boxes (R, 4) and scores (R,), float32, by falling score, of equal ones the later first.

    scores (A, H, W); deltas (4*A, H, W); anchors (H*W*A, 4), rows by y, x, anchor; im_info [height width scale].

    1. Move the anchors by the deltas and clip them to the image.
    2. Leave out those with a side below min_size pixels of the unscaled image.
    3. Keep the pre_nms_top_n best (0 or less: all), of which NMS at nms_thresh leaves the post_nms_top_n best.
    """
    scores = scores.transpose(1, 2, 0).reshape(-1)                          # (A, H, W) -> (H*W*A,)
    deltas = deltas.transpose(1, 2, 0).reshape(-1, 4)                       # (4*A, H, W) -> (H*W*A, 4)
    boxes = clip_boxes(bbox_transform_inv(anchors, deltas), im_info[:2])
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    large = np.flatnonzero((sides >= min_size * im_info[2]).all(axis=1))
    order = large[np.argsort(scores[large], kind="stable")[::-1]]
    order = order[:pre_nms_top_n] if pre_nms_top_n > 0 else order
    enough = post_nms_top_n if post_nms_top_n > 0 else len(order)
    boxes, scores = np.ascontiguousarray(boxes[order]), scores[order]
    kept = greedy_nms(boxes, scores, np.zeros(len(order), np.int64), enough, nms_thresh)[:enough]
    return boxes[kept], scores[kept]


def _filter_boxes(boxes, min_size):
    """Indices of boxes (N, 4) with both sides of min_size pixels or more; the original's name, which forks import."""
    return np.flatnonzero((boxes[:, 2:4] - boxes[:, :2] + 1 >= min_size).all(axis=1))
