#!/usr/bin/env python
"""Seconds and memory of OHEM solver steps on one VOC image with a given number of RoIs.

    .venv/bin/python benchmarks/train_step.py --net VGG16 --weights data/imagenet_models/VGG16_conv.caffemodel

Takes an image and its objects from an imdb, proposes boxes by selective search, fills up with random ones to --rois,
trains --steps steps (iter_size 2: two passes each), snapshots, and loads the snapshot into the test net.
"""
import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "caffe-fast-rcnn" / "python"), str(ROOT / "lib")]

import caffe  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
from datasets.factory import get_imdb  # noqa: E402
from fast_rcnn.config import cfg_from_file, cfg_from_list  # noqa: E402
from fast_rcnn.train import SolverWrapper, get_training_roidb  # noqa: E402
from utils import selective_search  # noqa: E402


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="VGG16")
    parser.add_argument("--weights")
    parser.add_argument("--imdb", default="voc_2007_trainval")
    parser.add_argument("--image", help="name of an image of the imdb (default: its first)")
    parser.add_argument("--rois", type=int, default=2000)
    parser.add_argument("--scale", type=int, default=600)
    parser.add_argument("--steps", type=int, default=2)
    return parser.parse_args()


def proposals(image, gt_boxes, count):
    """(count, 4) boxes: selective search's, then random ones; with gt_boxes in front, count RoIs in all."""
    boxes = np.unique(np.round(selective_search.boxes(image, "quality")), axis=0)
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, [image.shape[1] - 1, image.shape[0] - 1], (2, count, 2))
    boxes = np.vstack((boxes, np.hstack((corners.min(0), corners.max(0)))))
    return boxes[:count - len(gt_boxes)].astype(np.float32)


def one_image_roidb(args):
    """The imdb cut down to one image with args.rois RoIs."""
    imdb = get_imdb(args.imdb)
    imdb.image_index[:] = [args.image or imdb.image_index[0]]
    gt = imdb.gt_roidb()
    image = cv2.imread(imdb.image_path_at(0))
    imdb.roidb_handler = lambda: imdb.merge_roidbs(
        gt, imdb.create_roidb_from_box_list([proposals(image, gt[0]["boxes"], args.rois)], gt))
    return get_training_roidb(imdb)


def main():
    args = parse_args()
    cfg_from_file(str(ROOT / "experiments" / "cfgs" / "fast_rcnn_ohem.yml"))
    cfg_from_list(["TRAIN.USE_FLIPPED", "False", "TRAIN.SCALES", "[%d]" % args.scale])
    model = ROOT / "models" / "pascal_voc" / args.net / "fast_rcnn_ohem"
    np.random.seed(3)
    caffe.set_random_seed(3)
    with tempfile.TemporaryDirectory() as folder:
        wrapper = SolverWrapper(str(model / "solver.prototxt"), one_image_roidb(args), folder, args.weights)
        seconds = []
        for _ in range(args.steps):
            start = time.monotonic()
            wrapper.solver.step(1)
            seconds.append(time.monotonic() - start)
        blobs = wrapper.solver.net.blobs
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20
        start = time.monotonic()
        snapshot = wrapper.snapshot()
        print("%s: image %s, %d RoIs, %d hard" % (args.net, blobs["data"].shape, len(blobs["rois"].data),
                                                  len(blobs["rois_hard"].data)))
        print("seconds a step: %s" % ", ".join("%.2f" % s for s in seconds))
        print("peak memory: %.2f GB in training, %.2f GB with the snapshot (%.1f s, %d MB)" % (
            peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20, time.monotonic() - start,
            Path(snapshot).stat().st_size / 1e6))
        caffe.Net(str(model / "test.prototxt"), snapshot, caffe.TEST)
        print("the test net loads the snapshot")


if __name__ == "__main__":
    main()
