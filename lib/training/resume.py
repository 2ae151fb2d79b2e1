"""What exact resume needs beside a snapshot's caffemodel and solverstate, in <snapshot>.resume.npz.

The caffemodel holds un-normalised box weights, so the raw ones are kept here; then numpy's random state, and for each
data layer where it stands in its epoch.  Momentum, iteration and the random state of the net are in the solverstate.
Of which run the snapshot is, and the hash of its caffemodel, are here too.
"""
import json
import os
import re
import zipfile
import zlib
from collections import namedtuple

import numpy as np
from caffe.proto import caffe_pb2
from datasets.content_hash import file_hash
from datasets.npz_headers import require_small_headers
from google.protobuf.message import DecodeError
from utils.errors import UserError
from utils.whole_file import whole_file

MALFORMED = (LookupError, ValueError, TypeError, OverflowError, RecursionError)     # what arrays of other shapes end in
STATE, RESUME = ".solverstate", ".resume.npz"
LEDGER = "ledger."      # before the names of the arrays of the loss ledger
# identity: of training.identity, None where the state names no run; weights_hash, seed: None where it has none
Origin = namedtuple("Origin", "identity weights_hash seed")


def save_resume(stem, arrays, samplers, seed, identity=None, ledger=None):
    """Write <stem>.resume.npz, whole or not at all, for the <stem>.caffemodel that is there.

    arrays: {name: array}, the raw box weights; samplers: [{name: array}], one for each data layer; seed: from which
    the random numbers of several processes follow; identity: of the run (training.identity).
    ledger: arrays of its loss ledger (training.loss_ledger), if it has one.
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    content = {"rng_keys": keys, "rng_rest": np.array([position, has_gauss, gauss]), "rng_kind": np.array(kind),
               "seed": np.array(seed)}
    content.update(("raw." + name, array) for name, array in arrays.items())
    content.update((LEDGER + name, array) for name, array in (ledger or {}).items())
    content.update(("sampler%d.%s" % (k, name), array) for k, state in enumerate(samplers)
                   for name, array in state.items())
    if identity is not None:
        content.update(identity=np.array(json.dumps(identity)), weights_hash=np.array(file_hash(stem + ".caffemodel")))
    with whole_file(stem + RESUME) as f:
        np.savez(f, **content)


def load_resume(solverstate):
    """(arrays, samplers, seed) as given to save_resume, for the path of a solverstate; sets numpy's random state.

    None for a state of C++ Caffe: its caffemodel holds the raw weights, and the rest starts again.
    """
    path = _resume_file(solverstate)
    if path is None:
        return None
    content = _read(path, lambda name: not name.startswith(LEDGER))
    try:
        (position, has_gauss, gauss), seed = content["rng_rest"], int(content["seed"])
        np.random.set_state((str(content["rng_kind"]), content["rng_keys"], int(position), int(has_gauss), gauss))
        samplers = _samplers(content)
    except MALFORMED as e:
        raise _no_state(path, e) from e
    states = [samplers.get(k, {}) for k in range(max(samplers, default=-1) + 1)]
    return _under(content, "raw."), states, seed


def _samplers(content):
    """{number of the data layer: {name: array}}."""
    samplers = {}
    for name in content:
        if name.startswith("sampler"):
            number, key = name[len("sampler"):].split(".")
            samplers.setdefault(int(number), {})[key] = content[name]
    if samplers and max(samplers) >= len(samplers):
        raise ValueError(f"samplers {sorted(samplers)[:5]}, expected 0 to {len(samplers) - 1}")
    return samplers


def read_ledger(solverstate):
    """The arrays of the loss ledger ({name: array}) in a state; {} where it has none."""
    path = _resume_file(solverstate)
    return {} if path is None else _under(_read(path, lambda name: name.startswith(LEDGER)), LEDGER)


def read_origin(solverstate):
    """The Origin of a state; UserError if the file is not a state, or is incomplete."""
    path = _resume_file(solverstate)
    if path is None:
        return Origin(None, None, None)
    content = _read(path, {"identity", "weights_hash", "seed"}.__contains__)
    try:
        identity = json.loads(str(content["identity"])) if "identity" in content else None
        return Origin(identity, str(content.get("weights_hash")), int(content["seed"]))
    except MALFORMED as e:
        raise _no_state(path, e) from e


def states_of(output_dir, prefix=None):
    """Paths of the complete resume states in a folder, by rising iteration.

    prefix: of the snapshots <prefix>_iter_<n> alone.
    """
    prefix = ".*" if prefix is None else re.escape(os.path.basename(prefix))
    found = [(int(match[1]), os.path.join(output_dir, name)) for name in _listed(output_dir)
             if (match := re.fullmatch(r"%s_iter_(\d+)%s" % (prefix, re.escape(STATE)), name))]
    return [path for _, path in sorted(found) if os.path.exists(stem_of(path) + RESUME) or _is_of_caffe(path)]


def last_state(output_dir, prefix=None):
    """The last of states_of, or None."""
    return (states_of(output_dir, prefix) or [None])[-1]


def drop_other_states(prefix, stem):
    """Remove the resume states of the snapshots <prefix>_iter_<n> but that of `stem`; the caffemodels stay."""
    pattern = re.compile(re.escape(os.path.basename(prefix)) + r"_iter_\d+(%s|%s)$" % (re.escape(STATE),
                                                                                      re.escape(RESUME)))
    folder, keep = os.path.dirname(stem), {os.path.basename(stem) + end for end in (STATE, RESUME)}
    for name in _listed(folder):
        if pattern.match(name) and name not in keep:
            os.remove(os.path.join(folder, name))


def stem_of(solverstate):
    """<snapshot> of <snapshot>.solverstate."""
    if not str(solverstate).endswith(STATE):
        raise UserError("cannot resume from %s: expected a *%s file of a snapshot" % (solverstate, STATE))
    return str(solverstate)[:-len(STATE)]


def _resume_file(solverstate):
    """Path of the .resume.npz of a state; None for a state of C++ Caffe, which has none."""
    path = stem_of(solverstate) + RESUME
    if os.path.exists(solverstate) and not os.path.exists(path) and _is_of_caffe(solverstate):
        return None
    for needed in (solverstate, path):
        if not os.path.exists(needed):
            raise UserError("cannot resume: %s does not exist; resume from the <snapshot>%s of the last snapshot, with "
                            "the files next to it" % (needed, STATE))
    return path


def _is_of_caffe(solverstate):
    """Whether C++ Caffe wrote a solverstate: it keeps no random state there."""
    try:
        with open(solverstate, "rb") as f:
            state = caffe_pb2.SolverState.FromString(f.read())
    except (OSError, DecodeError):
        return False
    return state.HasField("iter") and not any(field.name == "random_state" for field, _ in state.ListFields())


def _read(path, wanted):
    """{name: array} of an .npz, of the names for which wanted(name)."""
    try:
        require_small_headers(path)
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if wanted(name)}
    except (OSError, EOFError, *MALFORMED, MemoryError, NotImplementedError, zlib.error, zipfile.BadZipFile) as e:
        raise _no_state(path, e) from e


def _no_state(path, error):
    return UserError("cannot resume: %s is not a resume state (%s); train again from the weights" % (path, error))


def _under(content, prefix):
    return {name[len(prefix):]: array for name, array in content.items() if name.startswith(prefix)}


def _listed(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []
