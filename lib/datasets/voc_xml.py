"""Annotation files of the VOC layout: one reader for training and for evaluation."""
import os
import xml.etree.ElementTree as ElementTree

import numpy as np
from utils.errors import UserError

from datasets.ds_utils import bad_boxes


def parse_rec(filename):
    """Objects of one annotation file, in file order: dicts with name, pose, truncated, difficult, bbox.

    name: lower case, stripped; bbox: [xmin ymin xmax ymax] as written (1-based, fractions kept), nan where a number is
    missing or unreadable; pose, truncated and difficult may be missing ('Unspecified', 0, 0).
    """
    if not os.path.exists(filename):
        raise UserError("annotation %s does not exist; add it or take its image out of the image set" % filename)
    try:
        root = ElementTree.parse(filename).getroot()
    except ElementTree.ParseError as e:
        raise UserError("annotation %s is not valid XML: %s" % (filename, e)) from None
    return [_parse_object(element) for element in root.findall("object")]


def object_problems(filename, objects, width, height, class_to_ind):
    """One line for every object of parse_rec with an unknown class or a box that is not inside its image."""
    problems = []
    known = ", ".join(name for name, ind in class_to_ind.items() if ind > 0)
    for number, obj in enumerate(objects, start=1):
        where = "annotation %s, object %d" % (filename, number)
        if class_to_ind.get(obj["name"], 0) == 0:
            problems.append("%s: unknown class '%s'; known classes: %s" % (where, obj["name"], known))
        if bad_boxes(np.array([obj["bbox"]]) - 1, width, height)[0]:
            problems.append("%s (%s): box xmin ymin xmax ymax = %s is inverted, not a number or outside the image of "
                            "%d x %d pixels; correct or remove it"
                            % (where, obj["name"], " ".join("%g" % x for x in obj["bbox"]), width, height))
    return problems


def _parse_object(element):
    box = element.find("bndbox")
    return {"name": element.findtext("name", "").lower().strip(),
            "pose": element.findtext("pose", "Unspecified"),
            "truncated": _flag(element, "truncated"),
            "difficult": _flag(element, "difficult"),
            "bbox": [_number(box, tag) for tag in ("xmin", "ymin", "xmax", "ymax")]}


def _flag(element, tag):
    return int(element.findtext(tag, "0").strip() not in ("", "0"))


def _number(box, tag):
    try:
        return float(box.findtext(tag))
    except (AttributeError, TypeError, ValueError):      # no bndbox, no tag, no number
        return float("nan")
