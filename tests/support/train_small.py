"""Trains a small net in a process of its own, for tests that stop it.

usage: train_small.py FOLDER OHEM(0|1) MAX_ITERS [RESUME]; writes into FOLDER/output
"""
import sys
from pathlib import Path

import caffe
import numpy as np
from fast_rcnn.train import train_net

from support.roidbs import random_entries
from support.settings import settings
from support.small_nets import OHEM_NET, PLAIN_NET, SOLVER, write_solver

SETTINGS = {"TRAIN.SCALES": (48,), "TRAIN.MAX_SIZE": 96, "TRAIN.BATCH_SIZE": 8, "TRAIN.IMS_PER_BATCH": 2,
            "TRAIN.BG_THRESH_LO": 0.0, "TRAIN.SNAPSHOT_ITERS": 4}


def train_small(folder, ohem=False, max_iters=6, resume=None, solver=SOLVER, dropout=0.2, run=None, edit=str, **changes):
    """Snapshot paths of a training run on 5 images in `folder`, from seed 3.

    edit: makes another text of the train net.
    Of several processes each writes what it reads into a folder of its own; folder/output is one.
    """
    output = folder / "output"
    if caffe.solver_count() > 1:
        folder = folder / ("rank%d" % caffe.solver_rank())
        folder.mkdir(exist_ok=True)
    net = (OHEM_NET if ohem else PLAIN_NET).replace("dropout_ratio: 0.2", "dropout_ratio: %g" % dropout)
    caffe.set_random_seed(3)
    np.random.seed(3)
    with settings({**SETTINGS, "TRAIN.USE_OHEM": ohem, **changes}):
        path = write_solver(folder, edit(net), solver)
        return train_net(path, random_entries(folder, 5), output, None, max_iters, resume, run=run)


if __name__ == "__main__":
    train_small(Path(sys.argv[1]), bool(int(sys.argv[2])), int(sys.argv[3]), *sys.argv[4:])
