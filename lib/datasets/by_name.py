"""What a name of data sets means to the tools, whether the factory is ours or a fork's."""
import re

from datasets import coco_layout, factory, voc_layout
from datasets.imdb_base import completed
from datasets.own_folders import OWN, own_imdb, own_imdb_name, unknown_name


def load_imdb(name: str):
    """The imdb called `name`: a user's own folder or JSON, or one of the factory; see datasets.factory.get_imdb."""
    imdb = own_imdb(name)
    if imdb is None and name not in factory.list_imdbs():
        raise unknown_name(name, list(factory.list_imdbs()))
    return completed(factory.get_imdb(name) if imdb is None else imdb)


def split_names(names: str) -> list[str]:
    """The data sets that `a+b` joins. A + only joins before the name of a data set, so a path may hold one."""
    own, known = "|".join(OWN), "|".join(map(re.escape, factory.list_imdbs()))
    parts = re.split(rf"\+(?={own}|(?:{known})(?:\+|$))", names)
    return [name for part in parts for name in ([part] if part.startswith(tuple(OWN)) else part.split("+"))]


def imdb_name(name: str) -> str:
    """The name of load_imdb(name); only for a fork's data set is it made."""
    if name in voc_layout.SETS or name in coco_layout.SETS:
        return name
    return own_imdb_name(name) or load_imdb(name).name
