"""Result files of COCO, and their scores by COCO's rules (pycocotools)."""
import contextlib
import io
import json
import os

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from utils.whole_file import whole_file

from datasets.voc_results import or_null, write_scores

STATS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium",
         "AR_large")
ALL_AREAS, MOST_DETECTIONS = 0, -1      # into COCOeval's axes of area ranges and of detections an image


def list_detections(all_boxes, image_ids, category_ids):
    """COCO's form of all_boxes[class][image] (N, 5) 0-based [x1 y1 x2 y2 score]: dicts with bbox [x y width height]."""
    detections = []
    for category_id, per_image in zip(category_ids, all_boxes[1:]):
        for image_id, dets in zip(image_ids, per_image):
            for x1, y1, x2, y2, score in np.asarray(dets, dtype=np.float64).reshape(-1, 5).tolist():
                detections.append({"image_id": image_id, "category_id": category_id,
                                   "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1], "score": score})
    return detections


def write_detections(path, detections):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with whole_file(path, "w") as f:
        json.dump(detections, f)


def score_detections(dataset, detections):
    """COCOeval of list_detections, accumulated and summarized, for the dict of coco_json.read_sources."""
    areas = [{"id": k, "area": d["bbox"][2] * d["bbox"][3], "iscrowd": 0} for k, d in enumerate(detections, start=1)]
    results = dict(dataset, annotations=[{**d, **more} for d, more in zip(detections, areas)])
    with contextlib.redirect_stdout(io.StringIO()):         # it reports every step; what counts is printed below
        coco_eval = COCOeval(_index(dataset), _index(results), "bbox")
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    return coco_eval


def save_scores(coco_eval, classes, output_dir, imdb_name):
    """Print the table, write ap.json and <class>_pr.npz (at IoU 0.5) into output_dir; returns AP@[.5:.95].

    classes: names without background, in the order of the category ids.  AP is nan without ground truth.
    """
    precision = coco_eval.eval["precision"][:, :, :, ALL_AREAS, MOST_DETECTIONS]      # (IoU, recall, class), -1: none
    aps = {name: _mean(precision[:, :, k]) for k, name in enumerate(classes)}
    stats = {name: float(value) if value >= 0 else float("nan") for name, value in zip(STATS, coco_eval.stats)}
    curves = {name: (coco_eval.params.recThrs, np.maximum(precision[0, :, k], 0), _mean(precision[0, :, k]))
              for k, name in enumerate(classes)}
    write_scores(output_dir, curves,
                 {"imdb": imdb_name, "ovthresh": "0.50:0.95", "use_07_metric": False, "mean_ap": or_null(stats["AP"]),
                  "ap": {name: or_null(ap) for name, ap in aps.items()},
                  "coco": {name: or_null(value) for name, value in stats.items()}})
    for name, ap in aps.items():
        print("AP@[0.50:0.95] for %s = %.4f" % (name, ap))
    print("\n".join("%s = %.4f" % item for item in stats.items()))
    print("Mean AP = %.4f" % stats["AP"])
    return stats["AP"]


def _index(dataset):
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _mean(precision):
    """Mean of the precisions that are there; nan where there is none, which is a class without ground truth."""
    return float(precision[precision >= 0].mean()) if (precision >= 0).any() else float("nan")
