"""Annotation files of COCO: read, completed and checked, as one dict that pycocotools understands."""
import math
import os

import numpy as np
from utils.errors import UserError

from datasets.box_checks import bad_boxes, look_like_fractions
from datasets.check import require_none
from datasets.coco_ids import is_id, item_problems, kind_problems, split_classes
from datasets.drawn_boxes import find_placement
from datasets.flags import flag_problem, is_unknown_word, read_flag, unknown_words_lines
from datasets.image_files import image_size
from datasets.text_files import load_json

NAME_KEYS = {"images": "file_name", "categories": "name"}


def read_sources(sources, annotated, name):
    """({images, categories, annotations}, remarks) of (JSON file, folder of its images) pairs; name: of the imdb.

    The categories come by rising id.  Added to an image: path, and source (its JSON); to an annotation what evaluation
    wants of it: iscrowd (0) and area (of its box) where they are missing, an id from 1 on (pycocotools takes 0 for no
    object), given_id and source, and flag_problem, a line, where iscrowd is none.  bbox is nan where it is not four
    numbers.  Outlines are dropped.  remarks: a line for each thing that is read otherwise than it stands there.
    """
    trees = [(path, folder, _load(path, annotated)) for path, folder in sources]
    _require_ids_and_names(trees, name)
    images = [_complete_image(image, path, folder) for path, folder, tree in trees for image in tree["images"]]
    given = [(path, annotation) for path, _, tree in trees for annotation in tree["annotations"]]
    annotations = [_complete(annotation, path, k) for k, (path, annotation) in enumerate(given, start=1)]
    require_none([(name, a["area_problem"]) for a in annotations if "area_problem" in a])
    used = {a["category_id"] for a in annotations if is_id(a["category_id"])}
    categories, remarks = split_classes(_complete_categories(trees[0][2]["categories"]), used)
    words = [("iscrowd", a["iscrowd"].strip()) for _, a in given if is_unknown_word(a.get("iscrowd"))]
    remarks += unknown_words_lines(words) + _mend_areas(images, annotations)
    return {"images": images, "annotations": annotations, "categories": categories}, remarks


def placement_of(image, annotations, geometry):
    """The drawn_boxes.Placement of the annotations of an image, whose file has that geometry."""
    return find_placement(geometry, (image.get("width"), image.get("height")), len(annotations) > 0)


def placed(annotations, placement):
    """Annotations of an image with bbox and area as they are in the picture as it is read."""
    boxes = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2] - 1
    boxes = placement.place(boxes)
    boxes[:, 2:] -= boxes[:, :2] - 1
    return [dict(annotation, bbox=bbox, area=annotation["area"] * placement.area_factor)
            for annotation, bbox in zip(annotations, boxes.tolist())]


def image_problems(image, annotations, placement, categories, boxes_too=True):
    """A line for a wrong size of an image, and for each annotation with a flag that is none, an unknown category or, if
    boxes_too, a box that is not in its image.

    placement: of placement_of; categories: {id: name}.
    """
    problems = []
    if placement.problem:
        problems.append(f"{image['source']}, image {image['path']}: {placement.problem}")
    box_problems = _box_problems(annotations, *placement.drawn_size) if boxes_too else [""] * len(annotations)
    for annotation, box_problem in zip(annotations, box_problems):
        where = "%s, annotation %s of image %s" % (annotation["source"], annotation["given_id"], image["file_name"])
        problems += [annotation["flag_problem"]] if "flag_problem" in annotation else []
        category_id = annotation["category_id"]
        name = categories.get(category_id) if is_id(category_id) else None
        if name is None:
            problems.append("%s: unknown category_id %r; known: %s"
                            % (where, category_id, ", ".join("%r %s" % item for item in categories.items())))
        if box_problem:
            problems.append(f"{where} ({name}): bbox x y width height = {_as_given(annotation)} {box_problem}")
    return problems


def _box_problems(annotations, width, height):
    """For each annotation what is wrong with its bbox, and what to do; '' for nothing."""
    given = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
    bad = bad_boxes(boxes_of(annotations), width, height) | ~(given[:, 2:] > 0).all(axis=1)
    fractions = look_like_fractions(np.hstack((given[:, :2], given[:, :2] + given[:, 2:])))
    problems = np.where(bad, "is empty, not four numbers or outside the image of %d x %d pixels; correct or remove it"
                        % (width, height), "")
    return np.where(fractions, "looks like fractions of the image; expected pixels; multiply x and width by %d, y and "
                               "height by %d" % (width, height), problems).tolist()


def _as_given(annotation):
    """The bbox for a message."""
    if "unread_bbox" in annotation:
        return f"{annotation['unread_bbox']!r:.60}"
    return " ".join("%g" % x for x in annotation["bbox"])


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


def _load(path, annotated):
    """The tree of a file: lists of dicts called images, categories and annotations."""
    tree = _load_json(path)
    keys = ("images", "categories") + (("annotations",) if annotated else ())
    for key in keys:
        items = tree.get(key) if isinstance(tree, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError("annotation file %s has no list '%s'; expected a COCO JSON with %s"
                            % (path, key, ", ".join(keys)))
    if not tree["images"]:
        raise UserError("annotation file %s names no image" % path)
    return tree if annotated else dict(tree, annotations=[])


def _load_json(path):
    try:
        return load_json(path)
    except FileNotFoundError:
        raise UserError("annotation file %s does not exist; download or link the data set there, see data/README.md"
                        % path) from None
    except (OSError, ValueError, RecursionError) as e:
        raise UserError("annotation file %s cannot be read as JSON: %s" % (path, e)) from None


def _require_ids_and_names(trees, name):
    problems = [problem for path, _, tree in trees for what, key in NAME_KEYS.items()
                for problem in item_problems(path, what, tree[what], key)]
    require_none([(name, problem) for problem in problems])
    paths = [path for path, _, _ in trees]
    images = [image for _, _, tree in trees for image in tree["images"]]
    require_none([(name, problem) for problem in kind_problems(paths, "images", images)
                  + kind_problems(paths[:1], "categories", trees[0][2]["categories"])])


def _complete_image(image, path, folder):
    sizes = {key: _number_of(image[key]) for key in ("width", "height") if key in image}
    return dict(image, **sizes, path=os.path.join(folder, image["file_name"]), source=path)


def _complete_categories(categories):
    named = [dict(category, name=str(category["name"]).strip()) for category in categories]
    return sorted(named, key=lambda category: category["id"])


def _complete(annotation, path, k):
    """Annotation number k of all with what read_sources adds; area_problem, a line, if area is not a number."""
    given_id, given_area = annotation.get("id", "number %d" % k), _number_of(annotation.get("area"))
    bbox, iscrowd = _four_numbers(annotation.get("bbox")), read_flag(annotation.get("iscrowd"))
    kept = {"id": k, "image_id": annotation.get("image_id"), "category_id": annotation.get("category_id"), "bbox": bbox,
            "iscrowd": iscrowd, "area": bbox[2] * bbox[3] if given_area is None else given_area, "source": path,
            "given_id": given_id}
    if not _is_number(kept["area"]):
        kept["area_problem"] = (f"annotation file {path}, annotation {given_id}: area is "
                                f"{given_area!r:.40}; expected a number of pixels, or none")
    if any(map(math.isnan, bbox)):
        kept["unread_bbox"] = annotation.get("bbox")
    if iscrowd is None:
        where = f"annotation file {path}, annotation {given_id}"
        kept["flag_problem"] = flag_problem(where, "iscrowd", annotation["iscrowd"])
    return kept


def _four_numbers(bbox):
    """bbox as floats; nan where it is not a list of four."""
    try:
        x, y, w, h = map(float, bbox)
    except (TypeError, ValueError, OverflowError):
        return [float("nan")] * 4
    if not isinstance(bbox, list) or bool in map(type, bbox):   # the text "1234" is none, nor is true
        return [float("nan")] * 4
    return [x, y, w, h]


def _number_of(value):
    """The number that a text is, such as "120", None for a blank one; all else as it is."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else number


def _is_number(value):
    return type(value) in (int, float)      # True is an int to Python


def _mend_areas(images, annotations):
    """Areas that cannot be become those of their boxes; returns a line that counts them, or none."""
    by_id, count = {image["id"]: image for image in images}, 0
    for annotation in annotations:
        area, of_box = annotation["area"], annotation["bbox"][2] * annotation["bbox"][3]
        image = by_id.get(annotation["image_id"]) if is_id(annotation["image_id"]) else None
        if image is None or area == of_box or 0 < area <= of_box or 0 < area <= _pixels(image):
            continue
        annotation["area"] = of_box
        count += 1
    return [f"{count} areas of annotations are not finite, not above 0 or larger than their image; the areas of their "
            "boxes are used"] if count else []


def _pixels(image):
    width, height = image.get("width"), image.get("height")
    if _is_number(width) and _is_number(height) and width > 0 and height > 0:
        return width * height
    try:
        return math.prod(image_size(image["path"]))
    except UserError:           # which the check names
        return math.inf
