"""Trains on one image and says what memory it took: NET METHOD PRECISION FOLDER HEIGHT WIDTH ROIS STEPS.

METHOD ours: the project's solver, data layer and OHEM net on a data set written into FOLDER, iter_size 2, a snapshot.
METHOD plain: the plain PyTorch net on blobs in memory.
Prints {"gb": peak resident memory of training, "gb_with_snapshot": ...}.
"""
import contextlib
import json
import sys

import _paths  # noqa: F401
import caffe
from _inputs import Sizes, minibatch
from _ours import MODELS, RATE, he_weights
from _plain import PlainNet, random_params, training_step
from _voc_folder import OBJECTS, write_voc_folder
from _worker import peak_gb


def ours(net_name, folder, sizes, steps):
    from datasets.factory import get_imdb
    from fast_rcnn.config import cfg, cfg_from_file, cfg_from_list
    from fast_rcnn.train import SolverWrapper, get_training_roidb
    cfg_from_file(str(_paths.ROOT / "experiments" / "cfgs" / "fast_rcnn_ohem.yml"))
    cfg_from_list(["TRAIN.USE_FLIPPED", "False", "TRAIN.SCALES", "[%d]" % sizes.height])
    imdb = get_imdb(write_voc_folder(folder + "/voc", 1, sizes.rois - OBJECTS, sizes.height, sizes.width))
    cfg.ROOT_DIR = folder       # its caches
    roidb = get_training_roidb(imdb)
    cfg.ROOT_DIR = str(_paths.ROOT)
    wrapper = SolverWrapper(str(MODELS / net_name / "fast_rcnn_ohem" / "solver.prototxt"), roidb, folder + "/out")
    he_weights(wrapper.solver.net)
    next(iter(wrapper.solver.net.params.values()))[0].data[...] /= 64   # pixels of up to 150
    return lambda: wrapper.solver.step(steps), wrapper.snapshot


def plain(net_name, folder, sizes, steps):
    import torch
    blobs = {name: torch.from_numpy(blob) for name, blob in minibatch(sizes, sizes.rois).items()}
    net = PlainNet(net_name, random_params(net_name))
    optimizer = net.optimizer(RATE)

    def train():
        for _ in range(2 * steps):
            training_step(net, optimizer, blobs, lambda prob, boxes: prob[:, 0].argsort()[:sizes.batch])
    return train, lambda: None


def main():
    caffe.keep_freed_memory()       # as the tools
    net_name, method, precision, folder, *numbers = sys.argv[1:]
    height, width, rois, steps = map(int, numbers)
    caffe.set_log_level(2)
    caffe.set_precision(precision)
    with contextlib.redirect_stdout(sys.stderr):
        train, snapshot = {"ours": ours, "plain": plain}[method](net_name, folder, Sizes(height, width, rois), steps)
        train()
        in_training = peak_gb()
        snapshot()
    print(json.dumps({"gb": in_training, "gb_with_snapshot": peak_gb()}))


if __name__ == "__main__":
    main()
