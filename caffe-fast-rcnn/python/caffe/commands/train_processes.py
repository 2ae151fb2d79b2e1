"""caffe train -gpu 0,1: a process for each GPU; they train together and make the same updates."""
import multiprocessing
from contextlib import contextmanager

from .. import common
from ..common import CaffeError
from ..parallel import NCCL
from .signal_actions import SignalActions

_ACTIONS = (None, "snapshot", "stop")


@contextmanager
def started(function, flags, param, devices):
    """Context manager: runs function(rank, uid, flags, param, devices, actions) in a process per device but the first.

    Gives the uid under which the processes join, None where one process is enough.
    """
    if len(devices) < 2:
        yield None
        return
    context, uid = multiprocessing.get_context("spawn"), NCCL.new_uid()
    others = [context.Process(target=_run_rank, args=(function, rank, uid, flags, param, devices))
              for rank in range(1, len(devices))]
    for process in others:
        process.start()
    take_rank(0, len(devices))
    try:
        yield uid
    except BaseException:
        for process in others:      # they may wait for this one
            process.terminate()
        raise
    finally:
        for process in others:
            process.join()


def take_rank(rank, count):
    """Set the rank of this process and the number of processes."""
    common.set_solver_count(count)
    common.set_solver_rank(rank)
    common.set_multiprocess(True)


def _run_rank(function, rank, uid, flags, param, devices):
    take_rank(rank, len(devices))
    with SignalActions(flags.sigint_effect, flags.sighup_effect) as actions:
        try:
            function(rank, uid, flags, param, devices, actions)
        except CaffeError:      # rank 0 gets and reports the same error
            raise SystemExit(1) from None


def join(solver, uid):
    """The caffe.NCCL that averages the gradients of the solver over the processes."""
    nccl = NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    return nccl


def agreed(actions, nccl):
    """An action function that gives all processes the action any of them received; stop has priority."""
    def ask():
        wanted = _ACTIONS.index(actions())
        asked = nccl.mean([wanted == number for number in range(len(_ACTIONS))])
        return next((_ACTIONS[number] for number in (2, 1) if asked[number]), None)
    return ask
