"""The evaluation of PASCAL VOC under the original's names, which forks import; it is in datasets.voc_scores."""
from datasets.text_files import read_lines
from datasets.voc_scores import PLACE, fill, load_annotations, read_detections, score_class, select_class, voc_ap
from datasets.voc_xml import parse_rec

__all__ = ["parse_rec", "voc_ap", "voc_eval"]


def voc_eval(detpath, annopath, imagesetfile, classname, cachedir, ovthresh=0.5, use_07_metric=False):
    """Returns rec (D,), prec (D,) by falling score, and ap, of one class.

    detpath: result file, with {:s} for the class or without, lines 'image score xmin ymin xmax ymax'; annopath:
    annotations, {:s} for the image; imagesetfile: image names, one a line; cachedir: for the parsed annotations.  Class
    names are compared without case.  No detections: ap 0; no objects, difficult ones aside: rec nan, and as in the
    original ap nan, or 0 at 11 points.
    """
    names = read_lines(imagesetfile)
    gt = select_class(load_annotations(annopath, names, cachedir), classname)
    detections = read_detections(fill(detpath, classname) if PLACE.search(detpath) else detpath, names)
    rec, prec, ap = score_class(*detections, gt, ovthresh, use_07_metric)
    return rec, prec, 0.0 if use_07_metric and gt["difficult"].all() else ap
