"""An image database: a list of images, what is in them, which proposals they have, and how to score detections."""
import os

import numpy as np
import scipy.sparse
from fast_rcnn.config import cache_dir
from utils.cython_bbox import bbox_overlaps
from utils.errors import UserError

from datasets.box_checks import one_a_row
from datasets.crowds import covered_by, crowd_rows
from datasets.entries import entry_areas, entry_size
from datasets.ground_truth import AREA_RANGES, matched_overlaps, object_rows
from datasets.imdb_base import ImdbBase


class imdb(ImdbBase):
    """Base of the data sets; a subclass gives image_path_at, gt_roidb and evaluate_detections.

    A roidb is a list with one dict an image:
      boxes        (R, 4) float32, 0-based pixels [x1 y1 x2 y2], ground truth first
      gt_overlaps  (R, num_classes) scipy csr, a row's IoU with its best ground-truth box in that box's class column;
                   all -1 for a crowd and for what it covers (datasets.crowds)
      gt_classes   (R,) int32, 0 for proposals
      seg_areas    (R,) float32, pixels, 0 for proposals
      flipped      bool: the image is to be mirrored
      width, height  pixels
    """

    def __init__(self, name):
        self._name = name
        self._classes = []
        self._image_index = []
        self._roidb = None
        self._roidb_handler = self.default_roidb
        self.config = {}        # what a data set lets its user choose

    @property
    def name(self):
        return self._name

    @property
    def num_classes(self):
        return len(self._classes)

    @property
    def classes(self):
        return self._classes

    @property
    def image_index(self):
        return self._image_index

    @property
    def num_images(self):
        return len(self._image_index)

    @property
    def roidb_handler(self):
        return self._roidb_handler

    @roidb_handler.setter
    def roidb_handler(self, handler):
        self._roidb_handler = handler

    @property
    def roidb(self):
        """The roidb the handler makes, made once."""
        if self._roidb is None:
            self._roidb = self.roidb_handler()
        return self._roidb

    @property
    def cache_path(self):
        """The folder of derived files, made where it is missing."""
        path = cache_dir()
        os.makedirs(path, exist_ok=True)
        return path

    def set_proposal_method(self, method):
        """Take the proposals from <method>_roidb: selective_search, gt, rpn, ..."""
        handler = getattr(self, method + "_roidb", None)
        if handler is None:
            known = sorted(name[:-len("_roidb")] for name in dir(self) if name.endswith("_roidb") and name[0] != "_")
            raise UserError("PROPOSAL_METHOD '%s' is unknown to %s; it has: %s" % (method, self.name, ", ".join(known)))
        self.roidb_handler = handler

    def default_roidb(self):
        raise NotImplementedError("%s has no proposals of its own; set roidb_handler" % type(self).__name__)

    def image_path_at(self, i):
        """Path of image i."""
        raise NotImplementedError

    def evaluate_detections(self, all_boxes, output_dir=None):
        """Score all_boxes[class][image] = (N, 5) [x1 y1 x2 y2 score], or [] for none, of the whole imdb."""
        raise NotImplementedError

    def competition_mode(self, on):
        """Name result files as a competition wants them; nothing to do for most data sets."""

    def append_flipped_images(self):
        """Double the roidb: every image a second time, mirrored (x1, x2 = width - x2 - 1, width - x1 - 1)."""
        flipped = []
        for i, (entry, width) in enumerate(zip(self.roidb, self._get_widths())):
            boxes = np.array(entry["boxes"], dtype=np.float32)
            boxes[:, (0, 2)] = width - boxes[:, (2, 0)] - 1
            if (boxes[:, 2] < boxes[:, 0]).any():
                raise UserError("%s: image %s has a box with x2 < x1; correct its source"
                                % (self.name, self.image_path_at(i)))
            flipped.append(dict(entry, boxes=boxes, flipped=True))
        self._roidb = self.roidb + flipped
        self._image_index = list(self._image_index) * 2

    def _get_widths(self):
        """Pixels, of each image of the roidb, as append_flipped_images uses them."""
        return [entry_size(entry, self, i)[0] for i, entry in enumerate(self.roidb)]

    def create_roidb_from_box_list(self, box_list, gt_roidb):
        """A roidb of proposals: box_list[i] (R, 4) for image i; gt_roidb None where there is no ground truth."""
        if len(box_list) != self.num_images:
            raise UserError("%s: %d lists of proposals for %d images; make the proposals for this image set"
                            % (self.name, len(box_list), self.num_images))
        return [self._proposal_entry(i, boxes, gt_roidb[i] if gt_roidb is not None else None)
                for i, boxes in enumerate(box_list)]

    def _proposal_entry(self, i, boxes, gt):
        boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
        width, height = entry_size(gt or {}, self, i)
        return {"boxes": boxes,
                "gt_classes": np.zeros(len(boxes), dtype=np.int32),
                "gt_overlaps": _proposal_overlaps(boxes, gt, self.num_classes),
                "flipped": False,
                "seg_areas": np.zeros(len(boxes), dtype=np.float32),
                "width": width, "height": height}

    @staticmethod
    def merge_roidbs(a, b):
        """Image by image, the boxes of `a` followed by those of `b`; the other keys are `a`'s.

        seg_areas may be missing, as in the first versions of the original.
        """
        assert len(a) == len(b), "roidbs of different image sets: %d and %d images" % (len(a), len(b))
        return [dict(x,
                     boxes=np.vstack((x["boxes"], y["boxes"])),
                     gt_classes=np.hstack((x["gt_classes"], y["gt_classes"])),
                     gt_overlaps=scipy.sparse.vstack((x["gt_overlaps"], y["gt_overlaps"]), format="csr"),
                     seg_areas=np.hstack((entry_areas(x), entry_areas(y))))
                for x, y in zip(a, b)]

    def evaluate_recall(self, candidate_boxes=None, thresholds=None, area="all", limit=None):
        """Recall of boxes, class-agnostic: each ground-truth box is matched to one candidate, best pairs first.

        candidate_boxes: (R, 4) for each image, by default the roidb's proposals; limit: use the first so many;
        area: a key of AREA_RANGES.  Returns a dict: ar (mean recall over thresholds, nan without ground truth),
        recalls (T,), thresholds (T,), by default .5 to .95, gt_overlaps (G,) ascending.
        """
        if area not in AREA_RANGES:
            raise UserError("area range '%s' is unknown; known: %s" % (area, ", ".join(AREA_RANGES)))
        if thresholds is None:
            thresholds = np.arange(0.5, 0.95 + 1e-5, 0.05)
        overlaps = [np.zeros(0)]
        for i, entry in enumerate(self.roidb):
            boxes = entry["boxes"][entry["gt_classes"] == 0] if candidate_boxes is None else candidate_boxes[i]
            overlaps.append(matched_overlaps(boxes[:limit], _gt_in_range(entry, *AREA_RANGES[area])))
        overlaps = np.sort(np.hstack(overlaps))
        recalls = np.array([(overlaps >= t).mean() if len(overlaps) else np.nan for t in thresholds])
        return {"ar": recalls.mean(), "recalls": recalls, "thresholds": thresholds, "gt_overlaps": overlaps}


def _proposal_overlaps(boxes, gt, num_classes):
    """(R, num_classes) csr float32: the IoU with the best ground-truth box (the first on ties), in its class column.

    Rows that a crowd covers are -1; crowds themselves are no boxes to be found.
    """
    if gt is None or not len(gt["boxes"]) or not len(boxes):
        return scipy.sparse.csr_matrix((len(boxes), num_classes), dtype=np.float32)
    crowd = crowd_rows(gt["gt_overlaps"])
    covered = covered_by(boxes, gt["boxes"][crowd])
    classes, values = np.zeros(len(boxes), np.int32), np.zeros(len(boxes), np.float32)
    if not crowd.all():
        best, values = _best_overlaps(boxes, gt["boxes"][~crowd])
        classes = gt["gt_classes"][~crowd][best]
    overlaps = one_a_row(np.where(covered, 0, values), classes, num_classes)
    if covered.any():
        overlaps = overlaps + scipy.sparse.csr_matrix(-np.outer(covered, np.ones(num_classes, np.float32)))
    return overlaps


def _best_overlaps(boxes, gt_boxes):
    """Index (R,) of the gt box each box overlaps most, and the IoU (R,) float32."""
    overlaps = bbox_overlaps(boxes, gt_boxes)                     # (R, G)
    return overlaps.argmax(axis=1), overlaps.max(axis=1).astype(np.float32)


def _gt_in_range(entry, low, high):
    """Ground-truth boxes with an area in [low, high], without crowds."""
    rows = object_rows(entry)
    areas = entry_areas(entry)[rows]
    return entry["boxes"][rows[(areas >= low) & (areas <= high)]]
