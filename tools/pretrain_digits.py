#!/usr/bin/env python
"""Train DigitNet's first weights: a classifier of single handwritten digits, in place of an ImageNet model.

    python tools/pretrain_digits.py        # writes data/digits_pretrained/DigitNet.caffemodel, about half a minute

Fast R-CNN starts from its layers; only cls_score and bbox_pred are new there.  Scans and photographs are those of the
data set's training half.
"""
import argparse
import os

import _cli
import caffe
import numpy as np
from digits.patches import augment, make_patches
from digits.sources import digit_cells, photographs
from fast_rcnn.config import cfg
from utils.progress import progress

SOLVER = "models/digits/DigitNet/classifier/solver.prototxt"


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="data/digits_pretrained/DigitNet.caffemodel",
                        help="caffemodel to write, default %(default)s")
    parser.add_argument("--iters", type=int, default=900, help="of 64 digits each, default %(default)s")
    parser.add_argument("--patches", type=int, default=6000, help="different pictures, default %(default)s")
    parser.add_argument("--seed", type=int, default=3, help="the data set's seed, default %(default)s")
    _cli.add_device_flags(parser, gpu='cpu')
    return parser.parse_args()


def feed(net, patches, rng):
    """One random minibatch into the blobs data, rois [image x1 y1 x2 y2] and labels."""
    images, boxes, labels = patches
    picked = rng.choice(len(images), len(net.blobs["labels"].data), replace=False)
    pictures, rois = augment(images[picked], boxes[picked], rng)
    net.blobs["data"].data[...] = (pictures - cfg.PIXEL_MEANS).transpose(0, 3, 1, 2)  # (N, H, W, 3) -> (N, 3, H, W)
    net.blobs["rois"].data[...] = np.hstack((np.arange(len(picked))[:, None], rois))
    net.blobs["labels"].data[...] = labels[picked]


def main():
    args = parse_args()
    print("Called with args:\n%s" % args)
    _cli.use_device(args)
    caffe.set_random_seed(args.seed)
    rng = np.random.default_rng([args.seed, 3])
    patches = make_patches(args.patches, digit_cells("trainval", args.seed), photographs("trainval"), rng)
    solver = caffe.get_solver(SOLVER)
    accuracies = []
    for _ in progress(range(args.iters), "Pre-training", total=args.iters):
        feed(solver.net, patches, rng)
        solver.step(1)
        accuracies.append(float(solver.net.blobs["accuracy"].data))
    print("Accuracy in the last 50 iterations: %.3f" % np.mean(accuracies[-50:]))
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    solver.net.save(args.out)
    print("Wrote %s" % args.out)


if __name__ == "__main__":
    _cli.run(main)
