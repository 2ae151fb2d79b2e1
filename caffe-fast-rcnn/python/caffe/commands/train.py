"""caffe train: a solver prototxt, from its fillers, from weights or from a snapshot, up to max_iter."""
import torch

from .. import common
from ..common import CaffeError, log
from ..parallel import LostProcess
from ..proto import caffe_pb2
from ..solver import get_solver
from ..util.files import read_text_proto
from .flags import Flag, whole_list
from .model import GPU, WEIGHTS, gpus, use_device
from .signal_actions import SignalActions
from .train_processes import agreed, join, started

USAGE = "-solver solver.prototxt"
FLAGS = [Flag("solver", "", "solver prototxt"),
         Flag("snapshot", "", "solverstate to resume from"), WEIGHTS, GPU,
         Flag("level", 0, "network level"), Flag("stage", "", "network stages, as a,b"),
         Flag("sigint_effect", "stop", "effect of Ctrl-C: stop (after a snapshot), snapshot or none"),
         Flag("sighup_effect", "snapshot", "effect of SIGHUP: stop, snapshot or none")]


def run(flags, _arguments):
    """Train; several GPUs get a process each."""
    if not flags.solver:
        raise CaffeError("need a solver definition to train: -solver solver.prototxt")
    if flags.snapshot and flags.weights:
        raise CaffeError("give -snapshot to resume training or -weights to finetune, not both")
    actions = SignalActions(flags.sigint_effect, flags.sighup_effect)
    param = _solver_param(flags)
    devices = _devices(flags, param)
    with actions, started(_train_on, flags, param, devices) as uid:
        try:
            _train_on(0, uid, flags, param, devices, actions)
        except LostProcess as e:
            raise CaffeError("%s; resume from the last snapshot with -snapshot" % e) from None


def _solver_param(flags):
    """The solver of -solver with -level, -stage and -weights applied."""
    param = read_text_proto(flags.solver, caffe_pb2.SolverParameter())
    if flags.level:
        param.train_state.level = flags.level
    param.train_state.stage.extend(whole_list(flags.stage))
    if flags.weights:
        param.weights[:] = whole_list(flags.weights)
    return param


def _devices(flags, param):
    """[GPU numbers] of -gpu, else of the solver's solver_mode and device_id; [] for the CPU."""
    chosen = gpus(flags.gpu)
    if not chosen and param.HasField("solver_mode") and param.solver_mode == caffe_pb2.SolverParameter.GPU:
        try:
            common.set_device(param.device_id)
            common.set_mode_gpu()
        except CaffeError as e:
            raise CaffeError("%s has solver_mode: GPU, which cannot be used (%s); set solver_mode: CPU there"
                             % (flags.solver, e)) from None
        chosen = [param.device_id]
    count = torch.cuda.device_count()
    if len(chosen) > 1 and (max(chosen) >= count or len(set(chosen)) < len(chosen)):
        raise CaffeError("-gpu %s: expected different numbers below %d, as many CUDA devices as there are"
                         % (flags.gpu, count))
    return chosen


def _train_on(rank, uid, flags, param, devices, actions):
    """Train in the process of this rank, one of as many as there are devices."""
    if devices:
        log("caffe.cpp:204", "Using GPUs %s" % ", ".join(map(str, devices)))
    use_device(str(devices[rank]) if devices else "")
    log("solver.cpp:45", "Initializing solver from parameters: \n%s" % param)
    solver = get_solver(param)
    log("solver.cpp:57", "Solver scaffolding done.")
    nccl = join(solver, uid) if uid else None
    solver.action_function = agreed(actions, nccl) if nccl else actions
    if flags.snapshot:
        log("caffe.cpp:228", "Resuming from %s" % flags.snapshot)
        solver.restore(flags.snapshot)
    if flags.weights:
        log("caffe.cpp:128", "Finetuning from %s" % flags.weights)
    log("caffe.cpp:239", "Starting Optimization")
    solver.solve()
    log("caffe.cpp:250", "Optimization Done.")
