"""The same small set of images, written as each labelling tool exports it."""
import csv
import json
import zlib
from pathlib import Path
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np

from support.voc_folder import annotation_xml

WIDTH, HEIGHT = 160, 120
CLASSES = ["Red Cell", "platelet"]
SPLITS = ("train", "valid", "test")


def truth(count=8):
    """{image name: [(label, (x1, y1, x2, y2))]}, edges of the boxes in pixels; the first image has no object."""
    images = {}
    for i in range(count):
        objects = [("Red Cell", (8 + i, 12, 48 + i, 60)), ("platelet", (80, 30 + i, 120, 90 + i))]
        images[f"cell {i}"] = objects[:1 + i % 2] if i else []
    return images


def write_images(folder: Path, names, suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        noise = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / (name + suffix)), cv2.resize(noise, (WIDTH, HEIGHT)))


def of_splits(images):
    """(split, its part of the images) as Roboflow divides them."""
    names = list(images)
    ends = (0, len(names) // 2, len(names) * 3 // 4, len(names))
    return [(split, {name: images[name] for name in names[a:b]}) for split, a, b in zip(SPLITS, ends, ends[1:])]


def voc_xml(objects):
    return annotation_xml(WIDTH, HEIGHT, [(label, (x1 + 1, y1 + 1, x2, y2)) for label, (x1, y1, x2, y2) in objects])


def voc(folder, images):
    """Annotations/ and JPEGImages/, no ImageSets."""
    write_images(folder / "JPEGImages", images)
    (folder / "Annotations").mkdir()
    for name, objects in images.items():
        (folder / "Annotations" / (name + ".xml")).write_text(voc_xml(objects), encoding="utf-8")


def voc_with_sets(folder, images):
    voc(folder, images)
    sets = folder / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for split, part in of_splits(images):
        (sets / {"valid": "val.txt"}.get(split, split + ".txt")).write_text("\n".join(part), encoding="utf-8")


def roboflow_voc(folder, images):
    """Images and XML next to each other, a folder for each split."""
    for split, part in of_splits(images):
        write_images(folder / split, part)
        for name, objects in part.items():
            (folder / split / (name + ".xml")).write_text(voc_xml(objects), encoding="utf-8")


def yolo_line(label, box):
    x1, y1, x2, y2 = box
    numbers = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
    return f"{CLASSES.index(label)} " + " ".join(f"{number:.8f}" for number in numbers) + "\n"


def yolo_polygon(label, box):
    x1, y1, x2, y2 = box
    corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    return f"{CLASSES.index(label)} " + " ".join(f"{x / WIDTH:.8f} {y / HEIGHT:.8f}" for x, y in corners) + "\n"


def roboflow_yolo(folder, images, line=yolo_line):
    """data.yaml, and images/ and labels/ for each split."""
    for split, part in of_splits(images):
        write_images(folder / split / "images", part)
        (folder / split / "labels").mkdir(parents=True)
        for name, objects in part.items():
            text = "".join(line(*obj) for obj in objects)
            (folder / split / "labels" / (name + ".txt")).write_text(text, encoding="utf-8")
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(CLASSES))
    (folder / "data.yaml").write_text(f"train: ../train/images\nval: ../valid/images\nnc: 2\nnames:\n{names}\n",
                                      encoding="utf-8")


def yolo_polygons(folder, images):
    roboflow_yolo(folder, images, yolo_polygon)


def yolo_flat(folder, images):
    """Text files next to the images, and classes.txt, as LabelImg writes them."""
    write_images(folder, images, ".png")
    for name, objects in images.items():
        if objects:
            (folder / (name + ".txt")).write_text("".join(yolo_line(*obj) for obj in objects), encoding="utf-8")
    (folder / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")


def coco_tree(images):
    entries = [{"id": i, "file_name": name + ".jpg", "width": WIDTH, "height": HEIGHT} for i, name in enumerate(images)]
    annotations = []
    for i, objects in enumerate(images.values()):
        for label, (x1, y1, x2, y2) in objects:
            annotations.append({"id": len(annotations), "image_id": i, "category_id": CLASSES.index(label) + 1,
                                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0})
    categories = [{"id": 0, "name": "cells", "supercategory": "none"}]      # Roboflow's, which has no objects
    categories += [{"id": i + 1, "name": name, "supercategory": "cells"} for i, name in enumerate(CLASSES)]
    return {"images": entries, "annotations": annotations, "categories": categories}


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def coco(folder, images):
    """annotations/instances_<split>2020.json and images/."""
    write_images(folder / "images", images)
    for split, part in of_splits(images):
        write_json(folder / "annotations" / f"instances_{split.replace('valid', 'val')}2020.json", coco_tree(part))


def roboflow_coco(folder, images):
    for split, part in of_splits(images):
        write_images(folder / split, part)
        write_json(folder / split / "_annotations.coco.json", coco_tree(part))


def cvat(folder, images):
    write_images(folder / "images", images)
    lines = ["<annotations><version>1.1</version><meta><task><labels>"]
    lines += [f"<label><name>{name}</name></label>" for name in CLASSES]
    lines.append("</labels></task></meta>")
    for i, (name, objects) in enumerate(images.items()):
        lines.append(f'<image id="{i}" name={quoteattr(name + ".jpg")} width="{WIDTH}" height="{HEIGHT}">')
        for label, (x1, y1, x2, y2) in objects:
            lines.append(f'<box label="{label}" occluded="0" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"></box>')
        lines.append("</image>")
    (folder / "annotations.xml").write_text("\n".join(lines) + "</annotations>", encoding="utf-8")


def labelme(folder, images):
    """Rectangles and polygons in turns."""
    write_images(folder, images)
    for name, objects in images.items():
        shapes = []
        for i, (label, (x1, y1, x2, y2)) in enumerate(objects):
            polygon = {"points": [[x1, y1], [x2, y1], [x2, y2], [x1, y2]], "shape_type": "polygon"}
            rectangle = {"points": [[x2, y2], [x1, y1]], "shape_type": "rectangle"}
            shapes.append({"label": label, **(polygon if i else rectangle)})
        write_json(folder / (name + ".json"), {"version": "5.4.1", "shapes": shapes, "imagePath": name + ".jpg",
                                               "imageWidth": WIDTH, "imageHeight": HEIGHT, "imageData": None})


def percent(box):
    x1, y1, x2, y2 = box
    return {"x": x1 / WIDTH * 100, "y": y1 / HEIGHT * 100, "width": (x2 - x1) / WIDTH * 100,
            "height": (y2 - y1) / HEIGHT * 100, "rotation": 0}


def label_studio(folder, images):
    write_images(folder / "media", images)
    tasks = []
    for i, (name, objects) in enumerate(images.items()):
        result = [{"type": "rectanglelabels", "original_width": WIDTH, "original_height": HEIGHT,
                   "value": {**percent(box), "rectanglelabels": [label]}} for label, box in objects]
        tasks.append({"id": i, "data": {"image": f"/data/upload/1/0123abcd-{name}.jpg".replace(" ", "%20")},
                      "annotations": [{"id": i, "was_cancelled": False, "result": result}]})
    write_json(folder / "project-1.json", tasks)


def label_studio_min(folder, images):
    write_images(folder, images)
    tasks = [{"id": i, "image": f"/data/local-files/?d=set/{name}.jpg", "label": [
        {**percent(box), "rectanglelabels": [label], "original_width": WIDTH, "original_height": HEIGHT}
        for label, box in objects]} for i, (name, objects) in enumerate(images.items())]
    write_json(folder / "min.json", tasks)


def write_table(path, columns, rows):
    with open(path, "w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows([columns, *rows])


def tensorflow_csv(folder, images):
    """A table for each split; an image without objects has no row there."""
    for split, part in of_splits(images):
        write_images(folder / split, part)
        write_table(folder / split / "_annotations.csv",
                    ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"],
                    [[name + ".jpg", WIDTH, HEIGHT, label, x1 + 1, y1 + 1, x2, y2]
                     for name, objects in part.items() for label, (x1, y1, x2, y2) in objects])


def open_images(folder, images):
    write_images(folder / "images", images)
    codes = {name: f"/m/0{i}" for i, name in enumerate(CLASSES)}
    write_table(folder / "train-annotations-bbox.csv",
                ["ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", "IsGroupOf"],
                [[name, "x", codes[label], 1, x1 / WIDTH, x2 / WIDTH, y1 / HEIGHT, y2 / HEIGHT, 0]
                 for name, objects in [*images.items(), ("elsewhere", images["cell 1"])]
                 for label, (x1, y1, x2, y2) in objects])
    write_table(folder / "class-descriptions-boxable.csv", [codes[CLASSES[0]], CLASSES[0]], [[codes[CLASSES[1]], CLASSES[1]]])


WRITERS = (voc, voc_with_sets, roboflow_voc, roboflow_yolo, yolo_polygons, yolo_flat, coco, roboflow_coco, cvat, labelme,
           label_studio, label_studio_min, tensorflow_csv, open_images)
HAVE_SPLITS = {voc_with_sets, roboflow_voc, roboflow_yolo, yolo_polygons, coco, roboflow_coco, tensorflow_csv}
LEAVE_EMPTY_OUT = {tensorflow_csv, open_images}         # tables have no row for an image without objects
LIST_CLASSES = {roboflow_yolo, yolo_polygons, yolo_flat, coco, roboflow_coco, cvat}      # in their own order
