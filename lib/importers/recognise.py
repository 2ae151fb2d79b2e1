"""Finds out which labelling tool a folder comes from."""
import os
import xml.etree.ElementTree as ElementTree

from datasets.text_files import load_json, read_xml
from utils.errors import UserError

from importers import coco, cvat, label_studio, labelme, tables, voc, yolo
from importers.labelled import Export
from importers.tree import Tree

FORMATS = ("voc", "yolo", "coco", "cvat", "labelme", "labelstudio", "csv", "openimages")
JSON_FORMATS = {"coco": coco, "labelme": labelme, "labelstudio": label_studio}


def read_export(folder: str, wanted: str | None = None) -> Export:
    """Read an export in any of FORMATS.

    wanted: the format to read, where a folder holds several.  Raises UserError if no format or several fit, or if the
    folder has no images.
    """
    tree = Tree(folder)
    if not tree.images:
        raise UserError(f"{folder}: no image (.jpg, .png, .bmp, .webp, .tif) in the folder; name the unpacked export, "
                        "with its images")
    found = _found(tree)
    if wanted is not None:
        found = {name: reader for name, reader in found.items() if name == wanted}
    if len(found) == 1:
        return next(iter(found.values()))()
    if found:
        raise UserError(f"{folder} holds annotations in several formats: {', '.join(found)}; say which with --format")
    raise UserError(f"{folder}: no annotations {'in the format ' + wanted if wanted else 'in a known format'} for its "
                    f"{len(tree.images)} images; known are PASCAL VOC, YOLO, COCO, CVAT for images, LabelMe, Label "
                    "Studio, CSV of TensorFlow and Open Images")


def _found(tree):
    """{format: function that reads it} of all formats in a tree."""
    return {**_found_xml(tree), **_found_text(tree), **_found_json(tree), **_found_tables(tree)}


def _found_xml(tree):
    by_root: dict[str, list[str]] = {"annotation": [], "annotations": []}
    for file in tree.with_extension(".xml"):
        root = _root_of(tree, file)
        if root in by_root:
            by_root[root].append(file)
    found = {}
    if by_root["annotation"]:
        found["voc"] = lambda: voc.read(tree, by_root["annotation"])
    if by_root["annotations"]:
        found["cvat"] = lambda: cvat.read(tree, by_root["annotations"])
    return found


def _root_of(tree, file):
    """The root element of an XML file; "annotation" for one that cannot be read, which its reader names."""
    try:
        parser = ElementTree.XMLPullParser(events=["start"])
        parser.feed(read_xml(tree.path(file))[:10000])
        return next(element.tag.rpartition("}")[2] for _, element in parser.read_events())
    except (UserError, ElementTree.ParseError, StopIteration):
        return "annotation"


def _found_text(tree):
    files = [file for file in tree.with_extension(".txt")
             if os.path.basename(file) not in yolo.LISTS and yolo.is_label_file(tree, file)]
    return {"yolo": lambda: yolo.read(tree, files)} if files else {}


def _found_json(tree):
    contents: dict[str, dict] = {name: {} for name in JSON_FORMATS}
    for file in tree.with_extension(".json"):
        try:
            content = load_json(tree.path(file))
        except (OSError, ValueError, RecursionError) as e:
            raise UserError(f"{tree.path(file)} cannot be read as JSON ({' '.join(str(e).split())[:120]}); correct or "
                            "remove it") from None
        for name, reader in JSON_FORMATS.items():
            if reader.fits(content):
                contents[name][file] = content
                break
    return {name: (lambda name=name: JSON_FORMATS[name].read(tree, contents[name]))
            for name in JSON_FORMATS if contents[name]}


def _found_tables(tree):
    kinds = {"csv": (tables.TENSORFLOW_COLUMNS, tables.read_tensorflow),
             "openimages": (tables.OPEN_IMAGES_COLUMNS, tables.read_open_images)}
    names = {file: tables.columns(tree, file) for file in tree.with_extension(".csv")}
    found = {}
    for kind, (needed, read) in kinds.items():
        files = [file for file, given in names.items() if needed <= given]
        if files:
            found[kind] = lambda read=read, files=files: read(tree, files)
    return found
