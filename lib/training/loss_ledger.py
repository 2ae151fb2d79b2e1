"""The losses of single objects and background regions over a training, from which label errors can be found.

A net that is told a wrong label keeps a large loss there: an object of another class, an object nobody labelled (which
is background that is mined again and again), a box far off.  I images, O objects of all of them, C classes with 0 the
background.  Boxes are [x1 y1 x2 y2] in pixels of the image as read: not flipped, not scaled.
"""
import numpy as np
from utils.cython_bbox import bbox_overlaps
from utils.errors import UserError

CLUSTERS = 16           # background regions kept of an image, those with the largest sum of losses
SAME_REGION = 0.5       # IoU from which a background RoI belongs to a region
NEAR_OBJECT = 0.3       # IoU with an object from which a background RoI tells of that object's box, not of a region
SAME_BOX = 0.9          # IoU from which a RoI is an object's own box
SUMS = ("object_seen", "object_mined", "object_loss", "object_prob")


class LossLedger:
    """What mining has seen, as arrays that are sums over the passes.

    images_seen (I,): passes with the image.
    object_image, object_class (O,), object_box (O, 4): the objects.
    object_seen (O,): passes with a RoI on the own box of the object; object_loss, object_last_loss (O,): the sum of the
    losses of that RoI and the last one; object_prob (O, C): the sum of its class probabilities.
    object_mined (O,): how many hard RoIs belonged to the object.
    region_box (I, 16, 4): of the RoI that was hardest; region_mined (I, 16): in how many passes, 0 for none;
    region_loss, region_last_loss, region_hardest (I, 16); region_prob (I, 16, C): sums, the last and the largest
    of the losses, the sum of the class probabilities.
    """

    def __init__(self, paths, objects, num_classes):
        """paths: of the images; objects: for each image the boxes (G, 4) and the classes (G,) of its objects."""
        self.paths, shape = list(paths), (len(paths), CLUSTERS)
        counts = [len(classes) for _, classes in objects]
        self._ends = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        self.object_image = np.repeat(np.arange(len(paths)), counts)
        self.object_box = np.concatenate([np.zeros((0, 4)), *(boxes for boxes, _ in objects)]).astype(np.float32)
        self.object_class = np.concatenate([np.zeros(0), *(classes for _, classes in objects)]).astype(np.int32)
        for name in ("seen", "mined"):
            setattr(self, "object_" + name, np.zeros(self._ends[-1], np.int32))
        for name in ("loss", "last_loss"):
            setattr(self, "object_" + name, np.zeros(self._ends[-1], np.float32))
        self.object_prob = np.zeros((self._ends[-1], num_classes), np.float32)
        self.images_seen, self.region_mined = np.zeros(len(paths), np.int32), np.zeros(shape, np.int32)
        self.region_box = np.zeros((*shape, 4), np.float32)
        self.region_prob = np.zeros((*shape, num_classes), np.float32)
        for name in ("loss", "last_loss", "hardest"):
            setattr(self, "region_" + name, np.zeros(shape, np.float32))

    def add(self, image, boxes, labels, losses, probs, hard):
        """Add a pass: of image number `image` the RoIs' boxes (R, 4), labels, losses (R,), probabilities (R, C), and
        hard (R,) bool, which of them were mined."""
        self.images_seen[image] += 1
        rows = slice(self._ends[image], self._ends[image + 1])
        near = np.zeros(len(boxes))
        if rows.start < rows.stop and len(boxes):
            overlaps = bbox_overlaps(boxes.astype(np.float64), self.object_box[rows].astype(np.float64))
            self._add_objects(rows, overlaps, labels, losses, probs, hard)
            near = overlaps.max(axis=1)
        far = np.flatnonzero(hard & (labels == 0) & (near < NEAR_OBJECT))
        self._add_regions(image, boxes[far], losses[far], probs[far])

    def _add_objects(self, rows, overlaps, labels, losses, probs, hard):
        """overlaps (R, G) of the RoIs with the objects `rows`."""
        best = overlaps.argmax(axis=0)
        found = np.flatnonzero(overlaps.max(axis=0) >= SAME_BOX)
        at, rois = rows.start + found, best[found]
        self.object_seen[at] += 1
        self.object_loss[at] += losses[rois]
        self.object_last_loss[at] = losses[rois]
        self.object_prob[at] += probs[rois]
        of_object = overlaps[hard & (labels > 0)].argmax(axis=1)
        self.object_mined[rows] += np.bincount(of_object, minlength=overlaps.shape[1])

    def _add_regions(self, image, boxes, losses, probs):
        """Add hard background RoIs; a region counts once a pass, with its hardest RoI."""
        mined, counted = self.region_mined[image], np.zeros(CLUSTERS, bool)
        for k in np.argsort(-losses, kind="stable"):
            region = self._region_of(image, boxes[k])
            if region is None:
                region = self._place_for(image, losses[k], counted)
                if region is None:
                    continue
                self._clear(image, region)
            if not counted[region]:
                counted[region] = True
                mined[region] += 1
                self.region_loss[image, region] += losses[k]
                self.region_last_loss[image, region] = losses[k]
                self.region_prob[image, region] += probs[k]
                if losses[k] >= self.region_hardest[image, region]:
                    self.region_hardest[image, region], self.region_box[image, region] = losses[k], boxes[k]

    def _region_of(self, image, box):
        """Number of the region that a box (4,) belongs to, or None."""
        used = np.flatnonzero(self.region_mined[image])
        if not len(used):
            return None
        overlaps = bbox_overlaps(box[np.newaxis].astype(np.float64), self.region_box[image, used].astype(np.float64))[0]
        return used[overlaps.argmax()] if overlaps.max() >= SAME_REGION else None

    def _place_for(self, image, loss, counted):
        """Number of a free place, or of the region with the least sum of losses if that is below `loss`, or None."""
        sums = np.where(counted, np.inf, self.region_loss[image])
        place = sums.argmin()
        return place if not counted[place] and sums[place] < loss else None

    def _clear(self, image, region):
        for name in ("mined", "loss", "last_loss", "hardest", "prob", "box"):
            getattr(self, "region_" + name)[image, region] = 0

    def clear(self):
        """Forget what was seen; the objects stay."""
        for array in self._seen().values():
            array[...] = 0

    def arrays(self):
        """{name: array} to be saved; of the regions only those in use, with region_place (K, 2) [image, number]."""
        used = np.argwhere(self.region_mined)
        regions = {name: array[tuple(used.T)] for name, array in self._seen().items() if name.startswith("region_")}
        objects = {name: array for name, array in self._seen().items() if not name.startswith("region_")}
        fixed = {name: getattr(self, name) for name in ("object_image", "object_class", "object_box")}
        return {"paths": np.array(self.paths, dtype=str), **fixed, **objects, **regions, "region_place": used}

    def restore(self, arrays):
        """Continue from arrays() of the same images and objects."""
        if (len(arrays["images_seen"]), arrays["object_prob"].shape) != (len(self.paths), self.object_prob.shape):
            raise UserError("the loss ledger of the resume state is of %d images with %d objects, this training set "
                            "has %d with %d; resume with the same --imdb, or with --set TRAIN.LOSS_LEDGER False" % (
                                len(arrays["images_seen"]), len(arrays["object_prob"]), len(self.paths),
                                len(self.object_prob)))
        self.clear()
        places = tuple(arrays["region_place"].T)
        for name, array in self._seen().items():
            array[places if name.startswith("region_") else ...] = arrays[name]

    def merge(self, arrays):
        """Add arrays() of another process, which saw other passes over the same images."""
        last = arrays["object_seen"] > 0
        self.object_last_loss[last] = arrays["object_last_loss"][last]
        self.images_seen += arrays["images_seen"]
        for name in SUMS:
            getattr(self, name)[...] += arrays[name]
        for k, (image, _) in enumerate(arrays["region_place"]):
            self._merge_region(image, {name: arrays[name][k] for name in self._seen() if name.startswith("region_")})

    def _merge_region(self, image, other):
        region = self._region_of(image, other["region_box"])
        if region is None:
            region = self._place_for(image, other["region_loss"], np.zeros(CLUSTERS, bool))
            if region is None:
                return
            self._clear(image, region)
        if other["region_hardest"] >= self.region_hardest[image, region]:
            for name in ("region_hardest", "region_box"):
                getattr(self, name)[image, region] = other[name]
        self.region_last_loss[image, region] = other["region_last_loss"]
        for name in ("region_mined", "region_loss", "region_prob"):
            getattr(self, name)[image, region] += other[name]

    def _seen(self):
        """{name: array} of what passes change."""
        return {name: array for name, array in vars(self).items()
                if isinstance(array, np.ndarray) and name.startswith(("object_", "region_", "images_"))
                and name not in ("object_image", "object_class", "object_box")}
