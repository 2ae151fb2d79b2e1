"""PASCAL VOC: XML files, with or without ImageSets/Main, in Annotations/ or next to their images."""
import os
from collections import Counter

from datasets.text_files import read_lines
from datasets.voc_xml import read_annotation
from utils.errors import UserError

from importers.labelled import Export, LabelledImage, LabelledObject
from importers.tree import Tree, split_of_image

NAMES = "PASCAL VOC"
MAIN = "ImageSets/Main/"
SPLIT_SETS = ("train", "val", "test")


def read(tree: Tree, files: list[str]) -> Export:
    """Read the VOC annotations `files` of a tree; an image without an annotation has no objects."""
    export = Export(NAMES)
    splits = _sets(tree, export)
    used = set()
    listed = [file for file in files if not splits or _stem(file) in splits]
    if len(listed) < len(files):
        export.remarks.append(f"{len(files) - len(listed)} annotations are in no set of {MAIN} and are left out")
    for file in listed:
        try:
            image = _image_of(tree, file)
            export.images.append(_read_one(tree, file, image, splits))
            used.add(image)
        except UserError as e:
            export.problems.append(str(e))
    _tell_rest(tree, used, export)
    return export


def _read_one(tree, file, image, splits):
    annotation = read_annotation(tree.path(file))
    for problem in annotation.flag_problems:
        raise UserError(problem)
    objects = []
    for number, obj in enumerate(annotation.objects, start=1):
        x1, y1, x2, y2 = obj["bbox"]
        objects.append(LabelledObject(obj["label"], (x1 - 1, y1 - 1, x2, y2), f"{file}, object {number}",
                                      bool(obj["difficult"])))
    split = splits[_stem(file)] if splits else split_of_image(file)
    size = annotation.size if all(isinstance(number, int) and number > 0 for number in annotation.size) else None
    return LabelledImage(tree.path(image), objects, split, size, xml=tree.path(file))


def _stem(file):
    return os.path.splitext(os.path.basename(file))[0]


def _image_of(tree, file):
    """The image of an annotation: of the same stem next to it or in JPEGImages or images."""
    stem = os.path.splitext(file)[0]
    folder, name = os.path.split(stem)
    parent = os.path.dirname(folder)
    for place in (stem, *(os.path.join(parent, sub, name) for sub in ("JPEGImages", "images", "Images", "imgs"))):
        image = tree.image_of_stem(place)
        if image:
            return image
    found = [image for image in tree.images if os.path.splitext(os.path.basename(image))[0] == name]
    if len(found) == 1:
        return found[0]
    raise UserError(f"{file}: {len(found)} images are called {name}, expected one; put it next to the annotation or "
                    "into JPEGImages")


def _sets(tree, export):
    """{name: split} of ImageSets/Main; {} where there is none."""
    lists = {s: file for file in tree.files for s in (*SPLIT_SETS, "trainval") if file.endswith(MAIN + s + ".txt")}
    splits = {}
    for name in ("trainval", *SPLIT_SETS):        # train and val divide trainval where both are there
        for line in read_lines(tree.path(lists[name])) if name in lists else []:
            splits[line] = "train" if name == "trainval" else name
    if splits:
        export.remarks.append(f"splits are those of {MAIN}: " + ", ".join(
            f"{split} {count}" for split, count in sorted(Counter(splits.values()).items())))
    return splits


def _tell_rest(tree, used, export):
    rest = [image for image in tree.images if image not in used]
    if rest:
        export.remarks.append(f"{len(rest)} images have no annotation that is read and are left out, the first is "
                              f"{rest[0]}; an annotation without objects keeps an image as background")
