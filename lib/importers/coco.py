"""COCO JSON of any layout: images, categories and annotations with a bbox or a segmentation."""
import math

from datasets.flags import read_flag

from importers.labelled import Counts, Export, LabelledImage, LabelledObject
from importers.problems import problem_lines
from importers.shapes import box_of_points
from importers.tree import Tree, split_of, split_of_image

NAMES = "COCO JSON"


def fits(content) -> bool:
    """Whether the content of a JSON file is COCO's."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list)
                                             for key in ("images", "annotations", "categories"))


def read(tree: Tree, contents: dict) -> Export:
    """Read JSON files {file: content}."""
    export = Export(NAMES)
    counts = Counts()
    for file, content in contents.items():
        with problem_lines(export.problems, file):
            _read_file(tree, file, content, export, counts)
    export.remarks += counts.lines()
    return export


def _read_file(tree, file, content, export, counts):
    names = {category["id"]: str(category["name"]).strip() for category in content["categories"]}
    used = {annotation.get("category_id") for annotation in content["annotations"]}
    for number, name in sorted(names.items()):
        if number in used and name not in export.classes:       # Roboflow adds a supercategory that has no objects
            export.classes.append(name)
    images = {}
    for entry in content["images"]:
        with problem_lines(export.problems, file):
            path = tree.path(tree.find_image(str(entry["file_name"]), file))
            size = _size(entry)
            split = split_of(file) or split_of_image(str(entry["file_name"]))
            images[entry["id"]] = LabelledImage(path, [], split, size)
            export.images.append(images[entry["id"]])
    known = {entry.get("id") for entry in content["images"]}
    for number, annotation in enumerate(content["annotations"]):
        where = f"{file}, annotation {annotation.get('id', number)}"
        with problem_lines(export.problems, where):
            _read_annotation(annotation, where, names, images, known, export, counts)


def _read_annotation(annotation, where, names, images, known, export, counts):
    image_id = annotation["image_id"]
    if image_id not in known or annotation["category_id"] not in names:
        export.problems.append(f"{where}: image_id {image_id!r} or category_id {annotation['category_id']!r} is not in "
                               "the file; correct it")
        return
    if image_id not in images:          # its image is a problem already
        return
    is_crowd = bool(read_flag(annotation.get("iscrowd")))
    if is_crowd:
        counts.add("crowds (iscrowd) became difficult objects, which neither train nor count")
    box = _box(annotation, counts)
    images[image_id].objects.append(LabelledObject(names[annotation["category_id"]], box, where, is_crowd))


def _box(annotation, counts):
    bbox = annotation.get("bbox")
    if bbox:
        x, y, width, height = map(float, bbox)
        return x, y, x + width, y + height
    polygons = annotation.get("segmentation")
    if not isinstance(polygons, list) or not polygons:
        return (math.nan,) * 4
    counts.add("polygons became the boxes around them")
    numbers = [number for polygon in polygons for number in polygon]
    return box_of_points(list(zip(numbers[::2], numbers[1::2])))


def _size(entry):
    width = entry.get("width")
    height = entry.get("height")
    return (int(width), int(height)) if width and height else None
