"""Data sets by name."""
import difflib
import os
import re

from fast_rcnn.config import cfg
from utils.errors import UserError

from datasets.coco import coco
from datasets.coco_layout import OFFICIAL_SPLITS, own_name
from datasets.pascal_voc import pascal_voc
from datasets.voc_layout import folder_name

VOC_SETS = {"voc_%s_%s" % (year, split): (split, year)
            for year in ("2007", "2010", "2012") for split in ("train", "val", "trainval", "test")}
COCO_SETS = {"coco_%s_%s" % (year, split): (split, year)
             for year in ("2014", "2015", "2017") for split in OFFICIAL_SPLITS}
OWN = {"voc:": "voc:PATH@SPLIT, such as voc:data/digits@trainval",
       "coco:": "coco:ANNOTATIONS.json@IMAGES, such as coco:data/mine/trainval.json@data/mine/images"}


def get_imdb(name):
    """The imdb called `name`: one of list_imdbs(), or one's own.

    voc:PATH@SPLIT is a folder in the VOC layout, coco:ANNOTATIONS.json@IMAGES a COCO JSON and the folder of its images.
    A relative path is looked for in the working directory, then in the project's root.  Of several @ the last one with
    a file or folder before it counts.
    """
    if name in VOC_SETS:
        return pascal_voc(*VOC_SETS[name])
    if name in COCO_SETS:
        return coco(*COCO_SETS[name])
    kind = next((kind for kind in OWN if name.startswith(kind)), None)
    if kind is None:
        near = difflib.get_close_matches(name, list_imdbs(), n=3) or list_imdbs()
        raise UserError("data set '%s' is unknown; nearest: %s; your own: voc:PATH@SPLIT for a folder in the VOC "
                        "layout, coco:ANNOTATIONS.json@IMAGES for a COCO JSON" % (name, ", ".join(near)))
    path, rest = _at(name[len(kind):])
    if not (path and rest):
        raise UserError("data set '%s': expected %s" % (name, OWN[kind]))
    return pascal_voc(rest, None, _find(path)) if kind == "voc:" else coco(_find(path), None, _find(rest))


def split_names(names: str) -> list[str]:
    """The data sets that `a+b` joins. A + only joins before the name of a data set, so a path may hold one."""
    own, known = "|".join(OWN), "|".join(map(re.escape, list_imdbs()))
    parts = re.split(rf"\+(?={own}|(?:{known})(?:\+|$))", names)
    return [name for part in parts for name in ([part] if part.startswith(tuple(OWN)) else part.split("+"))]


def imdb_name(name: str) -> str:
    """The name that get_imdb(name) would give its imdb, without a look into the files."""
    if name.startswith("voc:"):
        return folder_name(*_at(name.removeprefix("voc:")))
    if name.startswith("coco:"):
        return own_name(_at(name.removeprefix("coco:"))[0])
    return name


def list_imdbs():
    """Names of the data sets known by name."""
    return list(VOC_SETS) + list(COCO_SETS)


def _at(text):
    """The two sides of the last @ before which there is a file or folder; of the last one where there is none."""
    places = [match.start() for match in re.finditer("@", text)][::-1]
    place = next((place for place in places if os.path.exists(_find(os.path.expanduser(text[:place])))),
                 places[0] if places else len(text))
    return text[:place], text[place + 1:]


def _find(path):
    in_root = os.path.join(cfg.ROOT_DIR, path)
    return in_root if os.path.exists(in_root) and not os.path.exists(path) else path
