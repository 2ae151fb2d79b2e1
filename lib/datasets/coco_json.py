"""Annotation files of COCO: read, completed and checked, as one dict that pycocotools understands."""
import json
import os

import numpy as np
from utils.errors import UserError

from datasets.ds_utils import bad_boxes


def read_sources(sources, annotated):
    """{images, categories, annotations} of (JSON file, folder of its images) pairs, the categories by rising id.

    Added to an image: path, and source (its JSON); to an annotation what evaluation wants of it: iscrowd (0) and area
    (of its box) where they are missing, an id from 1 on (pycocotools takes 0 for no object), given_id and source.
    bbox is nan where it is not four numbers.  Outlines are dropped.
    """
    parts = [_read(path, folder, annotated) for path, folder in sources]
    joined = {key: [item for part in parts for item in part[key]] for key in ("images", "annotations")}
    joined["categories"] = parts[0]["categories"]
    for k, annotation in enumerate(joined["annotations"], start=1):
        annotation.update(given_id=annotation.get("id"), id=k)
    _check_ids(sources, "images", joined["images"])
    _check_ids(sources, "categories", joined["categories"])
    return joined


def box_problems(image, annotations, width, height, categories):
    """A line for each annotation with an unknown category or a box that is not in its image, and for a wrong size.

    width, height: of the image file; categories: {id: name}.
    """
    problems = []
    if (image.get("width", width), image.get("height", height)) != (width, height):
        problems.append("%s, image %s: it says %s x %s pixels, the file has %d x %d; correct it, or the image"
                        % (image["source"], image["path"], image.get("width"), image.get("height"), width, height))
    bad = bad_boxes(boxes_of(annotations), width, height)
    for annotation, is_bad in zip(annotations, bad.tolist()):
        where = "%s, annotation %s of image %s" % (annotation["source"], annotation["given_id"], image["file_name"])
        name = categories.get(annotation.get("category_id"))
        if name is None:
            problems.append("%s: unknown category_id %s; known: %s"
                            % (where, annotation.get("category_id"),
                               ", ".join("%s %s" % item for item in categories.items())))
        if is_bad or not min(annotation["bbox"][2:]) > 0:
            problems.append("%s (%s): bbox x y width height = %s is empty, not four numbers or outside the image of "
                            "%d x %d pixels; correct or remove it"
                            % (where, name, " ".join("%g" % x for x in annotation["bbox"]), width, height))
    return problems


def are_usable(boxes, areas, width, height):
    """(n,) bool: boxes (n, 4) of annotations are not empty and reach into their image: the original's condition.

    areas (n,) as they stand in the annotations.
    """
    x1, y1, x2, y2 = boxes.T
    return (areas > 0) & (x1 <= width - 1) & (y1 <= height - 1) & (x2 >= 0) & (y2 >= 0)


def boxes_of(annotations):
    """[x y width height] of annotations -> (n, 4) float64 [x1 y1 x2 y2], 0-based; x2 = x1 below a pixel's width."""
    boxes = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] = boxes[:, :2] + np.where(boxes[:, 2:] > 1, boxes[:, 2:] - 1, 0)
    return boxes


def _read(path, folder, annotated):
    tree = _load(path)
    keys = ("images", "categories") + (("annotations",) if annotated else ())
    for key in keys:
        items = tree.get(key) if isinstance(tree, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError("annotation file %s has no list '%s'; expected a COCO JSON with %s"
                            % (path, key, ", ".join(keys)))
    _require(path, tree["images"], "images", ("id", "file_name"))
    _require(path, tree["categories"], "categories", ("id", "name"))
    images = [dict(image, path=os.path.join(folder, image["file_name"]), source=path) for image in tree["images"]]
    if not images:
        raise UserError("annotation file %s names no image" % path)
    annotations = [_complete(annotation, path) for annotation in tree["annotations"]] if annotated else []
    categories = [dict(category, name=str(category["name"])) for category in tree["categories"]]
    return {"images": images, "annotations": annotations,
            "categories": sorted(categories, key=lambda category: category["id"])}


def _load(path):
    try:
        with open(path) as f:
            return json.load(f)
    except FileNotFoundError:
        raise UserError("annotation file %s does not exist; download or link the data set there, see data/README.md"
                        % path) from None
    except (OSError, ValueError) as e:
        raise UserError("annotation file %s cannot be read as JSON: %s" % (path, e)) from None


def _require(path, items, what, keys):
    for k, item in enumerate(items):
        missing = [key for key in keys if key not in item]
        if missing:
            raise UserError("annotation file %s: item %d of '%s' has no '%s'" % (path, k, what, missing[0]))


def _complete(annotation, path):
    bbox = _four_numbers(annotation.get("bbox"))
    kept = {key: annotation.get(key) for key in ("id", "image_id", "category_id")}
    area = annotation.get("area")
    try:
        area = float(bbox[2] * bbox[3] if area is None else area)
    except (TypeError, ValueError):
        raise UserError("annotation file %s, annotation %s: area is %r; expected a number of pixels, or none"
                        % (path, kept["id"], area)) from None
    return dict(kept, bbox=bbox, iscrowd=int(bool(annotation.get("iscrowd", 0))), source=path, area=area)


def _four_numbers(bbox):
    try:
        x, y, w, h = (float(number) for number in bbox)
    except (TypeError, ValueError):
        return [float("nan")] * 4
    return [x, y, w, h]


def _check_ids(sources, what, items):
    seen = set()
    for item in items:
        if item["id"] in seen:
            raise UserError("annotation file %s: two of its %s have the id %s"
                            % (" + ".join(path for path, _ in sources), what, item["id"]))
        seen.add(item["id"])
