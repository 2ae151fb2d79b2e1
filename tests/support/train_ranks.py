"""Training runs in several processes, for tests that look at what they leave; each function runs in every rank."""
import os
import signal
import time
from pathlib import Path

import caffe
from training.log import TrainingLog

from support.train_small import train_small

ONE_IMAGE = {"TRAIN.IMS_PER_BATCH": 1, "TRAIN.SNAPSHOT_ITERS": 0}


def join(folder, name):
    """Bind the processes, when it is not done; returns folder/name, made."""
    caffe.NCCL(None, os.environ["UID_OF_RUN"])
    caffe.set_log_level(1)
    path = Path(folder, name)
    path.mkdir(exist_ok=True)
    return path


def run_all(folder):
    """plain, ohem: 7 iterations without dropout; whole: 9 with it, and parts: as whole, resumed after 5; stopped; killed."""
    for name in ("plain", "ohem"):
        train_small(join(folder, name), name == "ohem", 7, dropout=0, **ONE_IMAGE)
    train_small(join(folder, "whole"), True, 9, **ONE_IMAGE)
    train_small(join(folder, "parts"), True, 5, **ONE_IMAGE)
    resume_parts(folder, "parts", 5)
    stop(join(folder, "stopped"))
    kill(join(folder, "killed"))


def resume_parts(folder, name, iteration):
    """Go on from an iteration to 9."""
    path = join(folder, name)
    train_small(path, True, 9, path / "output" / ("small_iter_%s.solverstate" % iteration), **ONE_IMAGE)


def stop(path):
    """SIGTERM to rank 1 alone in iteration 3: both stop behind it."""
    interrupt_rank_1(3, signal.SIGTERM)
    try:
        train_small(path, True, 9, **ONE_IMAGE)
    except SystemExit as e:
        assert e.code == 143


def kill(path):
    """Rank 1 is killed in iteration 5; rank 0 says so and ends with 7."""
    interrupt_rank_1(5, signal.SIGKILL)
    try:
        train_small(path, True, 9, **ONE_IMAGE)
    except caffe.LostProcess as e:
        print(e)
        raise SystemExit(7) from e


def interrupt_rank_1(iteration, number, add=TrainingLog.add):
    """Send rank 1 the signal when the update of an iteration is made, before the processes speak again."""
    def interrupting(self, done, net):
        if done == iteration and caffe.solver_rank() == 1:
            time.sleep(0.5)     # so that the others have what they need of it for their update
            os.kill(os.getpid(), number)
        add(self, done, net)
    TrainingLog.add = interrupting
