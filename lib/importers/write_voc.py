"""Writes images with objects as a folder in the VOC layout."""
import itertools
import json
import os
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter

from datasets.voc_layout import IMAGE_EXTENSIONS
from utils.errors import UserError
from utils.whole_file import whole_file

from importers.labelled import LabelledImage

RECORD = "import.json"


def write_voc(out: str, images: list[LabelledImage], sets: list[str], classes: tuple[str, ...], record: dict,
              copy: bool = False) -> None:
    """Write `images` to the folder `out`, which must not exist or be empty.

    sets: "trainval" or "test" for each image.  record: what import.json holds.  copy: copy the images, otherwise link
    to them.  The folder appears when it is complete.
    """
    require_free(out)
    part = f"{out.rstrip(os.sep)}.part"
    shutil.rmtree(part, ignore_errors=True)
    for folder in ("JPEGImages", "Annotations", os.path.join("ImageSets", "Main")):
        os.makedirs(os.path.join(part, folder))
    names = unique_names([image.path for image in images])
    for image, name in zip(images, names):
        _place_image(image.path, os.path.join(part, "JPEGImages", name), copy)
        _write_annotation(image, name, os.path.join(part, "Annotations", name + ".xml"), copy)
    for set_name in ("trainval", "test"):
        _write_lines(os.path.join(part, "ImageSets", "Main", set_name + ".txt"),
                     [name for name, of_image in zip(names, sets) if of_image == set_name])
    _write_lines(os.path.join(part, "classes.txt"), classes)
    with whole_file(os.path.join(part, RECORD), "w") as f:
        sources = {name: image.path for image, name in zip(images, names)}
        json.dump(dict(record, images=sources), f, indent=1, ensure_ascii=False)
    if os.path.isdir(out):
        os.rmdir(out)
    os.rename(part, out)


def require_free(out: str) -> None:
    """UserError if `out` exists and is not an empty folder."""
    if os.path.exists(out) and not (os.path.isdir(out) and not os.listdir(out)):
        raise UserError(f"--out {out} exists and is not empty; name another folder, or remove it")


def unique_names(paths: list[str]) -> list[str]:
    """The names of the images in the data set: the stems of their files, or, where two files have the same stem, their
    paths below the common folder of all images with "_" for "/"."""
    stems = [os.path.splitext(os.path.basename(path))[0] for path in paths]
    counts = Counter(stems)
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    names: list[str] = []
    taken = {stem for stem, count in counts.items() if count == 1}
    for path, stem in zip(paths, stems):
        name = stem if counts[stem] == 1 else _free_name(os.path.relpath(path, common).replace(os.sep, "_"), taken)
        taken.add(name)
        names.append(name)
    return names


def _free_name(file, taken):
    """The stem of a file name, with its extension or a number if the stem is taken."""
    stem, extension = os.path.splitext(file)
    numbered = (f"{stem}_{number}" for number in itertools.count(2))
    candidates = itertools.chain((stem, stem + extension.replace(".", "_")), numbered)
    return next(name for name in candidates if name not in taken)


def _place_image(path, stem, copy):
    """Link or copy an image.  cv2 recognises it by its bytes; its extension is one that the data set looks for."""
    extension = os.path.splitext(path)[1]
    _place(path, stem + (extension if extension in IMAGE_EXTENSIONS else ".png"), copy)


def _place(source, target, copy):
    if copy:
        shutil.copyfile(source, target)
    else:
        os.symlink(os.path.realpath(source), target)


def _write_annotation(image, name, path, copy):
    if image.xml:
        _place(image.xml, path, copy)
        return
    with whole_file(path, "w") as f:
        f.write(annotation_xml(image))


def annotation_xml(image: LabelledImage) -> str:
    """The text of an annotation in VOC's format; image.size must be known."""
    assert image.size is not None, image.path
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = os.path.basename(image.path)
    size = ElementTree.SubElement(root, "size")
    for tag, number in zip(("width", "height", "depth"), (*image.size, 3)):
        ElementTree.SubElement(size, tag).text = str(number)
    for obj in image.objects:
        _add_object(root, obj)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_object(root, obj):
    """Edges of a box as VOC's numbers: counted from 1, the last pixel inside."""
    element = ElementTree.SubElement(root, "object")
    ElementTree.SubElement(element, "name").text = obj.label
    ElementTree.SubElement(element, "difficult").text = str(int(obj.is_difficult))
    box = ElementTree.SubElement(element, "bndbox")
    x1, y1, x2, y2 = obj.box
    numbers = (x1 + 1, y1 + 1, max(x2, x1 + 1), max(y2, y1 + 1))
    for tag, number in zip(("xmin", "ymin", "xmax", "ymax"), numbers):
        ElementTree.SubElement(box, tag).text = f"{round(number, 2):g}" if number < 1e5 else repr(round(number, 2))


def _write_lines(path, lines):
    with whole_file(path, "w") as f:
        f.write("".join(f"{line}\n" for line in lines))
