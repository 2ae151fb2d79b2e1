"""Makes the solver and net of a run from a model's prototxts: fitted to the classes, with a shortened schedule."""
import math
import os

from fast_rcnn.config import cfg
from fast_rcnn.prototxt import read_net, read_solver, set_num_classes
from utils.errors import UserError


def fit_solver(solver_prototxt, num_classes):
    """(SolverParameter, NetParameter, whether the net had to change) for num_classes classes.

    The solver names its net by an absolute path, that of the prototxt before it changed.  Its own snapshots are off:
    they would hold normalised weights.
    """
    solver_param = read_solver(solver_prototxt)
    if solver_param.weights:        # Caffe would load them as they are, whatever their classes
        raise UserError(f"{solver_prototxt}: its field weights names {', '.join(solver_param.weights)}; remove it, "
                        "and give the file with --weights, which compares its classes with those of the data set")
    path = _find(getattr(solver_param, net_field(solver_param)), solver_prototxt)
    net_param = read_net(path)
    changed = set_num_classes(net_param, num_classes)
    setattr(solver_param, net_field(solver_param), path)
    solver_param.snapshot = 0
    solver_param.iter_size = cfg.TRAIN.ITER_SIZE or solver_param.iter_size
    return solver_param, net_param, changed


def net_field(solver_param):
    """The field in which a solver names its train net."""
    return "train_net" if solver_param.HasField("train_net") else "net"


def snapshot_prefix(solver_param, infix: str) -> str:
    """The prefix of a solver's snapshot names, without a folder; infix: TRAIN.SNAPSHOT_INFIX."""
    prefix = os.path.basename(solver_param.snapshot_prefix) or "fast_rcnn"
    return f"{prefix}_{infix}" if infix else prefix


def shorten_schedule(solver_param, max_iters, fraction):
    """Lower the rate once, after `fraction` of max_iters iterations; 0 keeps the solver's schedule."""
    if not fraction:
        return
    if max_iters is None:
        raise UserError("TRAIN.STEP_FRACTION is %g, but the number of iterations is unknown; give SolverWrapper "
                        "max_iters, or set STEP_FRACTION to 0" % fraction)
    if solver_param.lr_policy not in ("step", "multistep"):
        raise UserError("TRAIN.STEP_FRACTION needs lr_policy step; the solver has %s. Set it to 0, or use a solver "
                        "with lr_policy step" % (solver_param.lr_policy or "none"))
    solver_param.lr_policy = "multistep"
    solver_param.stepvalue[:] = [max(1, math.ceil(fraction * max_iters))]


def _find(path, solver_prototxt):
    """Absolute path of a net that a solver names: from the working directory, else from the project's root."""
    folders = os.getcwd(), cfg.ROOT_DIR
    for folder in folders:
        if path and os.path.isfile(os.path.join(folder, path)):
            return os.path.abspath(os.path.join(folder, path))
    raise UserError("%s: its train_net %r was not found, neither in %s nor in %s" % (solver_prototxt, path, *folders))
