"""Groups of images that show the same thing, so that they are not divided between training and test.

Two images are in one group if their difference hashes (8 x 8 signs of horizontal differences of a 9 x 8 grey copy;
Krawetz, 2013) differ in at most MOST_BITS bits, or if Roboflow made them from one image (name.rf.<hash>.jpg).
"""
import os

import cv2
import numpy as np
from utils.progress import progress

MOST_BITS = 3
BLOCK = 1024        # rows of the table of distances at a time


def group_near_duplicates(paths: list[str]) -> np.ndarray:
    """(N,) int: the number of the group of each image; the first image of a group gives its number."""
    hashes = np.array([_difference_hash(path) for path in progress(paths, "near-duplicates", len(paths), "images")],
                      dtype=np.uint64)
    groups = np.arange(len(paths))
    for first, second in _pairs(hashes):
        _join(groups, first, second)
    by_origin: dict[str, int] = {}
    for i, path in enumerate(paths):
        name, augmented, _ = os.path.basename(path).partition(".rf.")
        if augmented:
            _join(groups, by_origin.setdefault(name, i), i)
    return np.array([_root(groups, i) for i in range(len(paths))])


def _difference_hash(path):
    is_large = os.path.getsize(path) > 100_000
    image = cv2.imread(path, cv2.IMREAD_REDUCED_GRAYSCALE_8 if is_large else cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _pairs(hashes):
    """(i, j), i < j, of hashes that differ in at most MOST_BITS bits.

    A hash of all zeros is of an image without differences, such as a blank one, and fits none.
    """
    for start in range(0, len(hashes), BLOCK):
        differ = np.bitwise_count(hashes[start:start + BLOCK, None] ^ hashes[None, :])
        near = (differ <= MOST_BITS) & (hashes != 0)[None, :] & (hashes[start:start + BLOCK] != 0)[:, None]
        for i, j in zip(*np.nonzero(near)):
            if start + i < j:
                yield start + i, j


def _root(groups, i):
    while groups[i] != i:
        i = groups[i]
    return i


def _join(groups, i, j):
    low, high = sorted((_root(groups, i), _root(groups, j)))
    groups[high] = low
