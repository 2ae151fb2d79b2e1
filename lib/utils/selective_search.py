"""Selective search (Uijlings et al., IJCV 2013) by OpenCV contrib: class-agnostic object proposals.

Modes:
    quick    HSV + Lab, k 150, merged by size + fill and by colour + size + fill; for the small images of digits
    compact  HSV + Lab, k 50 150, merged by colour + size + fill, by size, and by fill; for images 250 pixels wide
    fast     OpenCV's fast: HSV + Lab, k 150 300, all four cues
    quality  OpenCV's quality: five colour spaces, 64 groupings
`tools/propose.py --mode original` is fast.  On 300 photographs of VOC 2007 (short side 300, 894 objects), seconds of
one core and boxes an image, recall at IoU 0.5 and 0.7:
    compact  0.28 s   2511   0.969  0.758       scaled down to a width of 250
    fast     1.19 s   1119   0.942  0.699
"""
import cv2
import numpy as np

from utils.errors import UserError

MODES = ("quick", "compact", "fast", "quality")
SIGMA = 0.8                         # of the smoothing before the start segmentations, as OpenCV's
QUICK_K, QUICK_MIN_SIZE = (150,), 40            # the smallest start segment, in pixels, lets small digits live
COMPACT_K, COMPACT_MIN_SIZE = (50, 150), 30


def boxes(image, mode="fast"):
    """Proposals of an image (H, W, 3) uint8 BGR -> (N, 4) float32 [x1 y1 x2 y2], 0-based, inclusive.

    Rows are distinct and sorted: OpenCV ranks them with C's rand(), so only the set is the same from run to run.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError("selective search: expected an image (H, W, 3) uint8, got %s %s" % (image.shape, image.dtype))
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(image)
    if mode == "quick":
        _choose(search, image, QUICK_K, QUICK_MIN_SIZE, ("Size Fill", "Color Size Fill"))
    elif mode == "compact":
        _choose(search, image, COMPACT_K, COMPACT_MIN_SIZE, ("Color Size Fill", "Size", "Fill"))
    elif mode == "fast":
        search.switchToSelectiveSearchFast()
    elif mode == "quality":
        search.switchToSelectiveSearchQuality()
    else:
        raise UserError("selective search: unknown mode %r; one of %s" % (mode, ", ".join(MODES)))
    rects = np.unique(np.asarray(search.process()).reshape(-1, 4), axis=0).astype(np.float32)
    return np.hstack((rects[:, :2], rects[:, :2] + rects[:, 2:] - 1))  # x y w h -> x1 y1 x2 y2


def _choose(search, image, k_values, min_size, strategies):
    """HSV and Lab, a start segmentation for each k, and strategies of merging, cues with blanks between them."""
    ss = cv2.ximgproc.segmentation
    for space in (cv2.COLOR_BGR2HSV, cv2.COLOR_BGR2Lab):
        search.addImage(cv2.cvtColor(image, space))
    for k in k_values:
        search.addGraphSegmentation(ss.createGraphSegmentation(SIGMA, k, min_size))
    for cues in strategies:
        parts = [getattr(ss, f"createSelectiveSearchSegmentationStrategy{cue}")() for cue in cues.split()]
        search.addStrategy(ss.createSelectiveSearchSegmentationStrategyMultiple(*parts))
