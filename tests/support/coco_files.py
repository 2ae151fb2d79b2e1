"""Small COCO data sets for tests: a JSON and a folder of images with one coloured rectangle an object."""
import json

import cv2
import numpy as np

from support.voc_folder import draw_image


def make_coco(path, images, categories, json_name="trainval.json", images_folder="images", seed=0):
    """Write path/<json_name> and path/<images_folder>; returns the imdb name coco:<JSON>@<folder>.

    images: {file name: (width, height, objects)}, objects a list of dicts with name, bbox [x y width height] and any
    other key of an annotation.  categories: {name: id}.  Images get the ids 10, 20, ...
    """
    rng = np.random.default_rng(seed)
    tree = {"images": [], "annotations": [], "categories": [{"id": k, "name": name} for name, k in categories.items()]}
    for number, (file_name, (width, height, objects)) in enumerate(images.items(), start=1):
        target = path / images_folder / file_name
        target.parent.mkdir(parents=True, exist_ok=True)
        corners = [(o["name"], (o["bbox"][0] + 1, o["bbox"][1] + 1, o["bbox"][0] + o["bbox"][2], o["bbox"][1] + o["bbox"][3]))
                   for o in objects]
        cv2.imwrite(str(target), draw_image(rng, width, height, corners))
        tree["images"].append({"id": 10 * number, "file_name": file_name, "width": width, "height": height})
        for o in objects:
            more = {key: value for key, value in o.items() if key != "name"}
            tree["annotations"].append({"id": len(tree["annotations"]), "image_id": 10 * number,
                                        "category_id": categories[o["name"]], "area": o["bbox"][2] * o["bbox"][3],
                                        "iscrowd": 0, **more})
    (path / json_name).parent.mkdir(parents=True, exist_ok=True)
    (path / json_name).write_text(json.dumps(tree))
    return "coco:%s@%s" % (path / json_name, path / images_folder)


def edit_json(path, change):
    """Load the JSON at `path`, call change(tree), and write it back."""
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
