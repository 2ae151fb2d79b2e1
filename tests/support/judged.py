"""Boxes, detections and truths for the tests of the report."""
import numpy as np
from run_report import rankings
from run_report.verdicts import Truth

NONE = np.zeros((0, 5), np.float32)
BOX, NEAR, HALF, FAR = [10, 10, 29, 29], [12, 10, 31, 29], [20, 10, 39, 29], [60, 60, 79, 79]
NASTY = "a < b & \"c\" $x_1$ $\\foo$ 日本\n\x1b[1m\udcff"          # a name of a run


def dets(*rows):
    return np.array([(*box, score) for box, score in rows], np.float32).reshape(-1, 5)


def truth(*objects):
    """Truth of objects (box, class[, ignored])."""
    return Truth(np.array([o[0] for o in objects], np.float32).reshape(-1, 4), np.array([o[1] for o in objects], int),
                 np.array([len(o) > 2 for o in objects], bool))


def ranking(losses, labels, overlaps, hard):
    rois = np.array([[20 * k, 0, 20 * k + 9, 9] for k in range(len(labels))], np.float32)
    return rankings.ImageRanking(np.zeros((20, 200, 3), np.uint8), rois, np.array(labels), np.array(overlaps), tuple(map(np.array, losses)), hard)
