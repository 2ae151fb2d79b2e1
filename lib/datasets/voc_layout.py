"""Where the parts of a VOC-like data set lie: the official devkits, and any folder in their layout."""
import os
from dataclasses import dataclass

from fast_rcnn.config import cfg
from utils.errors import UserError

from datasets.text_files import is_printed_text, read_lines
from datasets.voc_xml import read_annotation

VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
               "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
HAVE_TEST_ANNOTATIONS = ("2007",)      # the later years keep theirs on the evaluation server
LAST_YEAR_OF_11_POINTS = 2009          # from 2010 on AP is the area under the curve


@dataclass(frozen=True)
class VocLayout:
    name: str             # of the imdb
    folder: str           # below results/
    data_path: str        # holds JPEGImages, Annotations, ImageSets/Main
    classes: tuple        # without background
    proposals: str        # selective-search file, without its extension
    annotated: bool
    use_07_metric: bool


def devkit_layout(image_set, year, devkit_path=None):
    """VOC<year> inside devkit_path, by default data/VOCdevkit<year>."""
    devkit_path = devkit_path or os.path.join(cfg.DATA_DIR, "VOCdevkit" + year)
    folder, name = "VOC" + year, "voc_%s_%s" % (year, image_set)
    return VocLayout(name=name, folder=folder, data_path=_existing(os.path.join(devkit_path, folder), name),
                     classes=VOC_CLASSES,
                     proposals=os.path.join(cfg.DATA_DIR, "selective_search_data", name),
                     annotated=image_set != "test" or year in HAVE_TEST_ANNOTATIONS,
                     use_07_metric=int(year) <= LAST_YEAR_OF_11_POINTS)


def folder_layout(image_set, path):
    """Any folder with JPEGImages, Annotations and ImageSets/Main; classes from classes.txt or the annotations."""
    path = os.path.abspath(os.path.expanduser(path))
    folder = os.path.basename(path)
    name = folder_name(path, image_set)
    _existing(path, name)
    return VocLayout(name=name, folder=folder, data_path=path, classes=_own_classes(path),
                     proposals=os.path.join(path, "selective_search_data", name),
                     annotated=True, use_07_metric=False)


def folder_name(path: str, image_set: str) -> str:
    """The name of an imdb of folder_layout: data/mine is mine_<image_set>."""
    path = os.path.abspath(os.path.expanduser(path))
    return f"{os.path.basename(path)}_{image_set}"


def image_set_file(layout, image_set):
    """Path of an image set."""
    return os.path.join(layout.data_path, "ImageSets", "Main", image_set + ".txt")


def read_image_set(layout, image_set):
    """Image names of ImageSets/Main/<image_set>.txt, one a line."""
    path = image_set_file(layout, image_set)
    sets = os.path.dirname(path)
    if not os.path.exists(path):
        there = sorted(f[:-len(".txt")] for f in os.listdir(sets) if f.endswith(".txt")) if os.path.isdir(sets) else []
        raise UserError("%s: no image set '%s': %s does not exist; sets there: %s"
                        % (layout.name, image_set, path, ", ".join(there) or "none"))
    names = read_lines(path)
    if not names:
        raise UserError("%s: image set %s is empty; write one image name a line" % (layout.name, path))
    return names


def _existing(path, name):
    if not os.path.isdir(path):
        raise UserError("%s: folder %s does not exist; it must hold JPEGImages, Annotations and ImageSets/Main: "
                        "download or link the data set there, see data/README.md" % (name, path))
    return path


def _own_classes(path):
    """Lines of classes.txt as written, otherwise the (lower-case) names in all annotations, sorted."""
    listed = os.path.join(path, "classes.txt")
    if os.path.exists(listed):
        return checked_classes([name for name in read_lines(listed) if name != "__background__"], listed)
    annotations = os.path.join(path, "Annotations")
    files = sorted(f for f in os.listdir(annotations) if f.endswith(".xml")) if os.path.isdir(annotations) else []
    names = {obj["name"] for f in files for obj in read_annotation(os.path.join(annotations, f)).objects}
    return checked_classes(sorted(names - {""}), annotations)


def read_classes(path):
    """Names in a file, one per line, in the order of a net's scores; the background may be first.

    They are returned without the background's.
    """
    names = read_lines(path)
    if "__background__" in names[1:]:
        raise UserError(f"{path}: __background__ comes after other names; a net's scores begin with "
                        "it, so put it first or leave it out")
    return checked_classes(names[1:] if names[:1] == ["__background__"] else names, path)


def checked_classes(names, source):
    """names as a tuple; UserError where there is none, two are alike, or one cannot name a file."""
    folded = [name.lower() for name in names]
    if not names:
        raise UserError("%s names no class; a folder in the VOC layout may list its classes, one a line, in classes.txt"
                        % source)
    for name in names:
        if "/" in name or not is_printed_text(name) or name.lower() == "__background__":
            raise UserError(f"{source}: class name {name!r}: expected text without '/' and control characters, other "
                            "than __background__; rename it")
    if len(set(folded)) != len(folded):
        raise UserError("%s: class names must differ, ignoring case; got: %s" % (source, ", ".join(names)))
    return tuple(names)
