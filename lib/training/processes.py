"""Training in several processes (torchrun): what they share, and what each has for itself.  Alone, nothing changes.

The minibatches of an iteration are dealt out by roi_data_layer.layer; here are gradients, random numbers, the decision
to stop, and the figures of the log.
"""
import caffe
import numpy as np
from utils import caffe_extensions

from training.stop_signals import STOPPING


def share_gradients(solver):
    """Have a solver, fed and restored, share weights now and gradients from now on; returns what binds them."""
    nccl = caffe_extensions.join(solver)
    if nccl.count > 1:
        nccl.bcast()
        solver.add_callback(nccl)
        if solver.param.layer_wise_reduce:
            solver.net.after_backward(nccl)
    return nccl


def seed_iteration(seed, iteration):
    """Of several processes, give each its own random numbers (dropout, sampling in layers) for one iteration.

    They follow from seed, iteration and rank alone, so that a snapshot of one process resumes them all.
    """
    if caffe_extensions.solver_count() > 1:
        words = np.random.SeedSequence([seed, iteration, caffe_extensions.solver_rank()]).generate_state(2).tolist()
        np.random.seed(words[0])
        caffe.set_random_seed(words[1])


def agree_on_stop(nccl, received):
    """The signal that one process, or several, received so far, or None: the same answer in all of them."""
    shares = nccl.mean([number == received for number in STOPPING])
    return next((number for number, share in zip(STOPPING, shares) if share), None)


def mean_row(nccl, row):
    """The means of {name: number} of each process over the processes in rank 0, None in the others."""
    rows = nccl.gather(row)
    return rows and {name: float(np.mean([other[name] for other in rows])) for name in row}
