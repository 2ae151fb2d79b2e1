"""What the benchmarks run on: a photograph of data/demo, and RoIs and targets drawn from a fixed seed."""
from dataclasses import dataclass

import cv2
import numpy as np
from _paths import ROOT

SEED = 3
NUM_CLASSES = 21
FOREGROUND = 0.1            # share of the RoIs with a class, as of selective search on VOC
PHOTOGRAPH = ROOT / "data" / "demo" / "cat.jpg"


@dataclass
class Sizes:
    """How large the problems are: as the issue of speed asks, or tiny to see that everything runs."""

    height: int = 600
    width: int = 800
    rois: int = 2000
    batch: int = 64
    images: int = 10000         # of the roidb
    test_images: int = 5000     # of the evaluation
    nets: tuple = ("VGG_CNN_M_1024", "VGG16")

    @classmethod
    def tiny(cls):
        return cls(96, 128, 40, 8, 20, 20, ("VGG_CNN_M_1024",))


def photograph(height, width):
    """(height, width, 3) uint8 BGR."""
    return cv2.resize(cv2.imread(str(PHOTOGRAPH)), (width, height))


def image_blob(height, width):
    """(1, 3, height, width) float32, centred and small, so that random weights neither overflow nor vanish."""
    image = photograph(height, width).astype(np.float32) - 110
    return np.ascontiguousarray(image.transpose(2, 0, 1)[np.newaxis] / 64)


def random_boxes(count, height, width, rng):
    """(count, 4) float32 [x1 y1 x2 y2] within the image, of all sizes from 16 pixels up."""
    size = np.array([width, height])
    extent = 16 + rng.uniform(0, 1, (count, 2)) ** 2 * (size - 17)
    start = rng.uniform(0, 1, (count, 2)) * (size - 1 - extent)
    return np.hstack((start, start + extent)).astype(np.float32)


def minibatch(sizes, rois, images=1):
    """The data layer's blobs of `images` images and `rois` RoIs in all, with random labels and targets.

    data (N, 3, H, W), rois (R, 5), labels (R,), bbox_targets and both weights (R, 4 * classes).
    """
    rng = np.random.default_rng(SEED)
    boxes = random_boxes(rois, sizes.height, sizes.width, rng)
    labels = np.where(rng.uniform(size=rois) < FOREGROUND, rng.integers(1, NUM_CLASSES, rois), 0)
    targets, inside = (np.zeros((rois, 4 * NUM_CLASSES), np.float32) for _ in range(2))
    for row in np.flatnonzero(labels):
        columns = slice(4 * labels[row], 4 * labels[row] + 4)
        targets[row, columns], inside[row, columns] = rng.normal(size=4), 1
    image_of = np.sort(np.arange(rois) % images)[:, np.newaxis]
    return {"data": np.repeat(image_blob(sizes.height, sizes.width), images, axis=0),
            "rois": np.hstack((image_of, boxes)).astype(np.float32), "labels": labels.astype(np.float32),
            "bbox_targets": targets, "bbox_inside_weights": inside, "bbox_outside_weights": inside.copy()}
