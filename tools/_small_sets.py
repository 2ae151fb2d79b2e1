"""Small stand-ins of the table's data sets, made of the embedded digits: two VOC folders and a COCO one."""
import json
import os
import shutil

from datasets.by_name import load_imdb
from digits import dataset

COUNTS = {"trainval": 16, "test": 6}   # images
YEARS = {"2007": 3, "2012": 4}         # a folder each, and the seed it is drawn from


def stand_in(name, folder):
    """The DATASET to run in place of `name`, one of the table's; made in `folder` where it is not there."""
    if name.startswith("coco"):
        return _coco(folder)
    years = list(YEARS) if "+" in name else ["2012" if name.endswith("12") else "2007"]
    return "+".join("voc:%s" % _voc(folder, year) for year in years)


def _voc(folder, year):
    path = folder / year / "digits"
    dataset.make(path, YEARS[year], COUNTS, workers=2)
    return path


def _coco(folder):
    voc, coco = _voc(folder, "2007"), folder / "coco"
    made_from = (voc / "settings.json").read_bytes()        # has the hash of all that is in the folder
    done = coco / "made_from.json"
    if not done.exists() or done.read_bytes() != made_from:
        _make_coco(voc, coco)
        done.write_bytes(made_from)
    return "coco:%s" % coco


def _make_coco(voc, folder):
    """The VOC folder `voc` as COCO JSONs, with its proposals."""
    proposals = folder / "selective_search_data"
    proposals.mkdir(parents=True, exist_ok=True)
    shutil.copytree(voc / "JPEGImages", folder / "images", dirs_exist_ok=True)
    for split in COUNTS:
        shutil.copy(voc / "selective_search_data" / ("digits_%s.mat" % split), proposals / ("coco_%s.mat" % split))
        (folder / (split + ".json")).write_text(json.dumps(_coco_tree(load_imdb("voc:%s@%s" % (voc, split)))))


def _coco_tree(imdb):
    """A COCO JSON of what an imdb's ground truth holds."""
    tree = {"images": [], "annotations": [],
            "categories": [{"id": k, "name": name} for k, name in enumerate(imdb.classes) if k]}
    for i, entry in enumerate(imdb.gt_roidb(), start=1):
        tree["images"].append({"id": i, "file_name": os.path.basename(imdb.image_path_at(i - 1)),
                               "width": int(entry["width"]), "height": int(entry["height"])})
        for (x1, y1, x2, y2), cls in zip(entry["boxes"].tolist(), entry["gt_classes"].tolist()):
            box = [x1, y1, x2 - x1 + 1, y2 - y1 + 1]
            tree["annotations"].append({"id": len(tree["annotations"]) + 1, "image_id": i, "category_id": cls,
                                        "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    return tree
