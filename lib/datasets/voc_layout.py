"""Where the parts of a VOC-like data set lie: the official devkits, and any folder in their layout."""
import os
from collections import Counter

from utils.errors import UserError

from datasets.text_files import is_printed_text, read_lines
from datasets.voc_xml import read_annotation

VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
               "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG")
SETS = {"voc_%s_%s" % (year, split): (split, year)
        for year in ("2007", "2010", "2012") for split in ("train", "val", "trainval", "test")}
# Years whose annotations of `test` are on the evaluation server alone.
HIDDEN_TESTS = ("2008", "2009", "2010", "2011", "2012")
LAST_YEAR_OF_11_POINTS = 2009          # from 2010 on AP is the area under the curve


def folder_name(path: str, image_set: str) -> str:
    """The name of an imdb of a user's own folder: data/mine is mine_<image_set>."""
    path = os.path.abspath(os.path.expanduser(path))
    return f"{os.path.basename(path)}_{image_set}"


def has_annotations(year, image_set):
    """Whether those of a set are public; year: None for a user's own folder."""
    return image_set != "test" or year not in HIDDEN_TESTS


def is_11_points(year):
    """Whether AP is the mean at 11 recalls, as it was up to 2009; year: text, None for a user's own folder."""
    return year is not None and year.isdecimal() and int(year) <= LAST_YEAR_OF_11_POINTS


def image_set_file(data_path, image_set):
    """Path of an image set."""
    return os.path.join(data_path, "ImageSets", "Main", image_set + ".txt")


def read_image_set(name, data_path, image_set):
    """Image names of ImageSets/Main/<image_set>.txt of the imdb called `name`, one a line."""
    path = image_set_file(data_path, image_set)
    sets = os.path.dirname(path)
    if not os.path.exists(path):
        there = sorted(f[:-len(".txt")] for f in os.listdir(sets) if f.endswith(".txt")) if os.path.isdir(sets) else []
        raise UserError("%s: no image set '%s': %s does not exist; sets there: %s"
                        % (name, image_set, path, ", ".join(there) or "none"))
    names = read_lines(path)
    if not names:
        raise UserError("%s: image set %s is empty; write one image name a line" % (name, path))
    return names


def require_folder(path, name):
    """`path`, where the data of the imdb called `name` lie; UserError if there is no such folder."""
    if not os.path.isdir(path):
        raise UserError("%s: folder %s does not exist; it must hold JPEGImages, Annotations and ImageSets/Main: "
                        "download or link the data set there, see data/README.md" % (name, path))
    return path


def own_classes(path):
    """The classes of a folder without the background: the lines of classes.txt as written, otherwise the names in all
    annotations, sorted.  Names that differ in case alone are one class, spelled as it is most often."""
    listed = os.path.join(path, "classes.txt")
    if os.path.exists(listed):
        return checked_classes([name for name in read_lines(listed) if name != "__background__"], listed)
    annotations = os.path.join(path, "Annotations")
    files = sorted(f for f in os.listdir(annotations) if f.endswith(".xml")) if os.path.isdir(annotations) else []
    counts = Counter(obj["label"] for f in files for obj in read_annotation(os.path.join(annotations, f)).objects)
    return checked_classes(list(most_frequent_spelling(counts).values()), annotations)


def most_frequent_spelling(counts):
    """{name in lower case: the spelling that is most frequent}, sorted; counts: {name: how often}.

    Blank names are left out.
    """
    spelling = {}
    for name in sorted(filter(None, counts), key=lambda name: (name.lower(), -counts[name], name)):
        spelling.setdefault(name.lower(), name)
    return spelling


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
