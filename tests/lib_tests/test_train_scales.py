"""Training at several scales (+M): one is drawn for each image, the same again after the same seed or a resume."""
import caffe
import numpy as np
import pytest
from fast_rcnn.train import SolverWrapper
from support.roidbs import random_entries
from support.settings import settings
from support.small_nets import write_solver
from support.train_small import SETTINGS, train_small

SEVERAL = {"TRAIN.SCALES": (32, 40, 56), "TRAIN.MAX_SIZE": 200}


def short_sides(folder, count, seed):
    """Of the image in each of `count` minibatches of one."""
    folder.mkdir()
    caffe.set_random_seed(seed)
    np.random.seed(seed)
    with settings({**SETTINGS, **SEVERAL, "TRAIN.IMS_PER_BATCH": 1}):
        net = SolverWrapper(write_solver(folder), random_entries(folder, 4), folder / "output").solver.net
        sides = []
        for _ in range(count):
            net.forward()
            sides.append(min(net.blobs["data"].shape[2:]))
        return sides


def test_a_scale_is_drawn_for_each_image(tmp_path):
    sides = short_sides(tmp_path / "a", 24, seed=3)
    assert set(sides) == set(SEVERAL["TRAIN.SCALES"])
    assert sides == short_sides(tmp_path / "b", 24, seed=3) != short_sides(tmp_path / "c", 24, seed=4)


@pytest.mark.parametrize("ohem", [False, True])
def test_a_resumed_run_draws_the_scales_it_would_have_drawn(tmp_path, ohem):
    runs = [tmp_path / "whole", tmp_path / "parts"]
    for folder in runs:
        folder.mkdir()
    train_small(runs[0], ohem, 9, **SEVERAL)
    train_small(runs[1], ohem, 4, **SEVERAL)
    train_small(runs[1], ohem, 9, resume=runs[1] / "output" / "small_iter_4.solverstate", **SEVERAL)
    whole, parts = (caffe.Net(str(runs[0] / "output" / "train.prototxt"),
                              str(folder / "output" / "small_iter_9.caffemodel"), caffe.TRAIN) for folder in runs)
    for name, blobs in whole.params.items():
        for a, b in zip(blobs, parts.params[name]):
            np.testing.assert_array_equal(a.data, b.data)
