"""Writes the pages of tools/report.py and tools/import_data.py."""
import os
from pathlib import Path

import _cli  # noqa: F401  (first: puts lib on the path)
from datasets.by_name import imdb_name, split_names
from datasets.own_folders import OWN
from datasets.voc_layout import image_set_file
from fast_rcnn.config import cfg
from run_report.data_page import report_data
from utils.errors import UserError
from utils.whole_file import whole_file

from experiments.plan import dataset_of
from experiments.tables import read_settings

METHOD = "fast_rcnn_ohem"       # whose table of data sets is used; it has all of them


def write_data_page(name: str, out: str | None, num_images: int) -> None:
    """Write the page on a data set, and print its findings.

    name: a DATASET of the scripts, or an imdb.  out: the file; None: report.html in its folder, or below output/.
    """
    page, findings = report_data(sets_of(name), num_images)
    for line in findings:
        print(f"- {line}")
    write(out or default_page(name), page.encode())


def sets_of(name: str) -> list[str]:
    """The names of the training set and the test set of a DATASET; [name] of an imdb."""
    folder = _folder_of(name)
    if name.startswith("voc:") and folder:      # whose test set may not be there yet
        sets = [image_set for image_set in ("trainval", "test") if _has_images(image_set_file(folder, image_set))]
        return [f"{name}@{image_set}" for image_set in sets or ["trainval"]]
    if folder or name.startswith("imdb:") or name in read_settings(METHOD):
        data = dataset_of(METHOD, name)
        return [data.train_imdb, data.test_imdb]
    if name.startswith(tuple(OWN)) and "@" not in name:
        raise UserError(f"--data {name}: the folder does not exist; name one, or an imdb: {', '.join(OWN.values())}")
    return [name]


def _has_images(file):
    return os.path.isfile(file) and os.path.getsize(file) > 0


def default_page(name: str) -> str:
    """Where the page on a data set goes."""
    folder = _folder_of(name)
    if folder:
        return os.path.join(folder, "report.html")
    label = name if name in read_settings(METHOD) else "+".join(map(_label, split_names(name)))
    return os.path.join(cfg.ROOT_DIR, "output", f"data_{label}.html")


def _label(name):
    return name.replace("/", "_") if name.startswith("imdb:") else imdb_name(name)


def _folder_of(name):
    """The folder of voc:FOLDER or coco:FOLDER; None for any other name."""
    kind = next((kind for kind in OWN if name.startswith(kind)), None)
    path = os.path.expanduser(name.removeprefix(kind)) if kind else ""
    return next((place for place in (path, os.path.join(cfg.ROOT_DIR, path)) if kind and os.path.isdir(place)), None)


def write(path: str | Path, data: bytes) -> None:
    """Write bytes, and say so."""
    os.makedirs(Path(path).absolute().parent, exist_ok=True)
    with whole_file(path) as f:
        f.write(data)
    print(f"Wrote {path} ({len(data) / 2 ** 20:.1f} MB)", flush=True)
