#!/usr/bin/env python
"""Compare Fast R-CNN without and with OHEM on the demo data set: a table and pictures of what both runs left.

    python tools/demo_report.py        # reads output/default and output/fast_rcnn_ohem, writes output/demo/
"""
import argparse
import csv
import json
import os
from pathlib import Path

import _cli
import _figures
import _mined
import cv2
import numpy as np
from datasets.factory import get_imdb
from fast_rcnn.detections import DETECTIONS_FILE, load_detections
from utils.cython_bbox import bbox_overlaps
from utils.errors import UserError

OVTHRESH = 0.5  # a detection is right when its IoU with an object of its class exceeds this, as in VOC


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain", default="output/default", metavar="DIR", help="default %(default)s")
    parser.add_argument("--ohem", default="output/fast_rcnn_ohem", metavar="DIR", help="default %(default)s")
    parser.add_argument("--data", default="data/digits", help="the data set's folder, default %(default)s")
    parser.add_argument("--out", default="output/demo", help="where pictures and summary.json go, default %(default)s")
    parser.add_argument("--thresh", type=_cli.parse_number, default=0.5,
                        help="lowest score drawn, default %(default)s")
    return parser.parse_args()


# ---- reading

def read_run(folder, data):
    """What a training and its test left: train, test, ap (json records), metrics {column: list}, test_dir."""
    name = os.path.basename(os.path.normpath(data))
    train_dir = Path(folder) / (name + "_trainval")
    train = read_json(train_dir / "run.json")
    test_dir = Path(folder) / (name + "_test") / Path(train["model"]).stem
    return {"train": train, "ap": read_json(test_dir / "ap.json"), "test": read_json(test_dir / "run.json"),
            "metrics": read_metrics(train_dir / "metrics.csv"), "test_dir": test_dir}


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise UserError("%s cannot be read (%s); train and test first: experiments/scripts/fast_rcnn.sh and "
                        "fast_rcnn_ohem.sh cpu DigitNet digits" % (path, e)) from e


def read_metrics(path):
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else ())}


def read_curves(run, classes):
    """{class: (recall, precision, AP)}."""
    curves = {}
    for name in classes:
        with np.load(run["test_dir"] / (name + "_pr.npz")) as f:
            curves[name] = f["rec"], f["prec"], float(f["ap"])
    return curves


# ---- detections beside the truth

def judge(dets_of_class, entry, classes, thresh):
    """Marks (kind, box, text) of one image: right and wrong detections, missed objects.

    dets_of_class[c]: (n, 5) [x1 y1 x2 y2 score]; entry: the image's roidb entry of ground truth.
    """
    marks, found = [], np.zeros(len(entry["boxes"]), dtype=bool)
    for c in range(1, len(classes)):
        for *box, score in sorted(np.reshape(dets_of_class[c], (-1, 5)).tolist(), key=lambda row: -row[4]):
            if score < thresh:
                continue
            hit = _hit(box, entry, c, found)
            marks.append(("wrong" if hit is None else "right", box, "%s %.2f" % (classes[c], score)))
            if hit is not None:
                found[hit] = True
    missed = [("missed", box.tolist(), classes[c]) for box, c, seen in
              zip(entry["boxes"], entry["gt_classes"], found) if not seen]
    return marks + missed


def _hit(box, entry, c, found):
    """Index of the object of class c that the box finds first, or None."""
    overlaps = bbox_overlaps(np.array([box]), entry["boxes"].reshape(-1, 4))[0]
    overlaps[(entry["gt_classes"] != c) | found] = 0
    return int(overlaps.argmax()) if overlaps.max(initial=0) > OVTHRESH else None


def choose_images(plain, ohem, count):
    """The images where OHEM's marks differ most from plain's, for better or worse; at most `count`, in image order."""
    def mistakes(marks):
        return sum(kind != "right" for kind, _, _ in marks)
    differs = [abs(mistakes(a) - mistakes(b)) + 0.1 * len(a) for a, b in zip(plain, ohem)]
    # every sixth of the most different ones, so that the row does not show the extreme ones alone
    return sorted(np.argsort(differs, kind="stable")[::-1][:6 * count:6].tolist())


def detection_columns(imdb, runs, thresh, count=5):
    gt = imdb.gt_roidb()
    marks = [[judge([boxes[i] for boxes in all_boxes], entry, imdb.classes, thresh) for i, entry in enumerate(gt)]
             for all_boxes in (load_detections(run["test_dir"] / DETECTIONS_FILE, imdb) for run in runs)]
    return [(cv2.imread(imdb.image_path_at(i))[:, :, ::-1], marks[0][i], marks[1][i])
            for i in choose_images(*marks, count)]


# ---- the table

def summarise(plain, ohem):
    rows = [{"method": name, "mAP": run["ap"]["mean_ap"], "training_seconds": run["train"]["seconds"],
             "test_seconds": run["test"]["seconds"], "peak_rss_mb": run["train"]["peak_rss_mb"],
             "iterations": run["train"]["iterations"], "seed": run["train"]["seed"]}
            for name, run in (("Fast R-CNN", plain), ("Fast R-CNN + OHEM", ohem))]
    print("%-18s %6s %12s %12s" % ("method", "mAP", "training s", "memory MB"))
    for row in rows:
        print("%-18s %6.3f %12.1f %12.0f" % (row["method"], row["mAP"], row["training_seconds"], row["peak_rss_mb"]))
    return rows


def main():
    args = parse_args()
    print("Called with args:\n%s" % args)
    plain, ohem = (read_run(folder, args.data) for folder in (args.plain, args.ohem))
    imdb = get_imdb("voc:%s@test" % args.data)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    classes = imdb.classes[1:]
    figures = {
        "loss_curves.png": _figures.loss_curves(plain["metrics"], ohem["metrics"]),
        "precision_recall.png": _figures.pr_curves(classes, read_curves(plain, classes), read_curves(ohem, classes),
                                                   [run["ap"]["mean_ap"] for run in (plain, ohem)]),
        "detections.png": _figures.detections(detection_columns(imdb, (plain, ohem), args.thresh), args.thresh),
        "hard_rois.png": _figures.mined_rois(_mined.mine_images(ohem["train"], count=3)),
    }
    for name, figure in figures.items():
        _figures.save(figure, out / name)
        print("Wrote %s" % (out / name))
    summary = summarise(plain, ohem)
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")  # last: make takes it for the finished demo


if __name__ == "__main__":
    _cli.run(main)
