#!/usr/bin/env python
"""Detect objects in a folder of images, and write them as labels of a labelling tool.

    python tools/detect.py photos --out labelme --to photos             LabelMe opens them next to their images
    python tools/detect.py photos --out json --model output/default/mine_trainval/vgg16_fast_rcnn_iter_40000.caffemodel

json: one file in COCO's layout, with scores.  csv: one table as of the TensorFlow Object Detection API, with scores.
voc: an XML for each image.  yolo: a .txt for each image, and classes.txt.  labelme: a JSON for each image, with scores
as descriptions.  tools/import_data.py reads all of them.
"""
import argparse
import os

import _cli
from _detector import add_detector_flags, detect, load
from datasets.image_files import image_size
from fast_rcnn.finite import FiniteCheck
from importers.labelled import LabelledImage, LabelledObject
from importers.tree import Tree
from importers.write_predictions import FORMS, PredictedImage, target_files, write_predictions
from utils.errors import UserError
from utils.images import read_image
from utils.progress import progress


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', help="images, also in folders below it")
    parser.add_argument('--out', dest='form', required=True, choices=FORMS, help="format of the labels")
    parser.add_argument('--to', metavar='FOLDER',
                        help="where the labels go (default: output/detections and the folder's name)")
    parser.add_argument('--overwrite', action='store_true', help="replace files of labels that are there")
    parser.add_argument('--thresh', type=_cli.parse_number, default=0.5,
                        help="lowest score of a label (default: 0.5)")
    parser.add_argument('--num_dets', type=_cli.parse_count(1), default=100,
                        help="most labels of an image (default: 100)")
    add_detector_flags(parser, net=None)
    return _cli.parse(parser)


def require_free(out, files, overwrite):
    """UserError if one of the files is there, which may hold work by hand."""
    there = [file for file in files if os.path.exists(os.path.join(out, file))]
    if there and not overwrite:
        raise UserError(f"{len(there)} of {len(files)} files are there already, the first is "
                        f"{os.path.join(out, there[0])}; write to another folder with --to, or replace them with "
                        "--overwrite")


def predict(net, classes, tree, name, args):
    """The PredictedImage of an image of the tree."""
    image = read_image(tree.path(name))
    height, width = image.shape[:2]
    found, _ = detect(net, image, args.mode, args.thresh, args.num_dets)
    objects, scores = [], []
    for c, dets in found:
        for x1, y1, x2, y2, score in dets.tolist():
            objects.append(LabelledObject(classes[c], (x1, y1, x2 + 1, y2 + 1), name))      # the last pixel's edge
            scores.append(score)
    return PredictedImage(name, LabelledImage(tree.path(name), objects, size=(width, height)), scores)


def main():
    args = parse_args()
    tree = Tree(args.folder)
    if not tree.images:
        raise UserError(f"{args.folder}: no image (.jpg, .png, .bmp, .webp, .tif) in the folder; name one with images")
    out = args.to or os.path.join('output', 'detections', os.path.basename(tree.folder))
    require_free(out, target_files(args.form, tree.images), args.overwrite)
    for name in tree.images:
        image_size(tree.path(name))     # a broken file is told before the work
    net, classes = load(args)
    finite = FiniteCheck(net)
    images = []
    for name in progress(tree.images, "detect", len(tree.images), "images"):
        with finite.image(tree.path(name)):
            images.append(predict(net, classes, tree, name, args))
    write_predictions(args.form, out, images, classes[1:])
    count = sum(len(image.scores) for image in images)
    print(f"Wrote {count} labels of {len(images)} images to {out}, {sum(not image.scores for image in images)} images "
          f"have none; scores from {args.thresh:g}")


if __name__ == '__main__':
    _cli.run(main)
