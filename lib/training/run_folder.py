"""The folder of a training run: which run it holds, from which state that goes on, and the files of the run before.

A run writes its record, with its identity, before its first iteration.  Where the folder holds files of a run before,
which starts over or is overwritten, they lie in `previous_run` until the new run has a snapshot: a new run that ends
earlier leaves nothing that is worth more, and the next one puts them back.
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
    """What is to be known of a run beside what it learns.

    data_key: of imdb.source_key, None: the roidb's own.  overwrite: also in a folder that holds another run.
    any_seed: a run that is resumed may have any seed.  facts: {name: value}, for its record.
    paths: {name: path} of what its command named, which are told where they change.
    """
    data_key: str | None = None
    overwrite: bool = False
    any_seed: bool = False
    facts: dict = field(default_factory=dict)
    paths: dict = field(default_factory=dict)


def choose_state(folder, prefix, identity, resume, run):
    """(path of the state to go on from or None, identity of the run that goes on); changes nothing.

    prefix: of the snapshots.  resume: None, from its start; the path of a state; 'auto', from the last state of this
    run, if any.  UserError where the folder or the state is of another run, unless that is to be overwritten, and
    where the state's weights are not those it was written with.
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
    """(identity of the run that the folder holds or None, why it is another: []); UserError where it is another.

    overwrite: then the reasons are returned.
    """
    held = known_identity(read_record(folder).get("identity"))
    reasons = differences(identity, held, ignore) if held else []
    if reasons and not overwrite:
        raise UserError(f"{folder} holds another training: {'; '.join(reasons)}. Train in another folder (--set "
                        "EXP_DIR NAME), or write over it (--overwrite, or OVERWRITE=1 before a script)")
    return held, reasons


@contextmanager
def begun(folder, record, goes_on):
    """Put the folder in order for a run and write its record; where the block fails, all is as before.

    goes_on: whether the run is resumed; the files of another run are set aside all the same.
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
        record = {**record, "model": before["model"]}       # that is there until the run has a later one
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
    """The run has a snapshot: the files of the run before go, but for its caffemodels."""
    shutil.rmtree(os.path.join(folder, PREVIOUS), ignore_errors=True)


def record_folder(model):
    """Where the record of the run lies that wrote a caffemodel, or a state.

    It is its folder, unless a new run has begun there and has no snapshot yet.
    """
    folder = os.path.dirname(os.fspath(model))
    previous = os.path.join(folder, PREVIOUS)
    return previous if os.path.exists(os.path.join(previous, RECORD)) else folder


def _ignored(identity, resume, any_seed):
    """The parts of an identity in which a run that is resumed need not agree with what the command says."""
    if resume is None:
        return ()
    return ("seed",) * any_seed + ("start",) * (identity["start"] is None)


def _tell_start(folder, prefix, held, reasons):
    """Say what becomes of the files in the folder of a run that starts from its start."""
    stay = "its files stay until the first snapshot"
    if reasons:
        print(f"Writes over the training in {folder} ({'; '.join(reasons)}); {stay}", flush=True)
    elif held:
        print(f"The training in {folder} is this one: it starts over; {stay}", flush=True)
    elif read_record(folder) or states_of(folder, prefix):
        print(f"The training in {folder} names no run (an older version wrote it), and starts over; {stay}", flush=True)


def _last_state(folder, prefix, identity, ignore, takes_unknown):
    """The last state of this run in the folder, else the last one that names no run, where such are taken; or None."""
    origins = [(state, _origin(state).identity) for state in states_of(folder, prefix)]
    own = [state for state, other in origins if other and not differences(identity, other, ignore)]
    unknown = [state for state, other in origins if not other and takes_unknown]
    if origins and not own + unknown:
        print(f"None of the {len(origins)} states in {folder} is of this run", flush=True)
    return (own or unknown or [None])[-1]


def _require_own(state, identity, ignore):
    """The identity with which the run of a state goes on; UserError where it is another run's, or not whole."""
    origin = _origin(state)
    if origin.identity is None:
        print(f"{state} names no run (an older version wrote it, or C++ Caffe); that it is of this one is taken for "
              "granted", flush=True)
        return {**identity, "seed": identity["seed"] if origin.seed is None else origin.seed}
    reasons = differences(identity, origin.identity, ignore)
    if reasons:
        raise UserError(f"cannot resume: {state} is of another training: {'; '.join(reasons)}. Resume with the data "
                        "and settings it began with, or train anew in another folder: --set EXP_DIR NAME")
    weights = stem_of(state) + ".caffemodel"
    if not os.path.exists(weights):
        raise UserError(f"cannot resume: {weights} does not exist; a state needs the weights next to it")
    if file_hash(weights) != origin.weights_hash:
        raise UserError(f"cannot resume: {weights} is not the weights that {os.path.basename(state)} was written with; "
                        "put those there, or start over: leave --resume out")
    return {**identity, **{part: origin.identity[part] for part in ("seed", "start")}}


def _origin(state):
    """resume.read_origin; an identity of another version is none."""
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
    """Put the files in `previous` in place of those of the folder."""
    for path in _files(folder):
        os.remove(path)
    for path in _files(previous):
        os.replace(path, os.path.join(folder, os.path.basename(path)))
    shutil.rmtree(previous, ignore_errors=True)
