"""CSV: the table of the TensorFlow Object Detection API, and Open Images'."""
import csv
import io

from datasets.flags import read_flag
from datasets.image_files import image_size
from datasets.text_files import read_lines

from importers.labelled import Counts, Export, LabelledImage, LabelledObject
from importers.problems import problem_lines
from importers.tree import Tree, split_of, split_of_image

TENSORFLOW = "CSV (filename, width, height, class, xmin, ymin, xmax, ymax)"
OPEN_IMAGES = "Open Images CSV"
TENSORFLOW_COLUMNS = {"filename", "xmin", "ymin", "xmax", "ymax"}
OPEN_IMAGES_COLUMNS = {"ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"}


def columns(tree: Tree, file: str) -> set[str]:
    """The names in the first line of a table."""
    lines = read_lines(tree.path(file))
    return set(next(csv.reader(lines[:1]), [])) if lines else set()


def read_tensorflow(tree: Tree, files: list[str]) -> Export:
    """Boxes in pixels as in PASCAL VOC: counted from 1, xmax and ymax inside the box."""
    export = Export(TENSORFLOW)
    images: dict[str, LabelledImage] = {}
    for file in files:
        for where, row in _rows(tree, file):
            with problem_lines(export.problems, where):
                path = tree.find_image(row["filename"], file)
                split = split_of(file) or split_of_image(path)
                image = images.setdefault(path, LabelledImage(tree.path(path), [], split, _size(row)))
                if not row["xmin"].strip():
                    continue
                x1, y1, x2, y2 = (float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax"))
                label = row["class"] if "class" in row else row["label"]
                image.objects.append(LabelledObject(label.strip(), (x1 - 1, y1 - 1, x2, y2), where))
    export.images = list(images.values())
    _tell_rest(tree, images, export)
    return export


def read_open_images(tree: Tree, files: list[str]) -> Export:
    """Boxes in fractions of the image; names of the labels from a class-descriptions*.csv, if there is one."""
    export = Export(OPEN_IMAGES)
    counts = Counts()
    names = _descriptions(tree)
    stems = {path.rsplit("/", 1)[-1].rsplit(".", 1)[0]: path for path in tree.images}
    images: dict[str, LabelledImage] = {}
    for file in files:
        for where, row in _rows(tree, file):
            path = stems.get(row["ImageID"])
            if path is None:
                counts.add("boxes are of images that are not in the folder, and are left out")
                continue
            with problem_lines(export.problems, where):
                split = split_of(file) or split_of_image(path)
                image = images.setdefault(path, LabelledImage(tree.path(path), [], split))
                image.objects.append(_open_images_object(row, tree.path(path), names, where, counts))
    export.images = list(images.values())
    export.remarks += counts.lines()
    _tell_rest(tree, images, export)
    return export


def _open_images_object(row, path, names, where, counts):
    width, height = image_size(path)
    x1, x2, y1, y2 = (float(row[key]) for key in ("XMin", "XMax", "YMin", "YMax"))
    is_group = bool(read_flag(row.get("IsGroupOf")))
    if is_group:
        counts.add("groups (IsGroupOf) became difficult objects, which neither train nor count")
    label = names.get(row["LabelName"], row["LabelName"])
    return LabelledObject(label, (x1 * width, y1 * height, x2 * width, y2 * height), where, is_group)


def _descriptions(tree):
    """{label: display name} of the tables of descriptions, which have two columns."""
    names = {}
    for file in tree.with_extension(".csv"):
        if "class-descriptions" in file or "class_descriptions" in file:
            rows = csv.reader(io.StringIO("\n".join(read_lines(tree.path(file)))))
            names.update({row[0]: row[1] for row in rows if len(row) == 2})
    return names


def _rows(tree, file):
    """(where, {column: text}) of the rows of a table."""
    reader = csv.DictReader(io.StringIO("\n".join(read_lines(tree.path(file)))))
    for number, row in enumerate(reader, start=2):
        yield f"{file}, line {number}", {key: value or "" for key, value in row.items() if key}


def _size(row):
    try:
        return int(float(row["width"])), int(float(row["height"]))
    except (KeyError, ValueError):
        return None


def _tell_rest(tree, used, export):
    rest = [image for image in tree.images if image not in used]
    if rest:
        export.remarks.append(f"{len(rest)} images have no row and are left out, the first is {rest[0]}")
