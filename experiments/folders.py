"""A folder of labelled images in place of a DATASET: the steps from its import to the page on the trained net."""
import os
from collections.abc import Mapping
from pathlib import Path

from datasets.own_folders import OWN
from training.start_weights import weights_remedy
from utils.errors import UserError

from experiments.plan import ROOT, Options, plan
from experiments.tables import read_settings

NAMES = (*OWN, "imdb:")       # how other data sets than folders begin
READY = ("ImageSets/Main/trainval.txt", "ImageSets/Main/test.txt")


def find_folder(method: str, dataset: str, variables: Mapping[str, str]) -> Path | None:
    """The folder that a DATASET names; None for the name of a data set, which takes precedence.

    A relative path starts in the project's root, where the scripts run, or else in the folder where the user was
    (OLDPWD of `variables`).  UserError for a path that does not exist.
    """
    if dataset.startswith(NAMES) or dataset in read_settings(method):
        return None
    given = Path(dataset).expanduser()
    places = [ROOT / given, Path(variables.get("OLDPWD", ROOT)) / given]
    found = next((place for place in places if place.is_dir()), None)
    if found is None and "/" in dataset:
        raise UserError(f"folder {dataset} does not exist; name the unpacked export of a labelling tool, or a data "
                        f"set: voc:FOLDER, coco:FOLDER, imdb:TRAIN/TEST, {', '.join(read_settings(method))}")
    return found


def plan_folder(method: str, net: str, folder: Path, options: Options) -> list[list[str]]:
    """The commands from a folder to a page on the trained net; plan's training and test are among them."""
    python = plan(method, net, f"voc:{folder}", Options(options.gpu))[0][0]
    commands = []
    data = _short(folder)
    if not all((folder / file).is_file() for file in READY):
        data = os.path.join("data", folder.resolve().name)
        commands.append([python, "tools/import_data.py", str(folder), "--out", data, "--reuse"])
    if method in ("fast_rcnn", "fast_rcnn_ohem"):       # the others make their own
        commands.append([python, "tools/propose.py", "--imdb", f"voc:{data}@trainval+voc:{data}@test"])
    commands.append([python, "tools/report.py", "--data", f"voc:{data}"])
    runs = plan(method, net, f"voc:{data}", options)
    commands += runs
    if not options.trained:
        trained = runs[-1][runs[-1].index("--net") + 1]
        commands.append([python, "tools/report.py", os.path.dirname(trained), "--gpu", options.gpu])
    return commands


def require_weights(commands: list[list[str]]) -> None:
    """UserError if the file of weights of a training is missing, before anything runs."""
    for words in commands:
        flags = words[:words.index("--set")] if "--set" in words else words
        path = flags[flags.index("--weights") + 1] if "--weights" in flags else ""
        if path and not (ROOT / path).is_file():
            raise UserError(f"--weights {path}: no such file; {weights_remedy(path)}")


def _short(folder):
    """A path relative to the project's root where it lies below it."""
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else str(folder)
