"""Small pictures of one digit each, to train a net's first weights by classification.

They play the part that ImageNet has for the big nets: only the training split's scans and photographs, no look-alikes,
no background class.
"""
import cv2
import numpy as np

from digits.glyphs import glyph
from digits.scenes import CONTRAST, paint

SIDE = 48  # pixels
HEIGHTS = (20, 42)  # of the digit


def make_patches(n, cells, photographs, rng):
    """-> (images (n, SIDE, SIDE, 3) uint8 BGR, boxes (n, 4) float32 [x1 y1 x2 y2] of the digits, labels (n,) 0..9)."""
    images, boxes = np.empty((n, SIDE, SIDE, 3), np.uint8), np.empty((n, 4), np.float32)
    labels = rng.integers(10, size=n)
    for i, digit in enumerate(labels):
        image = _ground(photographs, rng)
        mask = _fitting_glyph(cells[digit], rng)
        x1, y1 = int(rng.integers(SIDE - mask.shape[1])), int(rng.integers(SIDE - mask.shape[0]))
        boxes[i] = x1, y1, x1 + mask.shape[1] - 1, y1 + mask.shape[0] - 1
        paint(image, mask, boxes[i].astype(int), CONTRAST, rng)
        images[i] = np.clip(image, 0, 255)
    return images, boxes, labels


def augment(images, boxes, rng):
    """Colours exchanged, inverted and scaled, boxes shifted at random -> (float32 BGR images, float32 boxes)."""
    n = len(images)
    images = images[..., rng.permutation(3)].astype(np.float32)
    inverted = rng.random(n) < 0.5
    images[inverted] = 255 - images[inverted]
    images *= rng.uniform(0.7, 1.2, (n, 1, 1, 1)).astype(np.float32)
    sides = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)  # w h w h
    shifted = boxes + rng.normal(0, 0.08, boxes.shape) * sides  # as off as a proposal of IoU 0.7
    return images, np.clip(shifted, 0, SIDE - 1).astype(np.float32)


def _ground(photographs, rng):
    photo = photographs[rng.integers(len(photographs))]
    side = int(SIDE * rng.uniform(0.7, 1.4))
    y, x = int(rng.integers(photo.shape[0] - side)), int(rng.integers(photo.shape[1] - side))
    crop = cv2.resize(photo[y:y + side, x:x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return crop.astype(np.float32)


def _fitting_glyph(cells, rng):
    """A glyph smaller than the patch."""
    while True:
        cell = cells[rng.integers(len(cells))]
        mask = glyph(cell, rng.uniform(*HEIGHTS), rng.uniform(0.42, 0.62), rng.uniform(-8, 8))
        if max(mask.shape) < SIDE:
            return mask
