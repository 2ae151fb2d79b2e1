"""The folder of a training run: its run, the state to resume from, and the files of the previous run.

A run writes its record, with its identity, before its first iteration.  When it replaces a previous run in the folder,
the files of that run are in `previous_run` until the new run has a snapshot.  If the new run ends before that, the next
run moves them back.
"""
import glob
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field

from datasets.content_hash import file_hash
from utils.errors import UserError
from utils.whole_file import remove_parts

from training.event_file import SUFFIX
from training.identity import differences, known_identity
from training.record import RECORD, read_record, write_record
from training.resume import read_origin, states_of, stem_of

PREVIOUS = "previous_run"
FILES_OF_A_RUN = (RECORD, "metrics.csv", "train.prototxt", "solver.prototxt", "events.out.tfevents.*" + SUFFIX)


@dataclass(frozen=True)
class Run:
    """The options of a run.

    data_key: imdb.source_key; None: computed from the roidb.  overwrite: replace another run in the folder.
    any_seed: a resumed run may have any seed.  facts: {name: value} for its record.
    paths: {name: path} of the files in the command; changes of them are logged.
    """
    data_key: str | None = None
    overwrite: bool = False
    any_seed: bool = False
    facts: dict = field(default_factory=dict)
    paths: dict = field(default_factory=dict)


def choose_state(folder, prefix, identity, resume, run):
    """(path of the state to resume from or None, identity of the run); changes nothing.

    prefix: of the snapshots.  resume: None to start from the beginning; the path of a state; 'auto' for the last state
    of this run, if any.  Raises UserError if the folder or the state belongs to another run, unless it is to be
    overwritten, and if the state's weights have changed.
    """
    ignore = _ignored(identity, resume, run.any_seed)
    held, reasons = require_own_folder(folder, identity, run.overwrite, ignore)
    if resume == "auto":
        state = _last_state(folder, prefix, identity, ignore, takes_unknown=held is None)
    else:
        state = None if resume is None else os.fspath(resume)
    if state is None:
        if ignore:              # from its start a run needs what it began with
            held, reasons = require_own_folder(folder, identity, run.overwrite, ("seed",) * run.any_seed)
        _tell_start(folder, prefix, held, reasons)
        return None, identity
    return state, _require_own(state, identity, ignore)


def require_own_folder(folder, identity, overwrite, ignore=()):
    """(identity of the run in the folder or None, its differences as a list of texts); UserError if there are any.

    overwrite: return the differences instead of raising.
    """
    held = known_identity(read_record(folder).get("identity"))
    reasons = differences(identity, held, ignore) if held else []
    if reasons and not overwrite:
        raise UserError(f"{folder} holds another training: {'; '.join(reasons)}. Train in another folder (--set "
                        "EXP_DIR NAME), or overwrite it (--overwrite, or OVERWRITE=1 before a script)")
    return held, reasons


@contextmanager
def begun(folder, record, goes_on):
    """Prepare the folder for a run and write its record; if the block fails, the folder is restored.

    goes_on: whether the run is resumed.  Files of another run are moved to `previous_run` in both cases.
    """
    remove_parts(folder)
    previous, path = os.path.join(folder, PREVIOUS), os.path.join(folder, RECORD)
    if os.path.isdir(previous):
        _move_back(previous, folder)
    before = read_record(folder)
    held = known_identity(before.get("identity"))
    keeps = goes_on and (not held or not differences(record["identity"], held))
    if not keeps:
        _set_aside(folder, previous)
    if keeps and "model" in before:
        record = {**record, "model": before["model"]}       # valid until the run writes a later one
    write_record(path, record)
    try:
        yield
    except BaseException:
        if not keeps:
            _move_back(previous, folder)
        elif before:
            write_record(path, before)
        else:
            os.remove(path)
        raise


def drop_previous(folder):
    """Remove the files of the previous run, except its caffemodels; called when the run has a snapshot."""
    shutil.rmtree(os.path.join(folder, PREVIOUS), ignore_errors=True)


def record_folder(model):
    """The folder with the record of the run that wrote a caffemodel or a state.

    This is the folder of the file, unless a new run has begun there and has no snapshot yet.
    """
    folder = os.path.dirname(os.fspath(model))
    previous = os.path.join(folder, PREVIOUS)
    return previous if os.path.exists(os.path.join(previous, RECORD)) else folder


def _ignored(identity, resume, any_seed):
    """The parts of an identity that may differ between the command and a resumed run."""
    if resume is None:
        return ()
    return ("seed",) * any_seed + ("start",) * (identity["start"] is None)


def _tell_start(folder, prefix, held, reasons):
    """Log what happens to existing files in the folder of a run that is not resumed."""
    stay = "its files are kept until the first snapshot"
    if reasons:
        print(f"Overwriting the training in {folder} ({'; '.join(reasons)}); {stay}", flush=True)
    elif held:
        print(f"The training in {folder} is this run, and starts over; {stay}", flush=True)
    elif read_record(folder) or states_of(folder, prefix):
        print(f"The training in {folder} starts over; an older version wrote it; {stay}", flush=True)


def _last_state(folder, prefix, identity, ignore, takes_unknown):
    """The last state of this run in the folder, else the last one without an identity if accepted, else None."""
    origins = [(state, _origin(state).identity) for state in states_of(folder, prefix)]
    own = [state for state, other in origins if other and not differences(identity, other, ignore)]
    unknown = [state for state, other in origins if not other and takes_unknown]
    if origins and not own + unknown:
        print(f"None of the {len(origins)} states in {folder} belongs to this run", flush=True)
    return (own or unknown or [None])[-1]


def _require_own(state, identity, ignore):
    """The identity of the run of a state; UserError if the state belongs to another run or is incomplete."""
    origin = _origin(state)
    if origin.identity is None:
        print(f"{state} does not name its run (an older version or C++ Caffe wrote it); it is assumed to be "
              "of this run", flush=True)
        return {**identity, "seed": identity["seed"] if origin.seed is None else origin.seed}
    reasons = differences(identity, origin.identity, ignore)
    if reasons:
        raise UserError(f"cannot resume: {state} is of another training: {'; '.join(reasons)}. Resume with the data "
                        "and settings of that training, or train in another folder: --set EXP_DIR NAME")
    weights = stem_of(state) + ".caffemodel"
    if not os.path.exists(weights):
        raise UserError(f"cannot resume: {weights} does not exist; a state needs the weights next to it")
    if file_hash(weights) != origin.weights_hash:
        raise UserError(f"cannot resume: {weights} does not hold the weights that {os.path.basename(state)} was saved "
                        "with; restore that file, or leave --resume out to start over")
    return {**identity, **{part: origin.identity[part] for part in ("seed", "start")}}


def _origin(state):
    """resume.read_origin, with None for an identity of another version."""
    origin = read_origin(state)
    return origin._replace(identity=known_identity(origin.identity))


def _files(folder):
    return [path for pattern in FILES_OF_A_RUN for path in glob.glob(os.path.join(glob.escape(folder), pattern))]


def _set_aside(folder, previous):
    files = _files(folder)
    if files:
        os.makedirs(previous)
    for path in files:
        os.replace(path, os.path.join(previous, os.path.basename(path)))


def _move_back(previous, folder):
    """Replace the files of the folder by those in `previous`."""
    for path in _files(folder):
        os.remove(path)
    for path in _files(previous):
        os.replace(path, os.path.join(folder, os.path.basename(path)))
    shutil.rmtree(previous, ignore_errors=True)
