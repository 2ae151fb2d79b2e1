"""Copies of annotations with a note at each suspect; the originals stay as they are."""
import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from utils.errors import UserError
from utils.whole_file import whole_file

from label_errors.page import describe
from label_errors.suspects import Suspect


def write_notes(folder: str, suspects: Sequence[Suspect], imdb) -> int:
    """Write the annotations that have suspects to `folder` with their notes; returns the number of files.

    VOC: an <object> gets a <suspect> element with words; an object that is missing becomes a <suspect> of the
    annotation, with <name>, <bndbox> (1-based pixels) and words in <note>, which readers of objects pass over.
    COCO: one JSON; an annotation gets "suspect", and what is missing stands in the list "suspects".
    """
    os.makedirs(folder, exist_ok=True)
    if hasattr(imdb, "_annotation_file"):
        return _write_voc(folder, suspects, imdb)
    if hasattr(imdb, "_dataset"):
        return _write_coco(folder, suspects, imdb)
    raise UserError(f"--write: the annotations of {imdb.name} are neither VOC's XML nor COCO's JSON; leave it out, and "
                    "take suspects.csv")


def _write_voc(folder, suspects, imdb):
    images = sorted({suspect.image for suspect in suspects})
    for image in images:
        path = imdb._annotation_file(imdb.image_index[image])
        tree = ET.parse(path)
        for suspect in (suspect for suspect in suspects if suspect.image == image):
            _note_voc(tree.getroot(), suspect, imdb.classes)
        with whole_file(os.path.join(folder, os.path.basename(path))) as f:
            tree.write(f, encoding="utf-8")
    return len(images)


def _note_voc(root, suspect, classes):
    corners = [value + 1 for value in suspect.box]
    names = ("xmin", "ymin", "xmax", "ymax")
    if suspect.kind == "missing":
        note = ET.SubElement(root, "suspect")
        ET.SubElement(note, "name").text = classes[suspect.suggested]
        box = ET.SubElement(note, "bndbox")
        for name, value in zip(names, corners):
            ET.SubElement(box, name).text = f"{value:g}"
        ET.SubElement(note, "note").text = describe(suspect, classes)
        return
    for element in root.iter("object"):
        drawn = [float(element.findtext(f"bndbox/{name}", "nan")) for name in names]
        if max(abs(a - b) for a, b in zip(drawn, corners)) <= 1:
            ET.SubElement(element, "suspect").text = describe(suspect, classes)
            return


def _write_coco(folder, suspects, imdb):
    content = json.loads(json.dumps(imdb._dataset, default=str))
    content["suspects"] = []
    for suspect in suspects:
        image_id, (x1, y1, x2, y2) = imdb.image_index[suspect.image], suspect.box
        text = describe(suspect, imdb.classes)
        own = [item for item in content["annotations"]
               if item["image_id"] == image_id and _at(item["bbox"], suspect.box)]
        if suspect.kind == "missing" or not own:
            content["suspects"].append({"image_id": image_id, "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1], "note": text})
        else:
            own[0]["suspect"] = text
    with whole_file(os.path.join(folder, "annotations.json"), "w") as f:
        json.dump(content, f)
    return 1


def _at(bbox, box):
    x, y, width, height = bbox
    return max(abs(a - b) for a, b in zip((x, y, x + width - 1, y + height - 1), box)) <= 1.5
