"""Where the parts of MS COCO lie, and of any data set with a COCO JSON of its own."""
import os
from dataclasses import dataclass

from fast_rcnn.config import cfg

OFFICIAL_SPLITS = ("train", "val", "minival", "valminusminival", "trainval", "test", "test-dev")
SETS = {"coco_%s_%s" % (year, split): (split, year)
        for year in ("2014", "2015", "2017") for split in OFFICIAL_SPLITS}
PARTS_OF = {"trainval": ("train", "val")}       # split: those whose annotation files it joins
IMAGES_OF = {"minival": "val", "valminusminival": "val", "test-dev": "test"}    # split: whose images it has


@dataclass(frozen=True)
class CocoLayout:
    name: str           # of the imdb
    result_set: str     # in the name of the result file
    sources: tuple      # (annotation JSON, folder of its images) pairs
    proposals: str      # file of proposals, without its extension
    box_folder: str     # holds <method>/mat/..., one .mat an image; '' for none
    annotated: bool
    official: bool      # its few empty boxes are left out, not refused


def official_layout(split, year):
    """data/coco/annotations and data/coco/images/<split><year>."""
    name, root = "coco_%s_%s" % (year, split), os.path.join(cfg.DATA_DIR, "coco")
    annotated = not split.startswith("test")
    kind = "instances" if annotated else "image_info"
    sources = tuple((os.path.join(root, "annotations", "%s_%s%s.json" % (kind, part, year)),
                     os.path.join(root, "images", IMAGES_OF.get(part, part) + year))
                    for part in PARTS_OF.get(split, (split,)))
    return CocoLayout(name=name, result_set=split + year, sources=sources,
                      proposals=os.path.join(cfg.DATA_DIR, "selective_search_data", name),
                      box_folder=os.path.join(cfg.DATA_DIR, "coco_proposals"), annotated=annotated, official=True)


def own_layout(annotations, images):
    """A JSON file and the folder that its file names start from; called own_name(annotations)."""
    annotations, images = (os.path.abspath(os.path.expanduser(path)) for path in (annotations, images))
    folder, stem = os.path.dirname(annotations), os.path.splitext(os.path.basename(annotations))[0]
    name = own_name(annotations)
    return CocoLayout(name=name, result_set=stem, sources=((annotations, images),),
                      proposals=os.path.join(folder, "selective_search_data", name), box_folder="",
                      annotated=True, official=False)


def own_name(annotations: str) -> str:
    """The name of an imdb of own_layout: <folder of the JSON>_<its stem>.

    A folder called annotations gives its parent's name: data/mine/annotations/train.json is mine_train.
    """
    path = os.path.abspath(os.path.expanduser(annotations))
    folder = os.path.dirname(path)
    if os.path.basename(folder) == "annotations":
        folder = os.path.dirname(folder)
    stem = os.path.splitext(os.path.basename(path))[0]
    return f"{os.path.basename(folder)}_{stem}"
