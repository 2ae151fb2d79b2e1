"""Label Studio: its JSON and JSON-MIN, a list with one task for each image."""
import os
import re
from urllib.parse import parse_qs, unquote, urlsplit

from utils.errors import UserError

from importers.labelled import Counts, Export, LabelledImage, LabelledObject
from importers.problems import problem_lines
from importers.shapes import box_of_points, box_of_rotated
from importers.tree import Tree, split_of_image

NAMES = "Label Studio JSON"
UPLOADED = re.compile(r"^[0-9a-f]{8}-")       # that Label Studio puts before the name of an uploaded file
SHAPES = ("rectanglelabels", "polygonlabels", "ellipselabels")


def fits(content) -> bool:
    """Whether the content of a JSON file is Label Studio's."""
    return (isinstance(content, list) and len(content) > 0 and isinstance(content[0], dict)
            and _image_value(content[0]) is not None)


def read(tree: Tree, contents: dict) -> Export:
    """Read JSON files {file: content}."""
    export = Export(NAMES)
    counts = Counts()
    for file, content in contents.items():
        for number, task in enumerate(content, start=1):
            where = f"{file}, task {task.get('id', number)}" if isinstance(task, dict) else f"{file}, task {number}"
            with problem_lines(export.problems, where):
                export.images.append(_read_task(tree, file, task, where, counts))
    export.remarks += counts.lines()
    return export


def _read_task(tree, file, task, where, counts):
    url = _image_value(task)
    if url is None:
        raise UserError(f"{where}: names no image; expected one under data, such as \"image\": \"/data/upload/a.jpg\"")
    image = _find(tree, file, url)
    results = _results(task, counts)
    objects = []
    size = None
    for number, result in enumerate(results, start=1):
        size = size or _size(result)
        objects += _objects(result, f"{where}, region {number}", counts)
    return LabelledImage(tree.path(image), objects, split_of_image(image), size)


def _image_value(task):
    """The address of a task's image: the first text of its data that ends like an image."""
    data = task.get("data", task)
    if not isinstance(data, dict):
        return None
    values = [data["image"]] if isinstance(data.get("image"), str) else list(data.values())
    pattern = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?)$", re.IGNORECASE)
    return next((value for value in values if isinstance(value, str) and pattern.search(unquote(value))), None)


def _find(tree, file, url):
    parts = urlsplit(url)
    path = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    name = os.path.basename(path)
    try:
        return tree.find_image(name, file)
    except UserError:
        if not UPLOADED.match(name):
            raise
        return tree.find_image(UPLOADED.sub("", name), file)


def _results(task, counts):
    """The regions of the last annotation that was not cancelled, or of JSON-MIN."""
    annotations = task.get("annotations", task.get("completions"))
    if annotations is None:
        return [region for value in task.values() if isinstance(value, list) for region in value
                if isinstance(region, dict)]
    valid = [annotation for annotation in annotations if isinstance(annotation, dict) and
             not annotation.get("was_cancelled")]
    if not valid:
        counts.add("tasks have no annotation and count as images without objects")
        return []
    if len(valid) > 1:
        counts.add("tasks have several annotations; the last one is used")
    return valid[-1]["result"]


def _objects(result, where, counts):
    value = result.get("value", result)
    labels = next((value[key] for key in SHAPES if key in value), None)
    if labels is None:
        counts.add(f"regions of type {result.get('type', 'unknown')} are left out")
        return []
    width, height = _size(result)
    box = _box_in_percent(value, width, height, counts)
    return [LabelledObject(str(label), box, where) for label in labels]


def _box_in_percent(value, width, height, counts):
    """The box in pixels; Label Studio writes hundredths of the image."""
    across = width / 100
    down = height / 100
    if "points" in value:
        counts.add("polygons became the boxes around them")
        return box_of_points([(x * across, y * down) for x, y in value["points"]])
    if "radiusX" in value:
        counts.add("ellipses became the boxes around them")
        x1, x2 = value["x"] - value["radiusX"], value["x"] + value["radiusX"]
        y1, y2 = value["y"] - value["radiusY"], value["y"] + value["radiusY"]
        return x1 * across, y1 * down, x2 * across, y2 * down
    x, y = value["x"] * across, value["y"] * down
    box_width, box_height = value["width"] * across, value["height"] * down
    if value.get("rotation"):
        counts.add("rotated boxes became the upright boxes around them")
        return box_of_rotated(x, y, box_width, box_height, value["rotation"], (x, y))
    return x, y, x + box_width, y + box_height


def _size(result):
    """(width, height) in pixels that a region was drawn on."""
    width, height = result.get("original_width"), result.get("original_height")
    if not (width and height):
        raise UserError("has no original_width and original_height; export the project as JSON again")
    return int(width), int(height)
