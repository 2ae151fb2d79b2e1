"""The ends of a training run on a data set in VOC's layout: JOB FOLDER, JOB roidb or scores.

roidb: from files to a roidb ready for minibatches.  scores: VOC's average precision of DETECTIONS boxes for each class
and image.  Prints {"seconds": s, "gb": peak resident memory}.
"""
import contextlib
import json
import sys
import time

import _paths  # noqa: F401
import numpy as np
from _worker import peak_gb
from datasets.factory import get_imdb
from fast_rcnn.config import cfg
from fast_rcnn.train import get_training_roidb
from roi_data_layer.roidb import add_bbox_regression_targets

DETECTIONS = 100


def roidb(imdb, folder):
    cfg.TRAIN.USE_FLIPPED = False
    return lambda: add_bbox_regression_targets(get_training_roidb(imdb))


def scores(imdb, folder):
    rng = np.random.default_rng(3)
    dets = detections(rng, imdb.num_images)
    order = [rng.permutation(imdb.num_images) for _ in imdb.classes]
    all_boxes = [[dets[i] for i in images] for images in order]
    return lambda: imdb.evaluate_detections(all_boxes, folder + "/scores")


def detections(rng, images):
    """(images, DETECTIONS, 5) float32 [x1 y1 x2 y2 score] in images of 500 x 375."""
    corners = rng.uniform(0, [400, 300], (images, DETECTIONS, 2))
    extent = rng.uniform(16, [100, 75], corners.shape)
    score = rng.uniform(0, 1, (images, DETECTIONS, 1))
    return np.concatenate((corners, corners + extent, score), axis=2).astype(np.float32)


def main():
    job, name, folder = sys.argv[1:]
    cfg.ROOT_DIR = folder       # for its caches
    with contextlib.redirect_stdout(sys.stderr):
        imdb = get_imdb(name)
        run = {"roidb": roidb, "scores": scores}[job](imdb, folder)
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "gb": peak_gb()}))


if __name__ == "__main__":
    main()
