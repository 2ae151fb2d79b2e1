"""Annotation files of the VOC layout: one reader for training and for evaluation."""
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np
from utils.errors import UserError

from datasets.box_checks import bad_boxes, look_like_fractions
from datasets.drawn_boxes import Placement, find_placement
from datasets.flags import flag_problem, is_unknown_word, read_flag
from datasets.text_files import read_xml

FLAGS = ("difficult", "truncated", "occluded")


@dataclass(frozen=True)
class Annotation:
    objects: list           # of parse_rec
    size: tuple             # (width, height) of the picture it was made for, None for a number that is missing
    flag_problems: list     # a line for each flag that is a number other than 0 and 1
    unknown_words: list     # (tag, text) of each flag that is neither a number nor yes or no


NO_ANNOTATION = Annotation([], (None, None), [], [])


def parse_rec(filename):
    """Objects of one annotation file, in file order: dicts with name, pose, truncated, difficult, bbox.

    name: lower case, stripped; bbox: [xmin ymin xmax ymax] as written (1-based, fractions
    kept), nan where a number is missing or unreadable; pose, truncated and difficult may be missing (then they are
    "Unspecified", 0, 0).
    """
    annotation = read_annotation(filename)
    for problem in annotation.flag_problems:
        raise UserError(problem)
    return [{key: value for key, value in obj.items() if key != "label"} for obj in annotation.objects]


def read_annotation(filename: str) -> Annotation:
    """An annotation file whose flags may be wrong; UserError where it cannot be read at all.

    Its objects are those of parse_rec, with the class name as it is spelled under "label".
    """
    root = _read_root(filename)
    elements = _object_elements(root, filename)
    objects = [_parse_object(element) for element in elements]
    flags = [(f"object {number} ({obj['name']})", tag, text)
             for number, (element, obj) in enumerate(zip(elements, objects), start=1) for tag in FLAGS
             if (text := element.findtext(tag)) not in (None, "0", "1")]
    problems = [flag_problem(f"annotation {filename}, {which}", tag, text)
                for which, tag, text in flags if read_flag(text) is None]
    words = [(tag, text.strip()) for _, tag, text in flags if is_unknown_word(text)]
    return Annotation(objects, (_size_number(root, "width"), _size_number(root, "height")), problems, words)


def placement_of(annotation: Annotation, geometry) -> Placement:
    """Where the boxes of an annotation are in its image, whose file has that geometry."""
    return find_placement(geometry, annotation.size, len(annotation.objects) > 0)


def object_problems(filename, objects, placement, class_to_ind):
    """One line for boxes that cannot be placed, and for every object of parse_rec with an unknown class or a box that
    is not inside its image.

    placement: of placement_of.
    """
    problems = [f"annotation {filename}: {placement.problem}"] if placement.problem else []
    known = ", ".join(name for name, ind in class_to_ind.items() if ind > 0)
    box_problems = _box_problems([obj["bbox"] for obj in objects], *placement.drawn_size)
    for number, (obj, box_problem) in enumerate(zip(objects, box_problems), start=1):
        where = "annotation %s, object %d" % (filename, number)
        if class_to_ind.get(obj["name"], 0) == 0:
            problems.append("%s: unknown class '%s'; known classes: %s" % (where, obj["name"], known))
        if box_problem:
            numbers = " ".join("%g" % x for x in obj["bbox"])
            problems.append(f"{where} ({obj['name']}): box xmin ymin xmax ymax = {numbers} {box_problem}")
    return problems


def _box_problems(boxes, width, height):
    """For each [xmin ymin xmax ymax], 1-based, what is wrong with it, and what to do; '' for nothing."""
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    bad = bad_boxes(boxes - 1, width, height)
    whole = (boxes == [0, 0, 1, 1]).all(axis=1)         # of pixels it would begin outside the image
    fractions = look_like_fractions(boxes) | whole
    if not (bad | fractions).any():
        return [""] * len(boxes)
    problems = np.where(bad, "is inverted, not a number or outside the image of %d x %d pixels; correct or remove it"
                        % (width, height), "")
    return np.where(fractions, "looks like fractions of the image; expected pixels, counted from 1; multiply xmin and "
                    "xmax by %d, ymin and ymax by %d" % (width, height), problems).tolist()


def _read_root(filename):
    """The element <annotation> of a file, its tags without XML namespaces."""
    text = read_xml(filename)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as e:
        raise UserError(f"annotation {filename} is not valid XML: {e}") from None
    if "xmlns" in text:
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    if root.tag != "annotation":
        raise UserError(f"annotation {filename}: its root element is <{root.tag}>, expected <annotation>, as in PASCAL "
                        "VOC; export it in that format")
    return root


def _object_elements(root, filename):
    """The elements <object> of an annotation; UserError where they all lie in another element."""
    elements = root.findall("object")
    if elements:
        return elements
    around = next((element for element in root.iter() if element.find("object") is not None), None)
    if around is not None:
        raise UserError(f"annotation {filename}: its <object> elements lie in <{around.tag}>, expected in <annotation> "
                        "itself, as in PASCAL VOC; export it in that format")
    return []


def _parse_object(element):
    box = element.find("bndbox")
    label = element.findtext("name", "").strip()
    return {"name": label.lower(), "label": label,
            "pose": element.findtext("pose", "Unspecified"),
            "truncated": read_flag(element.findtext("truncated")),
            "difficult": read_flag(element.findtext("difficult")),
            "bbox": [_number(box, tag) for tag in ("xmin", "ymin", "xmax", "ymax")]}


def _size_number(root, tag):
    """A number in <size>; None if it is missing, the text if it is not a number."""
    text = root.findtext("size/" + tag, "").strip()
    try:
        number = float(text)
    except ValueError:
        return text or None
    return int(number) if number.is_integer() else number


def _number(box, tag):
    try:
        return float(box.findtext(tag))
    except (AttributeError, TypeError, ValueError):      # no bndbox, no tag, no number
        return float("nan")
