"""Names of a user's own data: a folder in the VOC layout, or a COCO JSON with the folder of its images."""
import difflib
import os
import re

from fast_rcnn.config import cfg
from utils.errors import UserError

from datasets.coco import coco
from datasets.coco_layout import own_name
from datasets.pascal_voc import pascal_voc
from datasets.voc_layout import folder_name

OWN = {"voc:": "voc:PATH@SPLIT, such as voc:data/digits@trainval",
       "coco:": "coco:ANNOTATIONS.json@IMAGES, such as coco:data/mine/trainval.json@data/mine/images"}


def own_imdb(name):
    """The imdb of a name with one of the beginnings OWN; None for any other name."""
    kind = next((kind for kind in OWN if name.startswith(kind)), None)
    if kind is None:
        return None
    path, rest = _at(name[len(kind):])
    if not (path and rest):
        raise UserError("data set '%s': expected %s" % (name, OWN[kind]))
    return pascal_voc(rest, None, _find(path)) if kind == "voc:" else coco(_find(path), None, _find(rest))


def own_imdb_name(name: str) -> str | None:
    """The name of own_imdb(name), without a look into the files."""
    if name.startswith("voc:"):
        return folder_name(*_at(name.removeprefix("voc:")))
    if name.startswith("coco:"):
        return own_name(_at(name.removeprefix("coco:"))[0])
    return None


def unknown_name(name: str, known) -> UserError:
    """The error for a name that is none of those `known`."""
    near = difflib.get_close_matches(name, known, n=3) or known
    return UserError("data set '%s' is unknown; nearest: %s; your own: voc:PATH@SPLIT for a folder in the VOC layout, "
                     "coco:ANNOTATIONS.json@IMAGES for a COCO JSON; a fork's: give the module that registers it with "
                     "--import" % (name, ", ".join(near)))


def _at(text):
    """The two sides of the last @ before which there is a file or folder; of the last one where there is none."""
    places = [match.start() for match in re.finditer("@", text)][::-1]
    place = next((place for place in places if os.path.exists(_find(os.path.expanduser(text[:place])))),
                 places[0] if places else len(text))
    return text[:place], text[place + 1:]


def _find(path):
    in_root = os.path.join(cfg.ROOT_DIR, path)
    return in_root if os.path.exists(in_root) and not os.path.exists(path) else path
