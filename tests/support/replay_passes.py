"""Replays a recorded training trajectory and keeps what every pass gave.

usage: replay_passes.py CASE_FOLDER OUT.npz, with `caffe` and lib on PYTHONPATH
"""
import os
import sys

import caffe
import numpy as np
from fast_rcnn.config import cfg

KEPT = ("loss_cls", "loss_bbox", "rois_hard")


def main(folder, out):
    os.chdir(folder)
    sys.path.insert(0, folder)
    cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.OHEM_USE_NMS, cfg.TRAIN.OHEM_NMS_THRESH, cfg.TRAIN.BBOX_REG = 64, True, 0.7, True
    caffe.set_mode_cpu()
    solver = caffe.SGDSolver("solver.prototxt")
    net, passes = solver.net, []
    net.copy_from("init.caffemodel")
    data_layer = net.layers[0]
    give = data_layer.forward

    def keep():
        passes.append({name: net.blobs[name].data.copy() for name in KEPT if name in net.blobs})

    def forward(bottom, top):       # before a minibatch is given, the blobs hold what the pass before made
        keep()
        give(bottom, top)

    data_layer.forward = forward
    weights = {}
    for step in range(1, 31):
        solver.step(1)
        if step in (1, 30):
            weights.update(("w%d.%s:%d" % (step, name, i), blob.data.copy())
                           for name, blobs in net.params.items() for i, blob in enumerate(blobs))
    keep()
    record = {"%s.%d" % (name, n): array for n, kept in enumerate(passes[1:]) for name, array in kept.items()}
    np.savez(out, **record, **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
