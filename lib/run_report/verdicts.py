"""Which detections are right, what is wrong with the others, and which objects were missed.

Right and wrong are as in datasets.voc_eval.  The kinds of mistakes are those of Hoiem, Chodpathumwan and Dai,
"Diagnosing Error in Object Detectors" (ECCV 2012), here without groups of similar classes.
"""
from collections import Counter
from dataclasses import dataclass

import numpy as np
from datasets.by_name import load_imdb
from datasets.crowds import crowd_rows
from utils.cython_bbox import bbox_overlaps

KINDS = ("right", "misplaced", "twice", "wrong class", "background", "ignored")
RIGHT, MISPLACED, TWICE, WRONG_CLASS, BACKGROUND, IGNORED = range(len(KINDS))
OVTHRESH = 0.5      # a detection is right when its IoU with an object exceeds this
TOUCHES = 0.1       # IoU from which a wrong detection has to do with an object


@dataclass
class Truth:
    """Objects of one image: boxes (G, 4), classes (G,), ignored (G,) bool: difficult ones and crowds."""
    boxes: np.ndarray
    classes: np.ndarray
    ignored: np.ndarray


@dataclass
class Verdicts:
    """rows (D, 7) [image class x1 y1 x2 y2 score], kinds (D,) into KINDS; found: for each image (G,) the score of the
    detection that is right about an object, 0 for none, nan for the ignored."""
    rows: np.ndarray
    kinds: np.ndarray
    found: list


def load_truth(name, inds=None):
    """The imdb called `name`, and its Truths; inds: of the images to take, which are known to be sound (all)."""
    imdb = _load_images(name, inds)
    counted = imdb.gt_roidb()
    everything = counted
    if "use_diff" in imdb.config:
        with_difficult = _load_images(name, inds)
        with_difficult.config["use_diff"] = True
        everything = with_difficult.gt_roidb()
    return imdb, [Truth(entry["boxes"], entry["gt_classes"], crowd_rows(entry["gt_overlaps"]) | _not_in(entry, known))
                  for entry, known in zip(everything, counted)]


def _load_images(name, inds):
    imdb = load_imdb(name)
    if inds is not None:
        imdb.keep_images(inds)
    return imdb


def judge(all_boxes, truths):
    """Verdicts on all_boxes[class][image] = (n, 5) [x1 y1 x2 y2 score]."""
    rows, kinds = [np.zeros((0, 7), np.float32)], [np.zeros(0, int)]
    found = [np.where(truth.ignored, np.nan, 0.0) for truth in truths]
    for cls, boxes_of_images in enumerate(all_boxes):
        for image, (dets, truth) in enumerate(zip(boxes_of_images, truths)):
            if len(dets):
                dets = dets[np.argsort(-dets[:, 4], kind="stable")]
                rows.append(np.column_stack([np.full(len(dets), image), np.full(len(dets), cls), dets]))
                kinds.append(_judge_image(dets, cls, truth, found[image]))
    return Verdicts(np.vstack(rows), np.concatenate(kinds), found)


def best_right(verdicts, count):
    """Indices of right detections by falling score, those of each class in turn."""
    inds = _by_score(verdicts, verdicts.kinds == RIGHT)
    seen, turn = Counter(), []
    for cls in verdicts.rows[inds, 1].tolist():
        turn.append(seen[cls])
        seen[cls] += 1
    return inds[np.lexsort((-verdicts.rows[inds, 6], turn))][:count]


def worst_wrong(verdicts, count):
    """Indices of wrong detections, by falling score."""
    return _by_score(verdicts, (verdicts.kinds != RIGHT) & (verdicts.kinds != IGNORED))[:count]


def most_missed(verdicts, count):
    """[(image, object, score)] of the objects whose right detection scores least, not found ones first."""
    return sorted(((score, image, k) for image, scores in enumerate(verdicts.found) for k, score in enumerate(scores)
                   if not np.isnan(score)))[:count]


def kinds_at_the_top(verdicts):
    """(kinds,) counts among the best-scored detections, as many as there are objects to find, and that number."""
    objects = sum(int((~np.isnan(scores)).sum()) for scores in verdicts.found)
    top = _by_score(verdicts, verdicts.kinds != IGNORED)[:objects]
    return np.bincount(verdicts.kinds[top], minlength=len(KINDS)), objects


def mistakes(verdicts, thresh):
    """(images,) number of mistakes: wrong detections that score `thresh` or more, and objects that none such finds."""
    wrong = (verdicts.rows[:, 6] >= thresh) & (verdicts.kinds != RIGHT) & (verdicts.kinds != IGNORED)
    missed = [int((scores < thresh).sum()) for scores in verdicts.found]
    return np.bincount(verdicts.rows[wrong, 0].astype(int), minlength=len(missed)) + missed


def image_marks(verdicts, truth, image, classes, thresh):
    """[(kind, box, text)] of one image and its Truth.

    First its detections that score `thresh` or more, "right" or "wrong", then the objects that none
    of them finds, "missed".
    """
    shown = (verdicts.rows[:, 0] == image) & (verdicts.rows[:, 6] >= thresh) & (verdicts.kinds != IGNORED)
    marks = [("right" if kind == RIGHT else "wrong", row[2:6], f"{classes[int(row[1])]} {row[6]:.2f}")
             for row, kind in zip(verdicts.rows[shown], verdicts.kinds[shown])]
    for k in np.flatnonzero(verdicts.found[image] < thresh):
        marks.append(("missed", truth.boxes[k], classes[truth.classes[k]]))
    return marks


def _by_score(verdicts, wanted):
    inds = np.flatnonzero(wanted)
    return inds[np.argsort(-verdicts.rows[inds, 6], kind="stable")]


def _judge_image(dets, cls, truth, found):
    """(D,) kinds of the detections of one class in one image, by falling score; enters scores into found (G,)."""
    kinds = np.full(len(dets), BACKGROUND)
    if len(truth.boxes) == 0:
        return kinds
    overlaps = bbox_overlaps(dets[:, :4].astype(np.float64), truth.boxes.astype(np.float64))      # (D, G)
    kinds[overlaps.max(axis=1) > TOUCHES] = WRONG_CLASS
    own = np.where(truth.classes == cls, overlaps, 0)
    kinds[own.max(axis=1) > TOUCHES] = MISPLACED
    taken = set()
    for k in np.flatnonzero(own.max(axis=1) > OVTHRESH):
        gt = own[k].argmax()
        kinds[k] = IGNORED if truth.ignored[gt] else TWICE if gt in taken else RIGHT
        if kinds[k] == RIGHT:
            taken.add(gt)
            found[gt] = dets[k, 4]
    return kinds


def _not_in(entry, known):
    """(G,) bool: objects of a roidb entry that `known`, an entry of some of them, lacks."""
    left, missing = Counter(map(_object, *_rows(known))), []
    for item in map(_object, *_rows(entry)):
        missing.append(left[item] == 0)
        left[item] -= not missing[-1]
    return np.array(missing, dtype=bool)


def _rows(entry):
    return entry["boxes"].tolist(), entry["gt_classes"].tolist()


def _object(box, cls):
    return (*box, cls)
