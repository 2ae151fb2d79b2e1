"""Labels that are probably wrong, from a training's loss ledger and its net's detections on the training images.

Four kinds:
  missing    an object that nobody labelled: a detection far from every object, or background mined again and again
  class      an object whose other class was more probable during training
  box        an object that is detected, but elsewhere
  duplicate  two objects of a class at one place
Boxes are [x1 y1 x2 y2] in 0-based pixels of the image.
"""
from dataclasses import dataclass

import numpy as np
from training.loss_ledger import NEAR_OBJECT, SAME_REGION
from utils.cython_bbox import bbox_overlaps

KINDS = ("missing", "class", "box", "duplicate")
LEAST_SCORE = {"missing": 0.1, "class": 0.4, "box": 0.25, "duplicate": 0.0}
BOX_IOU = (0.3, 0.6)    # of an object with its detection from which its box is far off
DUPLICATE_IOU = 0.8


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong.

    image: its number.  label: class of the label, 0 where there is none; suggested: the class it should be, 0 for none.
    score: from 0 to 1.  detected: score of the detection; seen, mined: passes over the object or region, and hard RoIs
    there; mean_loss, last_loss: there.  nan and 0 for what is not known.
    """

    kind: str
    score: float
    image: int
    box: tuple
    label: int
    suggested: int
    detected: float = float("nan")
    seen: int = 0
    mined: int = 0
    mean_loss: float = float("nan")
    last_loss: float = float("nan")


def find_suspects(objects, detections, ledger, least=LEAST_SCORE, ignored=None):
    """Suspects of all images by falling score, of each kind those with least[kind] or more.

    objects: for each image (boxes (G, 4), classes (G,)).  detections: for each image (n, 6) [x1 y1 x2 y2 score class].
    ledger: of ledger_of.  ignored: for each image boxes (K, 4) of difficult objects and crowds, which are labelled,
    though they neither train nor count.
    """
    found = []
    for image, ((boxes, classes), dets) in enumerate(zip(objects, detections)):
        seen = ledger[image]
        labelled = boxes if ignored is None else np.concatenate([boxes, np.reshape(ignored[image], (-1, 4))])
        found += missing_objects(image, labelled, dets, seen.regions)
        found += wrong_classes(image, boxes, classes, dets, seen.objects)
        found += wrong_boxes(image, boxes, classes, dets, seen.objects)
        found += duplicates(image, boxes, classes)
    found = [suspect for suspect in found if suspect.score >= least[suspect.kind]]
    return sorted(found, key=lambda suspect: (-suspect.score, suspect.image, suspect.box))


@dataclass(frozen=True)
class Seen:
    """What the ledger knows of an image: {name: array} of its objects (G,) and of its regions (K,), and its passes.

    prob (n, C), mean_loss, last_loss, seen, mined (n,); of regions box (K, 4) too.
    """

    objects: dict
    regions: dict


def ledger_of(arrays, num_images, number_of):
    """[Seen] of each image, from the arrays of a LossLedger.

    number_of: {path in the ledger: number of the image}; images the ledger has not get a Seen without numbers.
    """
    seen = [Seen({}, {}) for _ in range(num_images)]
    place = arrays["region_place"]
    for k, path in enumerate(arrays["paths"].tolist()):
        if path not in number_of:
            continue
        rows, regions = arrays["object_image"] == k, place[:, 0] == k
        passes = max(int(arrays["images_seen"][k]), 1)
        times, mined = np.maximum(arrays["object_seen"][rows], 1), np.maximum(arrays["region_mined"][regions], 1)
        seen[number_of[path]] = Seen(
            {"prob": arrays["object_prob"][rows] / times[:, np.newaxis],
             "mean_loss": arrays["object_loss"][rows] / times, "last_loss": arrays["object_last_loss"][rows],
             "seen": arrays["object_seen"][rows], "mined": arrays["object_mined"][rows]},
            {"prob": arrays["region_prob"][regions] / mined[:, np.newaxis], "box": arrays["region_box"][regions],
             "mean_loss": arrays["region_loss"][regions] / mined, "last_loss": arrays["region_last_loss"][regions],
             "mined": arrays["region_mined"][regions], "seen": np.full(regions.sum(), passes)})
    return seen


def missing_objects(image, boxes, dets, regions):
    """Detections and mined regions far from all objects; one suspect a place."""
    places = [(box, score, int(cls)) for box, score, cls in zip(dets[:, :4], dets[:, 4], dets[:, 5])]
    places += [(box, 0.0, 1 + int(prob[1:].argmax()))
               for box, prob in zip(regions.get("box", ()), regions.get("prob", ()))]
    suspects, taken = [], list(boxes)
    for box, detected, cls in sorted(places, key=lambda place: -place[1]):
        if len(taken) and _overlaps(box, taken).max() >= NEAR_OBJECT:
            continue
        score, known = _missing_score(box, detected, cls, regions)
        suspects.append(Suspect("missing", float(score), image, _tuple(box), 0, cls, float(detected), **known))
        taken.append(box)
    return suspects


def _missing_score(box, detected, cls, regions):
    """Mean of the detection's score and of the part of the passes in which the region there was mined as this class."""
    if not len(regions.get("box", ())):
        return detected / 2, {}
    overlaps = _overlaps(box, regions["box"])
    k = int(overlaps.argmax())
    if overlaps[k] < SAME_REGION:
        return detected / 2, {}
    part = min(regions["mined"][k] / regions["seen"][k], 1)
    return (detected + part * regions["prob"][k, cls]) / 2, _known(regions, k)


def wrong_classes(image, boxes, classes, dets, objects):
    """Objects to which the net gives another class more than their own.

    The score is (1 + margin - detected) / 2.  margin: probability of the other class less that of the own class, on
    the mean over the training; detected: score of the own class's detection there.  What the last net detects of the
    other class does not count: by then it has learned the label.
    """
    suspects = []
    for k in range(len(boxes) if objects else 0):
        others = objects["prob"][k].copy()
        others[[0, classes[k]]] = 0
        other = int(others.argmax())
        margin = others[other] - objects["prob"][k, classes[k]]
        detected = _best(boxes[k], dets, other, SAME_REGION)
        score = float(1 + margin - _best(boxes[k], dets, classes[k], SAME_REGION)) / 2
        if objects["seen"][k]:
            suspects.append(Suspect("class", score, image, _tuple(boxes[k]), int(classes[k]), other, detected,
                                    **_known(objects, k)))
    return suspects


def wrong_boxes(image, boxes, classes, dets, objects):
    """Objects whose only detection of their class is some way off."""
    suspects = []
    for k, box in enumerate(boxes):
        near = dets[dets[:, 5] == classes[k]]
        if not len(near):
            continue
        overlaps = _overlaps(box, near[:, :4])
        best = int(overlaps.argmax())
        if not BOX_IOU[0] <= overlaps[best] < BOX_IOU[1] or _overlaps(near[best, :4], boxes).argmax() != k:
            continue
        score = float(near[best, 4] * (1 - overlaps[best]))
        known = _known(objects, k) if objects else {}
        suspects.append(Suspect("box", score, image, _tuple(box), int(classes[k]), int(classes[k]),
                                float(near[best, 4]), **known))
    return suspects


def duplicates(image, boxes, classes):
    """Objects of one class on (nearly) the same box; the later one of each pair."""
    suspects = []
    for k in range(1, len(boxes)):
        overlaps = _overlaps(boxes[k], boxes[:k]) * (np.asarray(classes[:k]) == classes[k])
        if overlaps.max() >= DUPLICATE_IOU:
            suspects.append(Suspect("duplicate", float(overlaps.max()), image, _tuple(boxes[k]), int(classes[k]), 0))
    return suspects


def _known(arrays, k):
    return {"seen": int(arrays["seen"][k]), "mined": int(arrays["mined"][k]),
            "mean_loss": float(arrays["mean_loss"][k]), "last_loss": float(arrays["last_loss"][k])}


def _best(box, dets, cls, thresh):
    """The best score of a detection of class `cls` with IoU >= thresh; 0 for none."""
    near = dets[dets[:, 5] == cls]
    if not len(near):
        return 0.0
    return float(np.where(_overlaps(box, near[:, :4]) >= thresh, near[:, 4], 0).max())


def _overlaps(box, boxes):
    """(N,) IoU of box (4,) with boxes (N, 4)."""
    return bbox_overlaps(np.asarray(box, np.float64).reshape(1, 4), np.asarray(boxes, np.float64).reshape(-1, 4))[0]


def _tuple(box):
    return tuple(round(float(value), 1) for value in box)
