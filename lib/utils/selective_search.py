"""Selective search (Uijlings et al., IJCV 2013) by OpenCV contrib: class-agnostic object proposals.

Modes, in falling speed (seconds on one core and boxes for a 250x200 image, 2026):
    quick    HSV + Lab, k 150, colour/size/fill merging           0.08 s   300
    fast     OpenCV's fast: HSV + Lab, k 150 300, all four cues   0.36 s   320
    quality  OpenCV's quality: five colour spaces, 64 groupings   1.4 s+   more
"""
import cv2
import numpy as np

from utils.errors import UserError

MODES = ("quick", "fast", "quality")
QUICK_SIGMA, QUICK_K, QUICK_MIN_SIZE = 0.8, 150, 40  # the smallest start segment, in pixels, lets small digits live


def boxes(image, mode="fast"):
    """Proposals of an image (H, W, 3) uint8 BGR -> (N, 4) float32 [x1 y1 x2 y2], 0-based, inclusive.

    Rows are distinct and sorted: OpenCV ranks them with C's rand(), so only the set is the same from run to run.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError("selective search: expected an image (H, W, 3) uint8, got %s %s" % (image.shape, image.dtype))
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(image)
    if mode == "quick":
        _quick(search, image)
    elif mode == "fast":
        search.switchToSelectiveSearchFast()
    elif mode == "quality":
        search.switchToSelectiveSearchQuality()
    else:
        raise UserError("selective search: unknown mode %r; one of %s" % (mode, ", ".join(MODES)))
    rects = np.unique(np.asarray(search.process()).reshape(-1, 4), axis=0).astype(np.float32)
    return np.hstack((rects[:, :2], rects[:, :2] + rects[:, 2:] - 1))  # x y w h -> x1 y1 x2 y2


def _quick(search, image):
    """Two colour spaces, one start segmentation each, merged by fill+size and by colour+size+fill."""
    ss = cv2.ximgproc.segmentation
    for space in (cv2.COLOR_BGR2HSV, cv2.COLOR_BGR2Lab):
        search.addImage(cv2.cvtColor(image, space))
    search.addGraphSegmentation(ss.createGraphSegmentation(QUICK_SIGMA, QUICK_K, QUICK_MIN_SIZE))
    size, fill = ss.createSelectiveSearchSegmentationStrategySize, ss.createSelectiveSearchSegmentationStrategyFill
    colour = ss.createSelectiveSearchSegmentationStrategyColor
    search.addStrategy(ss.createSelectiveSearchSegmentationStrategyMultiple(size(), fill()))
    search.addStrategy(ss.createSelectiveSearchSegmentationStrategyMultiple(colour(), size(), fill()))
