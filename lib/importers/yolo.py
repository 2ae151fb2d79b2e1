"""YOLO: a .txt for each image, with a line `class x y width height` in fractions of the image for each object."""
import math
import os

import yaml
from datasets.image_files import image_size
from datasets.text_files import read_lines
from utils.errors import UserError

from importers.labelled import Counts, Export, LabelledImage, LabelledObject
from importers.shapes import box_of_points
from importers.tree import SPLITS, Tree, split_of_image

NAMES = "YOLO"
LISTS = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt")


def is_label_file(tree: Tree, file: str) -> bool:
    """Whether a .txt file belongs to an image of the same stem, next to it or in the sister folder images."""
    return _image_of(tree, file) is not None


def names_file(tree: Tree) -> str | None:
    """The file that names the classes: a yaml with `names`, or a list; None where there is none."""
    for file in tree.with_extension(".yaml", ".yml"):
        content = _load_yaml(tree, file)
        if isinstance(content, dict) and "names" in content:
            return file
    return next((file for file in tree.files if os.path.basename(file) in LISTS or file.endswith(".names")), None)


def read(tree: Tree, files: list[str]) -> Export:
    """Read the label files of a tree; an image without one has no objects."""
    export = Export(NAMES)
    counts = Counts()
    named_in = names_file(tree)
    if named_in is None:
        raise UserError(f"{tree.folder}: YOLO label files, but no data.yaml, classes.txt or *.names with the names of "
                        "the classes; add classes.txt, with one name a line in the order of the class numbers")
    names = _class_names(tree, named_in)
    export.classes = list(names.values())
    description = _description(tree, named_in)
    splits = listed_splits(tree, named_in, description)
    keypoints = _keypoint_numbers(description, named_in)
    if keypoints:
        export.remarks.append(f"kpt_shape in {named_in}: keypoints are left out, boxes are read")
    labels = {_image_of(tree, file): file for file in files}
    for image in tree.images:
        objects = _read_labels(tree, image, labels.get(image), (names, keypoints), export.problems, counts)
        export.images.append(LabelledImage(tree.path(image), objects, splits.get(image) or split_of_image(image)))
    without = len(tree.images) - len(labels)
    if without:
        export.remarks.append(f"{without} images have no label file and count as images without objects")
    export.remarks += counts.lines()
    return export


def _read_labels(tree, image, file, layout, problems, counts):
    if file is None:
        return []
    try:
        width, height = image_size(tree.path(image))
        lines = read_lines(tree.path(file))
    except UserError as e:
        problems.append(str(e))
        return []
    objects = []
    for number, line in enumerate(lines, start=1):
        where = f"{file}, line {number}"
        try:
            label, box = _parse_line(line, *layout, counts)
        except ValueError as e:
            problems.append(f"{where}: {e}, got {line[:60]!r}")
            continue
        x1, y1, x2, y2 = box
        objects.append(LabelledObject(label, (x1 * width, y1 * height, x2 * width, y2 * height), where))
    return objects


def _parse_line(line, names, keypoints, counts):
    """(class name, box in fractions) of a line; keypoints: how many numbers after the box are those of keypoints."""
    words = line.split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ValueError("expected numbers: class x y width height") from None
    if keypoints:
        if len(numbers) != 5 + keypoints:
            raise ValueError(f"expected class x y width height and {keypoints} numbers of keypoints, as kpt_shape says")
        numbers = numbers[:5]
    is_polygon = len(numbers) >= 7 and len(numbers) % 2 == 1
    if len(numbers) not in (5, 6) and not is_polygon:
        raise ValueError("expected class x y width height, or a polygon: class x1 y1 x2 y2 ...")
    if not numbers[0].is_integer() or int(numbers[0]) not in names:
        raise ValueError(f"class number {words[0]} has no name; classes are {_range(names)}")
    outside = [number for number in numbers[1:5 if len(numbers) == 6 else None] if not -0.01 <= number <= 1.01]
    if outside or not all(map(math.isfinite, numbers)):
        raise ValueError("expected fractions of the image from 0 to 1")
    label = names[int(numbers[0])]
    if is_polygon:
        counts.add("polygons became the boxes around them")
        return label, box_of_points(list(zip(numbers[1::2], numbers[2::2])))
    x, y, width, height = numbers[1:5]
    return label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _range(names):
    return ", ".join(f"{number} {name}" for number, name in list(names.items())[:10])


def _image_of(tree, file):
    """The image of a label file; None where there is none."""
    stem = os.path.splitext(file)[0]
    image = tree.image_of_stem(stem)
    if image is None and "labels/" in file:
        head, _, tail = ("/" + stem).rpartition("/labels/")
        image = tree.image_of_stem(f"{head}/images/{tail}".lstrip("/"))
    return image


def _class_names(tree, file):
    """{class number: name} of a data.yaml or of a list."""
    if not file.endswith((".yaml", ".yml")):
        return dict(enumerate(read_lines(tree.path(file))))
    names = _description(tree, file)["names"]
    pairs = names.items() if isinstance(names, dict) else enumerate(names if isinstance(names, list) else [])
    found = {number: str(name) for number, name in pairs if isinstance(number, int)}
    if not found:
        raise UserError(f"{file}: names is {names!r:.60}; expected a list of class names")
    return dict(sorted(found.items()))


def _description(tree, file):
    """The content of a data.yaml; {} of a list of classes."""
    return _load_yaml(tree, file) if file.endswith((".yaml", ".yml")) else {}


def _keypoint_numbers(description, file):
    """How many numbers of keypoints stand in a line: kpt_shape [keypoints, numbers of each]; 0 without."""
    shape = description.get("kpt_shape", [0, 0])
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(number, int) for number in shape)):
        raise UserError(f"{file}: kpt_shape is {shape!r:.60}; expected [number of keypoints, 2 or 3]")
    return shape[0] * shape[1]


def listed_splits(tree: Tree, file: str, description: dict) -> dict[str, str]:
    """{image: split} of the folders of images, or lists of them, that a data.yaml gives as train, val and test.

    Paths that are not in the folder are left out: exports name those of the machine that trained.
    """
    root = os.path.join(os.path.dirname(file), str(description.get("path") or ""))
    splits = {}
    for key in [key for key in SPLITS if key in description]:     # an image in two of them is tested
        paths = description[key] if isinstance(description[key], list) else [description[key]]
        for path in paths:
            if isinstance(path, str):
                splits.update(dict.fromkeys(_images_below(tree, file, root, path), SPLITS[key]))
    return splits


def _images_below(tree, file, root, path):
    """The images in a folder or in a list."""
    for base in (root, os.path.dirname(file), ""):
        place = os.path.normpath(os.path.join(base, path)).replace(os.sep, "/")
        if place.endswith(".txt") and place in tree.files:
            return [tree.find_image(line, place) for line in read_lines(tree.path(place))]
        found = [image for image in tree.images if image.startswith(f"{place}/")]
        if found:
            return found
    return []


def _load_yaml(tree, file):
    try:
        with open(tree.path(file), encoding="utf-8") as f:
            return yaml.safe_load(f)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as e:
        raise UserError(f"{file} cannot be read as YAML: {' '.join(str(e).split())[:200]}") from None
