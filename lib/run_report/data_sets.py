"""What the page on data sets shows: their images, objects, proposals, and what is wrong with their files."""
import json
import os
from dataclasses import dataclass, field

import numpy as np
from datasets.by_name import load_imdb, split_names
from datasets.check import check_imdb
from datasets.image_files import image_size
from importers.write_voc import RECORD
from utils.errors import UserError

from run_report.verdicts import Truth, load_truth


@dataclass(eq=False)
class Picture:
    """An image of a data set.  size: (width, height), pixels; proposals: (R, 4), None where there is no file of them;
    digest: of the image file's content."""
    path: str
    size: tuple[int, int]
    truth: Truth
    digest: str | None
    proposals: np.ndarray | None = None

    @property
    def boxes(self) -> np.ndarray:
        """(G, 4) of the objects that train and count."""
        return self.truth.boxes[~self.truth.ignored]

    @property
    def classes(self) -> np.ndarray:
        return self.truth.classes[~self.truth.ignored]


@dataclass(eq=False)
class DataSet:
    """One data set, or several that are joined.

    classes: the background first.  problems: lines that training would stop at; the images they are about are not among
    `pictures`.  no_proposals: why there are none, '' where there are.  imported: the records of tools/import_data.py.
    """
    name: str
    classes: tuple[str, ...]
    pictures: list[Picture] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    no_proposals: str = ""
    imported: list[dict] = field(default_factory=list)

    @property
    def num_objects(self) -> int:
        return sum(len(picture.boxes) for picture in self.pictures)


def load_data_set(names: str) -> DataSet:
    """The DataSet of an imdb, or of imdbs of the same classes joined by +."""
    parts = [_load_part(name) for name in split_names(names)]
    first = parts[0]
    for part in parts[1:]:
        if [name.lower() for name in part.classes] != [name.lower() for name in first.classes]:
            raise UserError(f"--data {names}: {first.name} and {part.name} have different classes; look at one of them")
        first.name += f"+{part.name}"
        first.pictures += part.pictures
        first.problems += part.problems
        first.no_proposals = first.no_proposals or part.no_proposals
        first.imported += [record for record in part.imported if record not in first.imported]
    return first


def _load_part(name):
    imdb = load_imdb(name)
    if not imdb.annotated:
        raise UserError(f"--data {name}: its annotations are not public; name a set with annotations")
    problems = check_imdb(imdb)
    bad = {i for i in range(imdb.num_images) if problems and imdb.problems_at(i)}
    sound = [i for i in range(imdb.num_images) if i not in bad]
    hashes = imdb.image_hashes()
    counted, truths = load_truth(name, sound) if sound else (imdb, [])
    data = DataSet(imdb.name, tuple(imdb.classes), problems=problems, imported=_import_records(imdb))
    for i, truth in enumerate(truths):
        path = counted.image_path_at(i)
        data.pictures.append(Picture(path, image_size(path), truth, hashes[sound[i]]))
    data.no_proposals = _add_proposals(name, data, bool(problems))
    return data


def _add_proposals(name, data, has_problems):
    """Give the pictures their proposals; returns why there are none, or ''."""
    if has_problems:
        return "they are read when the problems of the files are corrected"
    imdb = load_imdb(name)
    imdb.is_known_sound = True
    try:
        missing = imdb.missing_proposals()
        if missing:
            return f"make them with tools/propose.py --imdb {name}"
        roidb = imdb.roidb
    except (UserError, NotImplementedError) as e:
        return str(e)
    for picture, entry in zip(data.pictures, roidb):
        picture.proposals = entry["boxes"][entry["gt_classes"] == 0]
    return ""


def _import_records(imdb):
    """[the record that tools/import_data.py left in the data set's folder]; [] where it was not imported."""
    path = os.path.join(getattr(imdb, "_data_path", ""), RECORD)
    if not os.path.isfile(path):
        return []
    try:
        with open(path, encoding="utf-8") as f:
            return [json.load(f)]
    except (OSError, ValueError) as e:
        raise UserError(f"{path} cannot be read ({type(e).__name__}); remove it, or import the folder again") from None
