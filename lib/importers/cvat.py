"""CVAT for images: one XML with <image> elements that hold <box>, <polygon> and other shapes."""
import xml.etree.ElementTree as ElementTree

from datasets.text_files import read_xml
from utils.errors import UserError

from importers.labelled import Counts, Export, LabelledImage, LabelledObject
from importers.problems import problem_lines
from importers.shapes import box_of_points, box_of_rotated
from importers.tree import SPLITS, Tree, split_of_image

NAMES = "CVAT for images XML"
LEFT_OUT = ("polyline", "points", "cuboid", "mask", "skeleton", "tag")


def read(tree: Tree, files: list[str]) -> Export:
    """Read XML files whose root is <annotations>."""
    export = Export(NAMES)
    counts = Counts()
    for file in files:
        with problem_lines(export.problems, file):
            root = ElementTree.fromstring(read_xml(tree.path(file)))
            if root.find("track") is not None and root.find("image") is None:
                raise UserError(f"{file}: holds tracks of a video; export the task from CVAT as \"CVAT for images\"")
            export.classes += [name for label in root.iterfind("meta//label") for name in [label.findtext("name", "")]
                               if name and name not in export.classes]
            for element in root.iterfind("image"):
                with problem_lines(export.problems, f"{file}, image {element.get('name')}"):
                    export.images.append(_read_image(tree, file, element, counts))
    export.remarks += counts.lines()
    return export


def _read_image(tree, file, element, counts):
    name = element.attrib["name"]
    path = tree.find_image(name, file)
    subset = element.get("subset", "").lower()
    objects = []
    for number, shape in enumerate(element, start=1):
        if shape.tag in LEFT_OUT:
            counts.add(f"<{shape.tag}> elements are left out")
            continue
        where = f"{file}, image {name}, <{shape.tag}> number {number}"
        box = _box(shape, counts)
        if box is not None:
            objects.append(LabelledObject(shape.attrib["label"], box, where))
    size = int(element.attrib["width"]), int(element.attrib["height"])
    return LabelledImage(tree.path(path), objects, SPLITS.get(subset) or split_of_image(path), size)


def _box(shape, counts):
    """The box of a shape; None for one that is left out."""
    if shape.tag == "box":
        x1, y1, x2, y2 = (float(shape.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
        degrees = float(shape.get("rotation", 0))
        if not degrees:
            return x1, y1, x2, y2
        counts.add("rotated boxes became the upright boxes around them")
        return box_of_rotated(x1, y1, x2 - x1, y2 - y1, degrees, ((x1 + x2) / 2, (y1 + y2) / 2))
    if shape.tag == "polygon":
        counts.add("polygons became the boxes around them")
        return box_of_points([tuple(map(float, pair.split(","))) for pair in shape.attrib["points"].split(";")])
    if shape.tag == "ellipse":
        counts.add("ellipses became the boxes around them")
        cx, cy, rx, ry = (float(shape.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        return cx - rx, cy - ry, cx + rx, cy + ry
    counts.add(f"<{shape.tag}> elements are left out")
    return None
