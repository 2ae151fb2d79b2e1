"""Numbers about the objects of a data set: their sizes as a net sees them, duplicates, recall of the proposals."""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from datasets.ground_truth import AREA_RANGES, matched_overlaps
from importers.near_duplicates import group_near_duplicates
from utils.cython_bbox import bbox_overlaps

from run_report.data_sets import Picture

STRIDE = 16         # pixels of the scaled image in a cell of the feature map, in all nets of models/
# nets: TRAIN.SCALES and TRAIN.MAX_SIZE of their cfg (lib/fast_rcnn/config.py, experiments/cfgs/SqueezeNet.yml)
NETS = {"VGG16, VGG_CNN_M_1024, ZF and ResNet-50": (600, 1000), "SqueezeNet": (300, 500)}
LARGER_SCALES = range(400, 1201, 100)       # to train at; MAX_SIZE grows with them
FEW_SMALL = 0.05    # share of objects below a cell that is not worth a larger scale
SAME_BOX = 0.9      # IoU from which two boxes are taken for one
SIZES = ("small", "medium", "large")        # of AREA_RANGES, in pixels of the image file


def max_size_of(scale: int) -> int:
    """TRAIN.MAX_SIZE for a scale, in the ratio of the default's 600 and 1000."""
    return round(scale * 1000 / 600)


def scaled_sides(pictures: Sequence[Picture], scale: int, max_size: int) -> np.ndarray:
    """(N, 2) widths and heights of all objects, in pixels of the image that a net sees."""
    sides = [np.zeros((0, 2))]
    for picture in pictures:
        factor = min(scale / min(picture.size), max_size / max(picture.size))
        sides.append(factor * (picture.boxes[:, 2:] - picture.boxes[:, :2] + 1))
    return np.vstack(sides)


def share_below_a_cell(pictures: Sequence[Picture], scale: int, max_size: int) -> float:
    """The share of objects whose shorter side is less than STRIDE; nan where there are no objects."""
    sides = scaled_sides(pictures, scale, max_size)
    return float((sides.min(axis=1) < STRIDE).mean()) if len(sides) else float("nan")


def larger_scale(pictures: Sequence[Picture], scale: int) -> int | None:
    """The smallest of LARGER_SCALES above `scale` at which few objects are below a cell; None where there is none."""
    for larger in LARGER_SCALES:
        if larger > scale and share_below_a_cell(pictures, larger, max_size_of(larger)) <= FEW_SMALL:
            return larger
    return None


def aspect_ratios(pictures: Sequence[Picture]) -> np.ndarray:
    """(N,) width / height of all objects."""
    boxes = np.vstack([np.zeros((0, 4)), *(picture.boxes for picture in pictures)])
    return (boxes[:, 2] - boxes[:, 0] + 1) / (boxes[:, 3] - boxes[:, 1] + 1)


def count_classes(pictures: Sequence[Picture], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(images, objects) of each class, (num_classes,) each."""
    images = np.zeros(num_classes, int)
    objects = np.zeros(num_classes, int)
    for picture in pictures:
        objects += np.bincount(picture.classes, minlength=num_classes)
        images[np.unique(picture.classes)] += 1
    return images, objects


@dataclass(frozen=True)
class SameBox:
    """Two objects of a picture whose boxes overlap by SAME_BOX or more."""
    picture: Picture
    first: int
    second: int

    @property
    def is_one_class(self) -> bool:
        classes = self.picture.truth.classes
        return bool(classes[self.first] == classes[self.second])


def same_boxes(pictures: Sequence[Picture]) -> Iterator[SameBox]:
    for picture in pictures:
        boxes = picture.truth.boxes.astype(np.float64)
        if len(boxes) > 1:
            overlaps = np.triu(bbox_overlaps(boxes, boxes), 1)
            for first, second in zip(*np.nonzero(overlaps >= SAME_BOX)):
                yield SameBox(picture, int(first), int(second))


def look_alikes(pictures: Sequence[Picture]) -> list[list[int]]:
    """Groups of at least two images that look alike or are the same, as indices into `pictures`."""
    groups = group_near_duplicates([picture.path for picture in pictures])
    by_digest: dict[str, int] = {}
    members: dict[int, list[int]] = {}
    for i, picture in enumerate(pictures):
        same = by_digest.setdefault(picture.digest, i) if picture.digest else i
        members.setdefault(int(groups[same]), []).append(i)
    return [inds for inds in members.values() if len(inds) > 1]


@dataclass(frozen=True)
class Recall:
    """Of objects of one kind: how many there are, and the shares that proposals reach at an IoU of 0.5 and 0.7."""
    kind: str
    objects: int
    at_50: float
    at_70: float


def recalls(pictures: Sequence[Picture], classes: Sequence[str]) -> tuple[list[Recall], list[Recall]]:
    """The Recalls of all objects and of each class, and those of SIZES; ([], []) where there are no proposals."""
    with_proposals = [picture for picture in pictures if picture.proposals is not None]
    if not with_proposals:
        return [], []
    overlaps = np.hstack([matched_overlaps(picture.proposals, picture.boxes) for picture in with_proposals])
    labels = np.hstack([picture.classes for picture in with_proposals])
    areas = np.hstack([_areas(picture.boxes) for picture in with_proposals])
    of_classes = [_recall("all", overlaps)]
    of_classes += [_recall(name, overlaps[labels == c]) for c, name in enumerate(classes) if c > 0]
    ranges = [(size, *AREA_RANGES[size]) for size in SIZES]
    return of_classes, [_recall(size, overlaps[(areas >= low) & (areas <= high)]) for size, low, high in ranges]


def _areas(boxes):
    return (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)


def _recall(kind, overlaps):
    if not len(overlaps):
        return Recall(kind, 0, float("nan"), float("nan"))
    return Recall(kind, len(overlaps), float((overlaps >= 0.5).mean()), float((overlaps >= 0.7).mean()))
