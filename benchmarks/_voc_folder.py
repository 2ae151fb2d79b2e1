"""A data set in VOC's layout of one photograph many times over, with random objects and proposals."""
from pathlib import Path

import cv2
import numpy as np
from _inputs import SEED, photograph, random_boxes
from datasets.voc_layout import VOC_CLASSES

OBJECTS = 3         # of an image
OBJECT = ("<object><name>%s</name><difficult>0</difficult><bndbox><xmin>%d</xmin><ymin>%d</ymin><xmax>%d</xmax>"
          "<ymax>%d</ymax></bndbox></object>")


def write_voc_folder(folder, images, proposals, height=375, width=500):
    """Write `images` images with `proposals` boxes each into folder; returns the name of the imdb for get_imdb."""
    folder, rng = Path(folder), np.random.default_rng(SEED)
    for part in ("JPEGImages", "Annotations", "ImageSets/Main", "selective_search_data"):
        (folder / part).mkdir(parents=True)
    names = ["%06d" % i for i in range(images)]
    (folder / "classes.txt").write_text("\n".join(VOC_CLASSES))
    (folder / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(names))
    photo = cv2.imencode(".jpg", photograph(height, width))[1].tobytes()
    for name in names:
        (folder / "JPEGImages" / (name + ".jpg")).write_bytes(photo)    # each a file, which is hashed
        boxes = 1 + np.round(random_boxes(OBJECTS, height, width, rng))
        objects = [OBJECT % (VOC_CLASSES[rng.integers(len(VOC_CLASSES))], *box) for box in boxes.tolist()]
        (folder / "Annotations" / (name + ".xml")).write_text("<annotation>%s</annotation>" % "".join(objects))
    boxes = np.concatenate([np.round(random_boxes(proposals, height, width, rng)) for _ in names])
    np.savez(folder / "selective_search_data" / ("%s_trainval.npz" % folder.name), boxes=boxes,
             counts=np.full(images, proposals))
    return "voc:%s@trainval" % folder
