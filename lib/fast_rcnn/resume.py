"""What exact resume needs beside a snapshot's caffemodel and solverstate, in <snapshot>.resume.npz.

The caffemodel holds un-normalised box weights, so the raw ones are kept here; then numpy's random state, and for each
data layer where it stands in its epoch.  Momentum, iteration and the random state of the net are in the solverstate.
"""
import os
import re
import zipfile

import numpy as np
from utils.errors import UserError
from utils.whole_file import whole_file

STATE, RESUME = ".solverstate", ".resume.npz"


def save_resume(stem, arrays, samplers, seed):
    """Write <stem>.resume.npz, whole or not at all.

    arrays: {name: array}, the raw box weights; samplers: [{name: array}], one for each data layer; seed: from which
    the random numbers of several processes follow.
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    content = {"rng_keys": keys, "rng_rest": np.array([position, has_gauss, gauss]), "rng_kind": np.array(kind),
               "seed": np.array(seed)}
    content.update(("raw." + name, array) for name, array in arrays.items())
    content.update(("sampler%d.%s" % (k, name), array) for k, state in enumerate(samplers)
                   for name, array in state.items())
    with whole_file(stem + RESUME) as f:
        np.savez(f, **content)


def load_resume(solverstate):
    """(arrays, samplers, seed) as given to save_resume, for the path of a solverstate; sets numpy's random state."""
    path = stem_of(solverstate) + RESUME
    for needed in (solverstate, path):
        if not os.path.exists(needed):
            raise UserError("cannot resume: %s does not exist; resume from the <snapshot>%s of the last snapshot, with "
                            "the files beside it" % (needed, STATE))
    try:
        with np.load(path, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
        (position, has_gauss, gauss), seed = content["rng_rest"], int(content["seed"])
        np.random.set_state((str(content["rng_kind"]), content["rng_keys"], int(position), int(has_gauss), gauss))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as e:
        raise UserError("cannot resume: %s is no resume state (%s); train again from the weights" % (path, e)) from e
    samplers = {}
    for name in content:
        if name.startswith("sampler"):
            number, key = name[len("sampler"):].split(".")
            samplers.setdefault(int(number), {})[key] = content[name]
    return _under(content, "raw."), [samplers[k] for k in sorted(samplers)], seed


def last_state(output_dir, prefix=None):
    """Path of the complete resume state with the highest iteration in a folder, None where there is none.

    prefix: of the snapshots <prefix>_iter_<n> alone.
    """
    prefix = ".*" if prefix is None else re.escape(os.path.basename(prefix))
    found = [(int(match[1]), name) for name in _listed(output_dir)
             if (match := re.fullmatch(r"%s_iter_(\d+)%s" % (prefix, re.escape(STATE)), name))
             and os.path.exists(os.path.join(output_dir, name[:-len(STATE)] + RESUME))]
    return os.path.join(output_dir, max(found)[1]) if found else None


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


def _under(content, prefix):
    return {name[len(prefix):]: array for name, array in content.items() if name.startswith(prefix)}


def _listed(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []
