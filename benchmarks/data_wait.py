"""How long training waits for minibatches: share of a VGG_CNN_M_1024 iteration in bf16, with and without prefetch."""
import sys
import tempfile
import time
from contextlib import redirect_stdout
from statistics import median

from _inputs import Sizes
from _ours import MODELS, he_weights, precision
from _report import Row
from _voc_folder import OBJECTS, write_voc_folder
from datasets.factory import get_imdb
from fast_rcnn.config import cfg
from fast_rcnn.train import SolverWrapper, get_training_roidb

NET = "VGG_CNN_M_1024"
IMAGES = 8
LIMIT = 2.0         # percent that are asked for


def cases(sizes):
    """{case name: function of the settings}."""
    return {"data_wait": _measure}


def _measure(settings):
    """One row: percent of an iteration (one pass) spent waiting; the peer makes each minibatch when asked."""
    with tempfile.TemporaryDirectory() as folder, precision("bf16"), redirect_stdout(sys.stderr):
        roidb = _roidb(folder, settings.sizes)
        percent = {prefetch: _percent(folder, roidb, prefetch, settings.repeats) for prefetch in (True, False)}
    return [Row("data_wait/%s/bf16" % NET, percent[True], percent[False], "without prefetch", LIMIT, 1, "limit", "%")]


def _roidb(folder, sizes: Sizes):
    cfg.TRAIN.USE_OHEM, cfg.TRAIN.BG_THRESH_LO, cfg.TRAIN.IMS_PER_BATCH = True, 0.0, 1
    cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.SCALES, cfg.TRAIN.USE_FLIPPED = sizes.batch, (sizes.height,), False
    imdb = get_imdb(write_voc_folder(folder + "/voc", IMAGES, sizes.rois - OBJECTS))
    root, cfg.ROOT_DIR = cfg.ROOT_DIR, folder       # its caches
    roidb = get_training_roidb(imdb)
    cfg.ROOT_DIR = root
    return roidb


def _percent(folder, roidb, prefetch, repeats):
    """Median over `repeats` iterations, the first one aside, which has nothing made ahead."""
    cfg.TRAIN.USE_PREFETCH = prefetch
    wrapper = SolverWrapper(str(MODELS / NET / "fast_rcnn_ohem" / "solver.prototxt"), roidb, folder + "/out")
    solver, data_layer = wrapper.solver, wrapper.solver.net.layers[0]
    solver.param.iter_size, solver.param.display = 1, 0
    he_weights(solver.net)
    next(iter(solver.net.params.values()))[0].data[...] /= 64       # pixels of up to 150
    solver.step(1)
    shares = []
    for _ in range(repeats):
        waited, start = data_layer.waited, time.perf_counter()
        solver.step(1)
        shares.append(100 * (data_layer.waited - waited) / (time.perf_counter() - start))
    return median(shares)
