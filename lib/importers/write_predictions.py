"""Writes detections in the formats of labelling tools, so that they are corrected there instead of drawn from nothing.

Boxes are edges in pixels, as those of importers.labelled; the formats' own numbers follow from them.
"""
import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from utils.errors import UserError
from utils.whole_file import whole_file

from importers.labelled import LabelledImage
from importers.write_voc import annotation_xml

LABELME_VERSION = "5.4.1"       # of the layout of its files
CSV_COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "score")


@dataclass
class PredictedImage:
    """name: of the image file, relative to the folder of images, with "/".  labelled: the image, its size and objects.

    scores: one for each object.
    """
    name: str
    labelled: LabelledImage
    scores: list[float]


def target_files(form: str, names: Sequence[str]) -> list[str]:
    """The files, relative to the output folder, that write_predictions(form) writes for images called `names`.

    Raises UserError if two images would have the same file.
    """
    if form == "json":
        return ["predictions.json"]
    if form == "csv":
        return ["predictions.csv"]
    files: dict[str, str] = {}
    for name in names:
        file = os.path.splitext(name)[0] + {"voc": ".xml", "yolo": ".txt", "labelme": ".json"}[form]
        if file in files:
            raise UserError(f"images {files[file]} and {name} would have the same file {file}; rename one of them")
        files[file] = name
    return [*files, "classes.txt"] if form == "yolo" else list(files)


def write_predictions(form: str, out: str, images: Sequence[PredictedImage], classes: Sequence[str]) -> None:
    """Write the files of target_files into the folder `out`.

    form: a key of FORMS.  classes: without the background, in the order of the net.
    """
    texts = FORMS[form](out, images, list(classes))
    for file, text in zip(target_files(form, [image.name for image in images]), texts):
        path = os.path.join(out, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with whole_file(path, "w") as f:
            f.write(text)


def _coco(out, images, classes):
    """[x y width height]; every annotation has a score."""
    tree: dict = {"images": [], "annotations": [],
                  "categories": [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]}
    for number, image in enumerate(images, start=1):
        width, height = image.labelled.size
        tree["images"].append({"id": number, "file_name": image.name, "width": width, "height": height})
        for obj, score in zip(image.labelled.objects, image.scores):
            x1, y1, x2, y2 = _rounded(obj.box)
            bbox = _rounded((x1, y1, x2 - x1, y2 - y1))
            tree["annotations"].append({"id": len(tree["annotations"]) + 1, "image_id": number,
                                        "category_id": classes.index(obj.label) + 1, "bbox": bbox,
                                        "area": round(bbox[2] * bbox[3], 2), "iscrowd": 0, "score": score})
    return [json.dumps(tree, indent=1, ensure_ascii=False)]


def _csv(out, images, classes):
    """Numbers of PASCAL VOC, and the score."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for image in images:
        for obj, score in zip(image.labelled.objects, image.scores):
            x1, y1, x2, y2 = obj.box
            box = _rounded((x1 + 1, y1 + 1, x2, y2))
            writer.writerow([image.name, *image.labelled.size, obj.label, *box, f"{score:.6f}"])
    return [text.getvalue()]


def _voc(out, images, classes):
    return [annotation_xml(image.labelled) for image in images]


def _yolo(out, images, classes):
    """Lines without scores, as labelling tools read them; and classes.txt."""
    return [*("".join(_yolo_lines(image, classes)) for image in images), "".join(f"{name}\n" for name in classes)]


def _yolo_lines(image, classes):
    width, height = image.labelled.size
    for obj in image.labelled.objects:
        x1, y1, x2, y2 = obj.box
        numbers = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        yield f"{classes.index(obj.label)} {' '.join(f'{number:.6f}' for number in numbers)}\n"


def _labelme(out, images, classes):
    """A rectangle for each box; the score is its description."""
    texts = []
    for image in images:
        width, height = image.labelled.size
        folder = os.path.dirname(os.path.abspath(os.path.join(out, image.name)))
        shapes = []
        for obj, score in zip(image.labelled.objects, image.scores):
            x1, y1, x2, y2 = _rounded(obj.box)
            shapes.append({"label": obj.label, "points": [[x1, y1], [x2, y2]], "group_id": None,
                           "description": f"score {score:.3f}", "shape_type": "rectangle", "flags": {}})
        texts.append(json.dumps({"version": LABELME_VERSION, "flags": {}, "shapes": shapes,
                                 "imagePath": os.path.relpath(image.labelled.path, folder), "imageData": None,
                                 "imageHeight": height, "imageWidth": width}, indent=2, ensure_ascii=False))
    return texts


def _rounded(numbers):
    return [round(float(number), 2) for number in numbers]


FORMS = {"json": _coco, "csv": _csv, "voc": _voc, "yolo": _yolo, "labelme": _labelme}
