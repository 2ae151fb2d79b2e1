"""Data sets whose ground truth and proposals lie in files: caches, proposals, and the check that all is sound."""
import os

import numpy as np
from fast_rcnn.config import cfg
from utils.errors import UserError
from utils.progress import progress

from datasets.box_checks import bad_boxes, clip_one_pixel
from datasets.cache import cached_roidb, content_key
from datasets.check import require_sound
from datasets.content_hash import existing_hashes
from datasets.ds_utils import filter_small_boxes, unique_boxes
from datasets.entries import complete, entry_size
from datasets.imdb import imdb
from datasets.imdb_base import ImdbBase, overrides
from datasets.proposals import find_proposals, load_proposals


class file_imdb(imdb, ImdbBase):      # ImdbBase by itself, as imdb.py may be a fork's
    """A subclass gives, for an index of image_index, _image_file(index) and _read_annotation(index) -> (entry of the gt
    roidb, how many boxes were clipped), _gt_key(), the content key of all its annotations, _source_files(), the paths
    of its annotations and lists, annotated, and _proposals, the path of the proposal file without its extension, one of
    datasets.proposals.LOADERS.

    config: min_size (of a proposal, pixels), top_k (the first so many proposals of an image; None: all), rpn_file
    (proposals for rpn_roidb); DEFAULTS where it has no such key.
    """

    DEFAULTS = {"min_size": 2, "top_k": None, "rpn_file": None}
    # In the body of a class itself: its roidbs are stored by the content of its files.  A subclass may make another
    # roidb of the same files, so those of subclasses are made each time.
    IS_STORED = False
    _proposal_files = ()        # that the roidb was made from

    def __init__(self, name):
        imdb.__init__(self, name)
        self._roidb_handler = self.selective_search_roidb
        self.config = dict(self.DEFAULTS)

    def image_path_at(self, i):
        """Path of image i; UserError where there is none."""
        return self.image_path_from_index(self._image_index[i])

    def image_path_from_index(self, index):
        """Path of the image called `index` in the image set; UserError where there is none."""
        path = self._image_file(index)
        if not os.path.exists(path):
            raise UserError("image %s does not exist; add it or take '%s' out of the image set" % (path, index))
        return path

    def image_hashes(self):
        if not self._is_stored():
            return ImdbBase.image_hashes(self)
        return existing_hashes([self._image_file(index) for index in self._image_index], self.name + " hashes")

    @property
    def proposals_path(self):
        return self._proposals + ".mat"

    def has_stored_gt(self):
        return self._is_stored() and os.path.exists(self._cache_file("gt", self._gt_key()))

    def missing_proposals(self):
        is_own = overrides(self, file_imdb, "_load_selective_search_roidb")
        if is_own or self._roidb_handler != self.selective_search_roidb:
            return []
        path = find_proposals(self._proposals)
        if os.path.exists(path):
            return []
        return ["proposal file %s does not exist; make it with tools/propose.py, or download it, see data/README.md"
                % path]

    def source_key(self):
        """Digest of what the roidb was made from: names and bytes of the images, annotations, lists and proposals.

        No path is part of it.  Call it when the roidb is made.  None for a subclass, which may read other files.
        """
        if not self._is_stored():
            return None
        names = list(dict.fromkeys(self._image_index))      # mirrored images stand there twice
        files = [self._image_file(name) for name in names] + self._source_files() + list(self._proposal_files)
        settings = [self.config.get(key) for key in ("min_size", "top_k", "use_diff")]
        return content_key("source", names, existing_hashes(files, self.name + " hashes"), settings)

    def gt_roidb(self):
        """Ground truth of every image; without boxes where the annotations are not public."""
        return self._stored_roidb("gt", self._gt_key, self._build_gt_roidb)

    def selective_search_roidb(self):
        """Ground truth, then the boxes of the proposal file without duplicates and without the very small."""
        files = [] if overrides(self, file_imdb, "_load_selective_search_roidb") else [find_proposals(self._proposals)]
        return self._proposals_roidb("selective_search", files, self._load_selective_search_roidb)

    def rpn_roidb(self):
        """Ground truth, then the boxes in config['rpn_file']."""
        gt_roidb = self.gt_roidb()
        return self.merge_roidbs(gt_roidb, self._load_rpn_roidb(gt_roidb))

    def _load_selective_search_roidb(self, gt_roidb):
        """The roidb of the boxes of the proposal file alone; gt_roidb: None where there is none."""
        path = find_proposals(self._proposals)
        return self._roidb_of_boxes(self._load_proposals(path), gt_roidb, path)

    def _load_rpn_roidb(self, gt_roidb):
        """The roidb of the boxes in config['rpn_file'] alone, all of them; gt_roidb: None where there is none."""
        path = self._option("rpn_file")
        if path is None:
            raise UserError("%s: config['rpn_file'] is not set; name the .npz file of RPN proposals" % self.name)
        self._proposal_files = [path]
        return self.create_roidb_from_box_list(self._boxes_inside(self._load_proposals(path), gt_roidb, path), gt_roidb)

    def _load_proposals(self, path):
        return load_proposals(path, self.proposal_names(), cfg.TRUST_PICKLE, self.image_hashes())

    def _option(self, key):
        """A value of config, which may be a fork's own dict."""
        return self.config.get(key, self.DEFAULTS[key])

    def _is_stored(self):
        return not self.is_partial and vars(type(self)).get("IS_STORED", False) and issubclass(imdb, ImdbBase)

    def _stored_roidb(self, kind, find_key, build):
        return self._cached_roidb(kind, find_key, build) if self._is_stored() else complete(build(), self)

    def _cached_roidb(self, kind, find_key, build):
        """The roidb of build(), stored by the content find_key() tells; UserError where that changes meanwhile."""
        key = find_key()

        def build_unchanged():
            roidb = build()
            if find_key() != key:
                raise UserError("%s: its files changed while they were read; run it again" % self.name)
            return roidb

        return cached_roidb(self._cache_file(kind, key), self.num_classes, build_unchanged)

    def _cache_file(self, kind, key):
        return os.path.join(self.cache_path, "%s_%s.npz" % (kind, key))

    def _build_gt_roidb(self):
        if not self.is_known_sound:
            require_sound(self)
        entries = [self._read_annotation(index)
                   for index in progress(self._image_index, self.name + " annotations", self.num_images, "images")]
        self._tell_clipped("ground-truth boxes", sum(clipped for _, clipped in entries))
        return [entry for entry, _ in entries]

    def _proposals_roidb(self, method, files, load):
        """Ground truth, then what load(gt roidb) makes of `files`; stored by what it came from."""
        self._proposal_files = list(files)

        def find_key():
            settings = [self._option("min_size"), self._option("top_k")]
            hashes = existing_hashes(files, self.name + " hashes of proposals")
            return content_key(self._gt_key(), self.proposal_names(), hashes, settings)

        def build():
            gt_roidb = self.gt_roidb()
            return self.merge_roidbs(gt_roidb, load(gt_roidb))

        return self._stored_roidb(method, find_key, build)

    def _roidb_of_boxes(self, box_list, gt_roidb, file):
        """A roidb of proposals, (R, 4) for each image, without duplicates and without the very small."""
        kept = []
        for boxes in progress(self._boxes_inside(box_list, gt_roidb, file), self.name + " proposals", self.num_images,
                              "images"):
            boxes = boxes[unique_boxes(boxes)]
            kept.append(boxes[filter_small_boxes(boxes, self._option("min_size"))][:self._option("top_k")])
        return self.create_roidb_from_box_list(kept, gt_roidb)

    def _boxes_inside(self, box_list, gt_roidb, path):
        """box_list clipped by a pixel where needed; UserError for an image with boxes further out, naming `path`."""
        clipped = 0
        for i, name in enumerate(self.proposal_names()):
            size = entry_size(gt_roidb[i] if gt_roidb is not None else {}, self, i)
            if _are_fractions(box_list[i]):
                raise UserError(f"proposal file {path}, image {name}: its boxes look like fractions of the image; "
                                f"expected pixels; multiply x by {size[0]} and y by {size[1]}")
            bad = np.where(bad_boxes(box_list[i], *size))[0]
            if len(bad):
                first = " ".join("%g" % x for x in box_list[i][bad[0]])
                raise UserError("proposal file %s, image %s: %d of %d boxes are inverted, not numbers or outside the "
                                "image of %d x %d pixels, the first is x1 y1 x2 y2 = %s (0-based); expected in a .mat: "
                                "1-based [ymin xmin ymax xmax]"
                                % (path, name, len(bad), len(box_list[i]), *size, first))
            box_list[i], n = clip_one_pixel(box_list[i], *size)
            clipped += n
        self._tell_clipped("proposals", clipped)
        return box_list

    def _tell_clipped(self, what, count):
        if count:
            print("%s: %d %s reached one pixel beyond their image and were clipped" % (self.name, count, what))

    def _require_own(self, all_boxes):
        """UserError unless all_boxes[class][image] has the classes and images of this data set, and finite numbers."""
        counts = [len(per_image) for per_image in all_boxes[1:]]
        if counts != [self.num_images] * (self.num_classes - 1):
            raise UserError("detections are of %d classes and %s images, %s has %d classes and %d images; test on this "
                            "data set again" % (len(all_boxes), sorted(set(counts)), self.name, self.num_classes,
                                                self.num_images))
        for name, per_image in zip(self.classes[1:], all_boxes[1:]):
            for index, dets in zip(self.image_index, per_image):
                if len(dets) and not np.isfinite(dets).all():
                    raise UserError("%s: detections of class %s in image %s are not finite numbers; test again"
                                    % (self.name, name, index))


def _are_fractions(boxes):
    """Whether proposals (R, 4), already 0-based, were fractions of the image: they lie in one pixel."""
    return len(boxes) > 0 and -2.01 < boxes.min() and boxes.max() < 1.01 and bool((boxes != np.round(boxes)).any())
