"""Average precision by the rules of the PASCAL VOC challenge.

1. Detections of a class, over all images, are taken by falling score; of equal scores the earlier line comes first.
2. Each belongs to the object of its class and image that it overlaps most; the IoU must exceed ovthresh.
3. The first one of an object is right, every other and those without an object are wrong; a difficult object counts
   neither way.
4. AP is the area under precision (made to fall with recall), or its mean at 11 recalls, as in 2007.
"""
import os
import re
from itertools import zip_longest

import numpy as np
from utils.errors import UserError

from datasets.cache import cached_arrays, content_key
from datasets.content_hash import existing_hashes
from datasets.drawn_boxes import UNMOVED, placement_settings
from datasets.image_files import image_geometry
from datasets.voc_xml import placement_of, read_annotation

PLACE = re.compile(r"\{0?(?::s)?\}")      # of a name in a path template


def fill(template, name):
    """A path template with `name` in place of its last {:s} or {}; other braces stay as they are."""
    places = list(PLACE.finditer(template))
    if not places:
        raise ValueError(f"path template {template!r} has no {{:s}}")
    return template[:places[-1].start()] + name + template[places[-1].end():]


def score_class(images, scores, boxes, gt, ovthresh, use_07_metric):
    """rec (D,), prec (D,) by falling score, and ap, of detections of one class: images (D,), scores (D,), boxes (D, 4)
    1-based.

    gt: of select_class.  No detections: ap 0; no objects, difficult ones aside: rec and ap nan.
    """
    order = np.argsort(-scores, kind="stable")
    matched = _match(images, boxes, gt, ovthresh)[order]              # (D,) index of a gt box or -1
    tp, fp = _count(matched, gt["difficult"])
    npos = int((~gt["difficult"]).sum())
    rec = tp / npos if npos else np.full(len(tp), np.nan)
    prec = tp / np.maximum(tp + fp, np.finfo(np.float64).eps)
    return rec, prec, voc_ap(rec, prec, use_07_metric) if npos else float("nan")


def voc_ap(rec, prec, use_07_metric=False):
    """AP of recalls rec (D,), rising, and precisions prec (D,): area under the curve, or the mean at 11 recalls."""
    if use_07_metric:
        return sum(np.max(prec[rec >= t], initial=0.0) for t in np.arange(0.0, 1.1, 0.1)) / 11.0
    rec = np.concatenate(([0.0], rec, [1.0]))
    prec = np.concatenate(([0.0], prec, [0.0]))
    falling = np.maximum.accumulate(prec[::-1])[::-1]           # the best precision at this recall or a higher one
    return float(np.sum(np.diff(rec) * falling[1:]))


def load_annotations(annopath, names, cachedir, image_files=()):
    """All objects: dict of name (N,), image (N,) index into names, boxes (N, 4) 1-based, difficult (N,).

    image_files: one a name; with them boxes that were drawn on another form of a picture (drawn_boxes) are placed
    on the picture as it is read.
    """
    files = [fill(annopath, name) for name in names]
    os.makedirs(cachedir, exist_ok=True)
    hashes = existing_hashes([*files, *image_files], "hashes of annotations")
    path = os.path.join(cachedir, "annotations_%s.npz" % content_key("annotations", hashes, placement_settings()))
    return cached_arrays(path, lambda: _parse_annotations(files, image_files))


def _parse_annotations(files, image_files):
    objects = [(i, obj) for i, (file, image) in enumerate(zip_longest(files, image_files))
               for obj in _placed_objects(file, image)]
    boxes = np.array([obj["bbox"] for _, obj in objects], dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        raise UserError("annotation %s: a box has a missing or unreadable number; correct it"
                        % files[objects[np.where(~np.isfinite(boxes).all(axis=1))[0][0]][0]])
    return {"name": np.array([obj["name"] for _, obj in objects], dtype=np.str_),
            "image": np.array([i for i, _ in objects], dtype=np.int64),
            "boxes": boxes,
            "difficult": np.array([obj["difficult"] for _, obj in objects], dtype=bool)}


def _placed_objects(file, image):
    annotation = read_annotation(file)
    for problem in annotation.flag_problems:
        raise UserError(problem)
    objects = annotation.objects
    placement = placement_of(annotation, image_geometry(image)) if image and objects else UNMOVED
    if placement.problem:
        raise UserError(f"annotation {file}: {placement.problem}")
    if not placement.moves:
        return objects
    boxes = placement.place(np.array([obj["bbox"] for obj in objects]) - 1) + 1
    return [dict(obj, bbox=bbox) for obj, bbox in zip(objects, boxes.tolist())]


def select_class(annotations, classname):
    """The objects of one class."""
    wanted = annotations["name"] == classname.lower().strip()
    return {key: annotations[key][wanted] for key in ("image", "boxes", "difficult")}


def read_detections(path, names):
    """images (D,) index into names, scores (D,), boxes (D, 4) of a result file, in its order."""
    if not os.path.exists(path):
        raise UserError("result file %s does not exist; write the detections first" % path)
    position = {name: i for i, name in enumerate(names)}
    images, numbers = [], []
    with open(path, encoding="utf-8") as f:
        for line_number, line in enumerate(f, start=1):
            if not line.strip():
                continue
            name, row = _read_line(line)
            if name not in position or row is None:
                raise UserError("result file %s, line %d: expected 'image score xmin ymin xmax ymax' with an image of "
                                "the image set and finite numbers, got '%s'" % (path, line_number, line.strip()))
            images.append(position[name])
            numbers.append(row)
    numbers = np.array(numbers, dtype=np.float64).reshape(-1, 5)
    return np.array(images, dtype=np.int64), numbers[:, 0], numbers[:, 1:]


def _read_line(line):
    """(image, five numbers) of a line of a result file; None for numbers that are none."""
    name, *rest = line.rsplit(None, 5)
    try:
        row = [float(word) for word in rest]
    except ValueError:
        return name.lstrip(), None
    return name.lstrip(), row if len(row) == 5 and np.isfinite(row).all() else None


def _match(images, boxes, gt, ovthresh):
    """(D,) index of the gt box each detection overlaps most, where by more than ovthresh, otherwise -1."""
    dets, gts = _pairs(images, gt["image"])
    overlaps = _overlaps_of_pairs(boxes[dets], gt["boxes"][gts])
    enough = overlaps > ovthresh
    dets, gts, overlaps = dets[enough], gts[enough], overlaps[enough]
    order = np.lexsort((gts, -overlaps, dets))                        # of equal overlaps the first gt box
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(dets[order]) != 0
    matched = np.full(len(images), -1)
    matched[dets[order[first]]] = gts[order[first]]
    return matched


def _pairs(images, gt_images):
    """dets (P,), gts (P,): all pairs of a detection and a gt box of the same image."""
    by_image = np.argsort(images, kind="stable")
    starts, ends = (np.searchsorted(images, gt_images, side, by_image) for side in ("left", "right"))
    counts = ends - starts                                            # of detections, for each gt box
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_image[within + np.repeat(starts, counts)], np.repeat(np.arange(len(gt_images)), counts)


def _overlaps_of_pairs(a, b):
    """(P,) IoU of a[p] with b[p], both (P, 4), as utils.cython_bbox computes it."""
    w, h = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + 1).T
    inter = np.where((w > 0) & (h > 0), w * h, 0)
    return np.divide(inter, _area(a) + _area(b) - inter, out=np.zeros(len(a)), where=inter > 0)


def _area(boxes):
    return (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)


def _count(matched, difficult):
    """Running counts of right and wrong detections; matched (D,) by falling score: index of a gt box or -1."""
    first = np.zeros(len(matched), dtype=bool)
    first[np.unique(matched, return_index=True)[1]] = True            # the first detection of each object
    has_object = matched >= 0
    ignored = has_object & np.append(difficult, False)[matched]       # index -1 meets the appended False
    right = has_object & first & ~ignored
    return np.cumsum(right), np.cumsum(~right & ~ignored)
