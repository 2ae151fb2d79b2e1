"""Result files of the PASCAL challenge, their scores, and the archive for the evaluation server."""
import json
import os
import tarfile

import numpy as np
from utils.progress import progress
from utils.whole_file import whole_file

from datasets.voc_scores import fill, read_detections, score_class, select_class

NINE_DIGITS = " ".join(["%.9g"] * 5)     # enough for every float32 to come back as it was
ONE_BASED = [0, 1, 1, 1, 1]
OVTHRESH = 0.5       # a detection is right when its IoU with an object exceeds this


def write_results(path, image_index, boxes_per_image):
    """One line a detection: image, score, xmin ymin xmax ymax, 1-based, with all digits of a float32.

    boxes_per_image[i]: (N, 5) [x1 y1 x2 y2 score], 0-based pixels, or [] for none.  (The original kept 3 decimals of
    the score, which makes ties, and AP depends on how those are ordered.)
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with whole_file(path, "w") as f:
        for index, dets in zip(image_index, boxes_per_image):
            numbers = np.asarray(dets, dtype=np.float64).reshape(-1, 5)[:, [4, 0, 1, 2, 3]]
            f.writelines(f"{index} {NINE_DIGITS % tuple(row)}\n" for row in (numbers + ONE_BASED).tolist())


def score_boxes(classes, boxes, annotations, use_07_metric):
    """{class: (rec, prec, ap)}; boxes[class][image]: (N, 5) [x1 y1 x2 y2 score], 0-based pixels, or [] for none.

    classes without background, as boxes; annotations: of voc_eval.load_annotations.
    """
    return {name: score_class(*_joined(per_image), select_class(annotations, name), OVTHRESH, use_07_metric)
            for name, per_image in progress(list(zip(classes, boxes)), "evaluation", len(classes), "classes")}


def score_files(classes, template, image_index, annotations, use_07_metric):
    """As score_boxes, for the result files fill(template, class)."""
    return {name: score_class(*read_detections(fill(template, name), image_index), select_class(annotations, name),
                              OVTHRESH, use_07_metric)
            for name in progress(classes, "evaluation", len(classes), "classes")}


def _joined(boxes_per_image):
    """images (D,), scores (D,) and 1-based boxes (D, 4), float64, of all images one after the other."""
    dets = np.concatenate([np.zeros((0, 5))] + [np.reshape(dets, (-1, 5)) for dets in boxes_per_image])
    images = np.repeat(np.arange(len(boxes_per_image)), [len(dets) for dets in boxes_per_image])
    return images, dets[:, 4], dets[:, :4] + 1


def save_scores(scores, output_dir, imdb_name, use_07_metric):
    """Print the table, write ap.json and <class>_pr.npz into output_dir; returns the mean AP over classes not nan."""
    aps = {name: float(ap) for name, (_, _, ap) in scores.items()}
    counted = [ap for ap in aps.values() if not np.isnan(ap)]
    mean_ap = float(np.mean(counted)) if counted else float("nan")
    write_scores(output_dir, scores,
                 {"imdb": imdb_name, "ovthresh": OVTHRESH, "use_07_metric": use_07_metric,
                  "mean_ap": or_null(mean_ap), "ap": {name: or_null(ap) for name, ap in aps.items()}})
    _print_table(aps, mean_ap, use_07_metric)
    return mean_ap


def write_scores(output_dir, curves, summary):
    """Write <class>_pr.npz for curves {class: (rec, prec, ap)}, and ap.json, which holds `summary`, into output_dir."""
    os.makedirs(output_dir, exist_ok=True)
    for name, (rec, prec, ap) in curves.items():
        with whole_file(os.path.join(output_dir, name + "_pr.npz")) as f:
            np.savez(f, rec=rec, prec=prec, ap=ap)
    with whole_file(os.path.join(output_dir, "ap.json"), "w") as f:
        json.dump(summary, f, indent=2)


def pack_submission(output_dir, imdb_name, files):
    """<output_dir>/<imdb_name>_comp4.tar.gz with results/<folder>/Main/comp4_*.txt, for the evaluation server."""
    path = os.path.join(output_dir, imdb_name + "_comp4.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for file in files:
            archive.add(file, os.path.relpath(file, output_dir))
    print("%s has no public annotations, so there is no score; submit %s to the PASCAL VOC evaluation server"
          % (imdb_name, path))
    return path


def _print_table(aps, mean_ap, use_07_metric):
    print("VOC07 metric? " + ("Yes" if use_07_metric else "No"))
    for name, ap in aps.items():
        print("AP for %s = %.4f" % (name, ap))
    print("Mean AP = %.4f" % mean_ap)


def or_null(value):
    return None if np.isnan(value) else value
