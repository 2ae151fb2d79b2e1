"""The identity of a training run: two runs with the same identity make the same updates, up to rounding.

An identity is a dict that json can write:
  data      digest of the sources of the roidb: imdb.source_key
  classes   their names in order, the background first; None where they were not given
  net       digest of the train net, fitted to the classes
  solver    digest of the solver's fields that affect updates
  settings  {key: value} of settings that differ from their defaults, except UNCOUNTED
  iter_size, minibatches    minibatches of an iteration in one process, and in all processes
  seed      cfg.RNG_SEED
  start     hash of the caffemodel that training starts from; None: the net's fillers
"""
import hashlib
import json
import os

from datasets.content_hash import file_hash
from fast_rcnn.config import changed_settings
from utils.caffe_extensions import solver_count

from training.record import plain

# Settings that change no update of a training.  All others count, also those that are added later.
UNCOUNTED = {
    "TRAIN.SNAPSHOT_ITERS", "TRAIN.SNAPSHOT_INFIX", "TRAIN.TENSORBOARD", "TRAIN.USE_PREFETCH", "ROOT_DIR", "DATA_DIR",
    "MODELS_DIR", "EXP_DIR", "MATLAB", "TRUST_PICKLE", "USE_GPU_NMS", "GPU_ID",
    "RNG_SEED", "TRAIN.ITER_SIZE",      # parts of their own
}
UNCOUNTED_BRANCH = "TEST."
# The same of the fields of a SolverParameter.
UNCOUNTED_FIELDS = {"net", "train_net", "max_iter", "display", "average_loss", "debug_info", "solver_mode", "device_id",
                    "layer_wise_reduce", "iter_size"}
UNCOUNTED_BEGINNINGS = ("test_", "snapshot")
PARTS = {"data", "classes", "net", "solver", "settings", "iter_size", "minibatches", "seed", "start"}
WHAT = {"data": "its images, annotations, lists or proposals (data) differ", "net": "its net differs",
        "solver": "its solver differs", "start": "its start weights differ"}


def identify(net_param, solver_param, data_key, classes, seed, weights):
    """The identity of a run.

    net_param, solver_param: of training.fitting.fit_solver.  data_key: of imdb.source_key, or roidb_key.
    weights: path of the caffemodel it starts from, or None.
    """
    settings = {key: plain(value) for key, value in changed_settings().items()
                if key not in UNCOUNTED and not key.startswith(UNCOUNTED_BRANCH)}
    return {"data": data_key, "classes": None if classes is None else list(classes),
            "net": _digest(net_param.SerializeToString(deterministic=True)),
            "solver": _digest(json.dumps(_counted_fields(solver_param)).encode()),
            "settings": settings, "iter_size": solver_param.iter_size,
            "minibatches": solver_param.iter_size * solver_count(),
            "seed": seed, "start": file_hash(weights) if weights else None}


def known_identity(value):
    """`value`, read from a file, if it is an identity of this version; otherwise None."""
    return value if isinstance(value, dict) and PARTS <= value.keys() else None


def _folded(names):
    return [name.lower() for name in names]


def differences(this, other, ignore=()):
    """The differences of two identities: a list of texts about `other`; [] if they belong to one run.

    ignore: parts that may differ.  Processes and iter_size may change if an iteration has as many minibatches.
    """
    found = [WHAT[part] for part in WHAT if part not in ignore and this[part] != other[part]]
    if None not in (this["classes"], other["classes"]) and _folded(this["classes"]) != _folded(other["classes"]):
        found.append(f"its classes are {' '.join(other['classes'])}, not {' '.join(this['classes'])}")
    if "seed" not in ignore and this["seed"] != other["seed"]:
        found.append(f"its seed is {other['seed']}, not {this['seed']}")
    if this["iter_size"] != other["iter_size"] and this["minibatches"] != other["minibatches"]:
        found.append(f"its iterations have {other['minibatches']} minibatches, not {this['minibatches']}")
    mine, theirs = this["settings"], other["settings"]
    return found + [f"its {key} is {theirs.get(key, 'the default')}, not {mine.get(key, 'the default')}"
                    for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]


def roidb_key(roidb):
    """Digest of a roidb with unknown sources: the names, sizes and contents of its images."""
    digest = hashlib.sha256()
    for entry in roidb:
        overlaps = entry["gt_overlaps"]
        name = os.path.basename(str(entry.get("image", "")))
        digest.update(repr((name, entry["width"], entry["height"], bool(entry["flipped"]))).encode())
        for array in (entry["boxes"], entry["gt_classes"], overlaps.indptr, overlaps.indices, overlaps.data):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _counted_fields(solver_param):
    """[(field, value as text)] of the fields that differ from their defaults."""
    uncounted = UNCOUNTED_FIELDS - ({"max_iter"} if solver_param.lr_policy == "poly" else set())
    return [(field.name, str(value)) for field, value in solver_param.ListFields()
            if field.name not in uncounted and not field.name.startswith(UNCOUNTED_BEGINNINGS)
            and value != field.default_value]


def _digest(data):
    return hashlib.sha256(data).hexdigest()
