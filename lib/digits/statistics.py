"""What a made data set holds: counts, and how well its proposals cover the objects."""
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from utils.cython_bbox import bbox_overlaps


def summary(out, split):
    """Counts of a split: images, objects (of them difficult, truncated), lookalikes; mean proposals an image."""
    trees = _annotations(out, split)
    objects = [node for tree in trees for node in tree.findall("object")]
    return {
        "images": len(trees),
        "objects": len(objects),
        "difficult": sum(int(node.findtext("difficult")) for node in objects),
        "truncated": sum(int(node.findtext("truncated")) for node in objects),
        "lookalikes": sum(len(tree.findall("lookalike")) for tree in trees),
        "proposals": float(np.mean([len(boxes) for boxes in _proposals(out, split)])) if trees else 0.0,
    }


def proposal_recall(out, split):
    """IoU of each object that is not difficult with its best proposal, (n,) float64.

    Both are given as [y1 x1 y2 x2], which IoU does not mind.
    """
    best = []
    for tree, boxes in zip(_annotations(out, split), _proposals(out, split)):
        for node in tree.findall("object"):
            if node.findtext("difficult") == "0":
                box = [float(node.find("bndbox").findtext(side)) for side in ("ymin", "xmin", "ymax", "xmax")]
                best.append(bbox_overlaps(np.array([box]), boxes).max(initial=0.0))
    return np.array(best)


def _annotations(out, split):
    names = (Path(out) / "ImageSets" / "Main" / (split + ".txt")).read_text().split()
    return [ElementTree.parse(Path(out) / "Annotations" / (name + ".xml")) for name in names]


def _proposals(out, split):
    """Proposals of each image, (n, 4) uint16 [ymin xmin ymax xmax], 1-based."""
    return loadmat(Path(out) / "selective_search_data" / ("digits_%s.mat" % split))["boxes"].ravel()
