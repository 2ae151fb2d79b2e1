"""Checks the boxes of an export against its images, and settles the spelling and order of its classes."""
import math
from collections import Counter
from dataclasses import dataclass, field, replace

from datasets.image_files import image_geometry, require_whole
from datasets.voc_layout import checked_classes, most_frequent_spelling
from utils.errors import UserError
from utils.progress import progress

from importers.labelled import Export, LabelledImage, LabelledObject


@dataclass
class Cleaned:
    """What of an export is imported.  bad: lines on objects and images that are wrong; clipped: lines on boxes that
    reached out of their image."""
    images: list[LabelledImage] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    bad: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)


def clean(export: Export) -> Cleaned:
    """Check every image and object of an export, and clip boxes to their images.

    Boxes that are not finite, inverted, below a tenth of a pixel or fully outside are bad, and so are images that
    cannot be read.  Objects get the spelling of `classes`: that of the export's list, otherwise the most frequent one.
    """
    cleaned = Cleaned(bad=list(export.problems))
    spelling = _spelling(export)
    cleaned.classes = checked_classes(list(spelling.values()), export.what)
    for image in progress(export.images, "check", len(export.images), "images"):
        try:
            require_whole(image.path)
            size = image.size or image_geometry(image.path).size
        except UserError as e:
            cleaned.bad.append(str(e))
            continue
        objects = [_clean_object(obj, size, spelling, cleaned) for obj in image.objects]
        kept = [obj for obj in objects if obj is not None]
        as_read = [obj.box for obj in kept] == [obj.box for obj in image.objects]
        cleaned.images.append(replace(image, size=size, objects=kept, xml=image.xml if as_read else ""))
    return cleaned


def _spelling(export):
    """{name in lower case: name} of all classes, in their order."""
    counts = Counter(obj.label.strip() for image in export.images for obj in image.objects)
    listed = [name.strip() for name in export.classes]
    spelling = {}
    for name in listed:
        spelling.setdefault(name.lower(), name)
    for key, name in most_frequent_spelling(counts).items():
        spelling.setdefault(key, name)
    return spelling


def _clean_object(obj, size, spelling, cleaned) -> LabelledObject | None:
    problem = _box_problem(obj.box, size)
    if problem:
        numbers = " ".join(f"{number:g}" for number in obj.box)
        cleaned.bad.append(f"{obj.where} ({obj.label}): box x1 y1 x2 y2 = {numbers} {problem}")
        return None
    width, height = size
    x1, y1, x2, y2 = obj.box
    box = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    if max(abs(a - b) for a, b in zip(box, obj.box)) > 1:
        cleaned.clipped.append(f"{obj.where} ({obj.label}): reached out of its image of {width} x {height} pixels "
                               "and was clipped")
    return replace(obj, label=spelling[obj.label.strip().lower()], box=box)


def _box_problem(box, size):
    if not all(map(math.isfinite, box)):
        return "is missing or not a number; correct or remove it"
    x1, y1, x2, y2 = box
    if x2 - x1 < 0.1 or y2 - y1 < 0.1:
        return "is inverted or empty; correct or remove it"
    if x1 >= size[0] or y1 >= size[1] or x2 <= 0 or y2 <= 0:
        return f"is outside its image of {size[0]} x {size[1]} pixels; correct or remove it"
    return ""
