"""`caffe train` in several processes, on the CPU."""
import os
from pathlib import Path

import caffe
from caffe.commands.train_processes import agreed, join

from support.caffe_command import write_solver


def train_until_one_stops(folder):
    """Train in this rank; rank 1 is asked for a snapshot after iteration 2 and to stop after 5.  Prints where it ended."""
    rank = caffe.solver_rank()
    own = Path(folder, "rank%d" % rank)
    own.mkdir()
    solver = caffe.get_solver(str(write_solver(own)))
    asked = iter([None, "snapshot", None, None, "stop", None] if rank else [None] * 9)
    solver.action_function = agreed(lambda: next(asked), join(solver, os.environ["UID_OF_RUN"]))
    solver.solve()
    # One write: print makes several, and the lines of two ranks in one pipe then run together.
    os.write(1, b"%d %d\n" % (rank, solver.iter))


def note_rank(rank, uid, _flags, _param, devices, actions):
    """What the processes of `started` call in a test."""
    Path(os.environ["NOTES"], "rank%d" % rank).write_text(
        "%d of %d, %s" % (caffe.solver_rank(), caffe.solver_count(), actions() or uid.decode()[:6]), encoding="utf-8")
