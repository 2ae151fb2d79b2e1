"""Data sets by name.

A fork adds its own with `register`, or as in the original with entries of __sets; or it has its own factory.py in place
of this file, of which only get_imdb and list_imdbs are used (datasets.by_name).
"""
from utils.errors import UserError

from datasets import coco_layout, voc_layout
from datasets.coco import coco
from datasets.own_folders import own_imdb, unknown_name
from datasets.pascal_voc import pascal_voc

__sets: dict = {}   # {name: function that makes the imdb}


def register(name, make):
    """Have get_imdb(name) return make(), an imdb; a name that is there already is replaced."""
    if not name or any(character in "+:/" or character.isspace() for character in name):
        raise UserError("data set %r cannot be registered: its name is empty, or has a blank or one of + : / in it; "
                        "rename it" % name)
    if not callable(make):
        raise UserError("data set '%s' cannot be registered: expected a function that makes the imdb, got a %s"
                        % (name, type(make).__name__))
    __sets[name] = make


for _name, (_split, _year) in voc_layout.SETS.items():
    register(_name, lambda split=_split, year=_year: pascal_voc(split, year))
for _name, (_split, _year) in coco_layout.SETS.items():
    register(_name, lambda split=_split, year=_year: coco(split, year))


def get_imdb(name):
    """The imdb called `name`: one of list_imdbs(), or one's own.

    voc:PATH@SPLIT is a folder in the VOC layout, coco:ANNOTATIONS.json@IMAGES a COCO JSON and the folder of its images.
    A relative path is looked for in the working directory, then in the project's root.  Of several @ the last one with
    a file or folder before it counts.
    """
    if name in __sets:
        return __sets[name]()
    imdb = own_imdb(name)
    if imdb is None:
        raise unknown_name(name, list_imdbs())
    return imdb


def list_imdbs():
    """Names of the data sets known by name."""
    return list(__sets)
