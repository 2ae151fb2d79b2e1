"""Which proposals the RoI network learns from: their labels and regression targets."""
import caffe
import numpy as np
import numpy.random as npr
from fast_rcnn.bbox_transform import bbox_transform
from fast_rcnn.config import cfg
from roi_data_layer import settings
from roi_data_layer.blobs import expand_targets
from roi_data_layer.sampling import all_rois, sample_rois
from utils.cython_bbox import bbox_overlaps
from utils.python_layer import put, read_params

from rpn.layer_io import objects_of


class ProposalTargetLayer(caffe.Layer):
    """RoIs of a minibatch out of the proposals and the ground-truth boxes.

    layer { name: "roi-data" type: "Python" bottom: "rpn_rois" bottom: "gt_boxes"
            top: "rois" top: "labels" top: "bbox_targets" top: "bbox_inside_weights" top: "bbox_outside_weights"
            python_param { module: "rpn.proposal_target_layer" layer: "ProposalTargetLayer"
                           param_str: "'num_classes': 21" } }

    bottoms: rpn_rois (R, 5) [image, x1 y1 x2 y2]; gt_boxes (G, 5) [x1 y1 x2 y2 class], or (G, 6) with the image's
    number last.  tops as of roi_data_layer.layer.RoIDataLayer: BATCH_SIZE sampled RoIs, foreground first in each image;
    with cfg.TRAIN.USE_OHEM all of them, for the mining to choose from, but only sampled ones in the first
    OHEM_WARMUP_ITERS iterations, of which `set_iteration` tells.  With cfg.TRAIN.AGNOSTIC all classes share columns 4
    to 7 of targets and weights (R, 8).  An image may have no object, and no proposal either.
    `gt_rois`: set to a list, it gets the (G, 5) rows that are ground truth, for each minibatch.
    """

    gt_rois = None

    def setup(self, bottom, top):
        num_classes = read_params(self, "'num_classes': 21")["num_classes"]
        self._box_classes = 2 if cfg.TRAIN.AGNOSTIC else num_classes
        self._iteration = 0
        for i, columns in enumerate((5, None) + (4 * self._box_classes,) * 3):
            top[i].reshape(*((1, columns) if columns else (1,)))

    def set_iteration(self, iteration):
        """How many iterations of the solver are done."""
        self._iteration = iteration

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        rpn_rois, gt_boxes = bottom[0].data, bottom[1].data
        images = range(_count_images(rpn_rois, gt_boxes))
        parts = [self._of_image(i, rpn_rois[rpn_rois[:, 0] == i], objects_of(gt_boxes, i), len(images)) for i in images]
        rois, labels, targets = (np.concatenate(arrays) for arrays in zip(*parts))
        if self.gt_rois is not None:
            self.gt_rois.append(np.concatenate([_as_rois(objects_of(gt_boxes, i), i) for i in images]))
        columns = np.minimum(labels, self._box_classes - 1)
        targets, inside = expand_targets(np.column_stack([columns, targets]), self._box_classes,
                                         cfg.TRAIN.BBOX_INSIDE_WEIGHTS)
        for blob, array in zip((top[i] for i in range(5)), (rois, labels, targets, inside, inside > 0)):
            put(blob, array)

    def backward(self, top, propagate_down, bottom):
        pass

    def _of_image(self, image, rois, gt_boxes, count):
        """rois (K, 5), labels (K,) and targets (K, 4) of one of `count` images; its objects are proposals as well."""
        rois = np.concatenate([rois, _as_rois(gt_boxes, image)])
        overlaps, nearest = best_overlaps(rois[:, 1:], gt_boxes[:, :4])
        fg_inds, bg_inds = self._choose(overlaps, count)
        keep = np.append(fg_inds, bg_inds)
        labels, targets = np.zeros(len(keep), np.float32), np.zeros((len(keep), 4))
        if len(fg_inds):
            objects = gt_boxes[nearest[fg_inds]]                            # (F, 5)
            labels[:len(fg_inds)] = objects[:, 4]
            targets[:len(fg_inds)] = settings.targets().normalize_precomputed(
                bbox_transform(rois[fg_inds, 1:], objects[:, :4]))
        return rois[keep], labels, targets

    def _choose(self, overlaps, count):
        """Indices of foreground and background by the overlaps (R,) of the RoIs of one of `count` images."""
        if cfg.TRAIN.USE_OHEM and self._iteration >= cfg.TRAIN.OHEM_WARMUP_ITERS:
            return all_rois(overlaps, settings.sampling())
        return sample_rois(overlaps, count, settings.sampling(), npr)


def best_overlaps(boxes, gt_boxes):
    """(overlaps (R,), nearest (R,)): IoU with the object each box overlaps most, the first on ties, and its index."""
    overlaps = bbox_overlaps(boxes, gt_boxes)                               # (R, G)
    if not overlaps.shape[1]:
        return np.zeros(len(boxes)), np.zeros(len(boxes), int)
    return overlaps.max(axis=1), overlaps.argmax(axis=1)


def _as_rois(gt_boxes, image):
    """(G, 5) float32 [image, x1 y1 x2 y2] of objects (G, 5) [x1 y1 x2 y2 class]."""
    return np.insert(gt_boxes[:, :4], 0, image, axis=1).astype(np.float32)


def _count_images(rpn_rois, gt_boxes):
    """Number of images that proposals or objects are of, at least 1."""
    last = gt_boxes[:, 5].max(initial=0) if gt_boxes.shape[1] > 5 else 0
    return 1 + int(max(rpn_rois[:, 0].max(initial=0), last))


# The original's names for parts of these, which forks import.

def _get_bbox_regression_labels(bbox_target_data, num_classes):
    """Targets and inside weights (R, 4*C) of rows (R, 5) [class, dx, dy, dw, dh]; with AGNOSTIC in columns 4 to 7."""
    columns = np.minimum(bbox_target_data[:, :1], 1) if cfg.TRAIN.AGNOSTIC else bbox_target_data[:, :1]
    return expand_targets(np.hstack((columns, bbox_target_data[:, 1:])), num_classes, cfg.TRAIN.BBOX_INSIDE_WEIGHTS)


def _compute_targets(ex_rois, gt_rois, labels):
    """Rows (R, 5) float32 [class, dx, dy, dw, dh] that take ex_rois (R, 4) to gt_rois (R, 4), normalised as cfg says.
    """
    targets = settings.targets().normalize_precomputed(bbox_transform(ex_rois, gt_rois))
    return np.hstack((labels[:, np.newaxis], targets)).astype(np.float32)


def _sample_rois(all_rois, gt_boxes, fg_rois_per_image, rois_per_image, num_classes):
    """labels, rois, bbox_targets and bbox_inside_weights of RoIs drawn from all_rois (R, 5), of one image.

    fg_rois_per_image, rois_per_image: the most of the foreground, and of all.
    """
    overlaps, nearest = best_overlaps(all_rois[:, 1:5], gt_boxes)
    fg_inds, bg_inds = sample_rois(overlaps, 1, settings.sampling_of_image(fg_rois_per_image, rois_per_image), npr)
    keep = np.append(fg_inds, bg_inds).astype(int)
    labels = gt_boxes[nearest[keep], 4]
    labels[len(fg_inds):] = 0
    data = _compute_targets(all_rois[keep, 1:5], gt_boxes[nearest[keep], :4], labels)
    return labels, all_rois[keep], *_get_bbox_regression_labels(data, num_classes)
