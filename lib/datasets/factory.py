"""Data sets by name."""
import difflib
import os

from fast_rcnn.config import cfg
from utils.errors import UserError

from datasets.pascal_voc import pascal_voc

VOC_SETS = {"voc_%s_%s" % (year, split): (split, year)
            for year in ("2007", "2010", "2012") for split in ("train", "val", "trainval", "test")}
FOLDER = "voc:"


def get_imdb(name):
    """The imdb called `name`: one of list_imdbs(), or voc:PATH@SPLIT for a folder of one's own in the VOC layout.

    A relative PATH is looked for in the working directory, then in the project's root.
    """
    if name in VOC_SETS:
        return pascal_voc(*VOC_SETS[name])
    if not name.startswith(FOLDER):
        near = difflib.get_close_matches(name, VOC_SETS, n=3) or list_imdbs()
        raise UserError("data set '%s' is unknown; nearest: %s; a folder of your own in the VOC layout: voc:PATH@SPLIT"
                        % (name, ", ".join(near)))
    path, at, split = name[len(FOLDER):].rpartition("@")
    if not (path and at and split):
        raise UserError("data set '%s': expected voc:PATH@SPLIT, such as voc:data/digits@trainval" % name)
    in_root = os.path.join(cfg.ROOT_DIR, path)
    return pascal_voc(split, None, in_root if os.path.isdir(in_root) and not os.path.isdir(path) else path)


def list_imdbs():
    """Names of the data sets known by name."""
    return list(VOC_SETS)
