"""What a training run and its test left below output/."""
import csv
import glob
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets.content_hash import file_hash
from fast_rcnn.config import cfg
from fast_rcnn.detections import DETECTIONS_FILE
from training.record import read_record
from utils.errors import UserError

REMEDY = "give the folder that tools/train_net.py calls 'Output will be saved to', or output/<EXP_DIR>"


@dataclass(eq=False)
class Run:
    """name: for headings.  record: run.json of the training.  metrics: {column: [number or nan]}.

    results: folder of its test, with ap {class: AP or None}, mean_ap and tested (run.json of the test); None where it
    has not been tested; ap is None where there was nothing to score it by.
    """
    name: str
    folder: Path
    record: dict
    model: Path
    metrics: dict
    solver: str
    results: Path | None = None
    tested: dict | None = None
    ap: dict | None = None
    mean_ap: float | None = None

    @property
    def mines(self):
        return any(math.isfinite(value) for value in self.metrics.get("mean_loss_hard", []))


def load_run(path):
    """The Run in a folder of training, of test results, or in output/<EXP_DIR> where it holds one training."""
    folder, results = _find_training(Path(path))
    record = _read_json(folder / "run.json")
    model = folder / Path(record["model"]).name         # the tree may have moved since
    solver = folder / "solver.prototxt"
    run = Run(folder.parent.name, folder, record, model, _read_metrics(folder / "metrics.csv"),
              solver.read_text() if solver.is_file() else "")
    results = results or _newest_results(folder.parent, model)
    if results:
        _add_results(run, results)
    return run


def load_curve(run, name):
    """Recall (D,), precision (D,) of a class; empty where there is none."""
    path = run.results / (name + "_pr.npz")
    if not path.is_file():
        return np.zeros(0), np.zeros(0)
    with np.load(path, allow_pickle=False) as f:
        return f["rec"], f["prec"]


def tell_apart(runs):
    """Make the names of two runs different: with the data set, then with the number of iterations, then 1 and 2."""
    def differ():
        return len({run.name for run in runs}) == len(runs)
    for more in (lambda run: run.folder.name, lambda run: run.model.stem, lambda run: str(1 + runs.index(run))):
        if differ():
            return
        for name, run in zip([more(run) for run in runs], runs):
            run.name += " " + name


def as_unicode(text: str) -> str:
    """The text of a name that may hold bytes: those of UTF-8 under LC_ALL=C, or those that are not UTF-8.

    Python keeps them as surrogates.  What is not UTF-8 becomes U+FFFD.
    """
    return text.encode(errors="surrogateescape").decode(errors="replace")


def flatten(tree, prefix=""):
    """{'TRAIN.BATCH_SIZE': value} of the settings in a run.json, without the places of folders."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, prefix + key + "."))
        elif key not in ("ROOT_DIR", "DATA_DIR", "MODELS_DIR"):
            flat[prefix + key] = value
    return flat


def _find_training(path):
    """(folder of the training, folder of test results or None) that `path` means."""
    record = _read_json(path / "run.json") if (path / "run.json").is_file() else {}
    if "model" in record:
        return path.resolve(), None
    if "caffemodel" in record:
        return _model_folder(path, record["caffemodel"]), path.resolve()
    found = [file.parent for file in sorted(path.glob("*/run.json")) if "model" in _read_json(file)]
    if not found:
        raise UserError("%s holds no finished training (no run.json); %s" % (path, REMEDY))
    if len(found) > 1:
        raise UserError("%s holds %d trainings: %s; name one of them" % (path, len(found), " ".join(map(str, found))))
    return found[0].resolve(), None


def _model_folder(results, caffemodel):
    """The training folder of a test's results: beside them, or where the test says the caffemodel was."""
    name = Path(caffemodel).parent.name
    for folder in (results.resolve().parent.parent / name, Path(caffemodel).parent,
                   Path(cfg.ROOT_DIR) / Path(caffemodel).parent):
        if "model" in read_record(folder):
            return folder.resolve()
    raise UserError("%s is a test of %s, whose training has not finished, or left no run.json; %s"
                    % (results, caffemodel, REMEDY))


def _newest_results(experiment, model):
    """The folder of the last test of a model, None without any; not of another net that had its name before."""
    known = (None, file_hash(model) if model.is_file() else None)
    files = [file for file in experiment.glob("*/%s/%s" % (glob.escape(model.stem), DETECTIONS_FILE))
             if (file.parent / "run.json").is_file() and read_record(file.parent).get("caffemodel_hash") in known]
    return max(files, key=lambda file: file.stat().st_mtime).parent if files else None


def _add_results(run, results):
    run.results, run.tested = results, _read_json(results / "run.json")
    if (results / "ap.json").is_file():
        scores = _read_json(results / "ap.json")
        run.ap, run.mean_ap = scores["ap"], scores["mean_ap"]


def _read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise UserError("%s cannot be read (%s); %s" % (path, e, REMEDY)) from e


def _read_metrics(path):
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else ())}
