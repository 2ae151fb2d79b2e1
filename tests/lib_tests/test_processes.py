"""Training in two processes from outside: the weights of one process, exact resume, one stop, a killed process."""
import csv
import os
import signal

import caffe
import numpy as np
import pytest
from support.ranks import run_ranks
from support.train_ranks import ONE_IMAGE, resume_parts, run_all
from support.train_small import train_small
from training.log import COLUMNS
from training.resume import last_state


@pytest.fixture(autouse=True)
def quiet():
    caffe.set_log_level(1)
    yield
    caffe.set_log_level(0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder with what support.train_ranks.run_all left, its exit codes and what it said."""
    folder = tmp_path_factory.mktemp("ranks")
    return folder, *run_ranks(2, run_all, folder)


def params(caffemodel, folder):
    net = caffe.Net(str(folder / "output" / "train.prototxt"), str(caffemodel), caffe.TRAIN)
    return {"%s:%d" % (name, i): blob.data.copy() for name, blobs in net.params.items() for i, blob in enumerate(blobs)}


def rows(folder):
    with open(folder / "output" / "metrics.csv", encoding="utf-8") as f:
        return list(csv.DictReader(f))


@pytest.mark.parametrize("name", ["plain", "ohem"])
def test_two_processes_end_in_the_weights_of_one_with_iter_size_2(runs, tmp_path, name):
    """The same images and sampled RoIs, over several epochs of 5 images; without dropout, float32 to rounding."""
    folder = runs[0] / name
    train_small(tmp_path, name == "ohem", 7, dropout=0, **{**ONE_IMAGE, "TRAIN.ITER_SIZE": 2})
    theirs, ours = (params(path / "output" / "small_iter_7.caffemodel", path) for path in (folder, tmp_path))
    for weights, array in ours.items():
        np.testing.assert_allclose(theirs[weights], array, rtol=1e-5, atol=1e-6 * np.abs(array).max(), err_msg=weights)
    assert any(np.abs(array).max() > 0.05 for array in ours.values())
    mining = [[[row[column] for column in COLUMNS if "hard" in column] for row in rows(path)] for path in (folder, tmp_path)]
    np.testing.assert_allclose(*[np.array([[float(x or 0) for x in row] for row in found]) for found in mining], rtol=1e-4)
    assert len(mining[0]) == 3


def test_one_process_with_another_share_ends_elsewhere(tmp_path, runs):
    """The test above could fail."""
    train_small(tmp_path, True, 7, dropout=0, **ONE_IMAGE)
    theirs, ours = (params(path / "output" / "small_iter_7.caffemodel", path) for path in (runs[0] / "ohem", tmp_path))
    assert not np.allclose(theirs["cls_score:0"], ours["cls_score:0"], rtol=1e-3)


def state_of(folder):
    return os.path.basename(last_state(folder / "output"))


def test_a_resumed_run_of_two_processes_is_bit_for_bit_an_uninterrupted_one(runs):
    """With dropout, of which each process has its own."""
    model = "output/small_iter_9.caffemodel"
    assert (runs[0] / "parts" / model).read_bytes() == (runs[0] / "whole" / model).read_bytes()
    assert state_of(runs[0] / "parts") == "small_iter_9.solverstate"


def test_all_stop_behind_the_iteration_in_which_one_got_a_signal(runs):
    assert state_of(runs[0] / "stopped") == "small_iter_3.solverstate"
    assert "Stopped by SIGTERM after iteration 3" in runs[2]


def test_a_killed_process_is_named_and_leaves_a_state_for_two_processes_or_one(runs, tmp_path):
    folder, codes, said, log = runs
    assert codes == [7, -signal.SIGKILL], log
    state = last_state(folder / "killed" / "output")
    assert state.endswith("small_iter_5.solverstate")
    assert "rank 1 of the 2 processes of this run ended or was killed; 5 iterations are done, go on with --resume %s" % state in said
    codes, _, log = run_ranks(2, resume_parts, folder, "killed", 5)
    assert codes == [0, 0], log
    model = "output/small_iter_9.caffemodel"
    assert (folder / "killed" / model).read_bytes() == (folder / "whole" / model).read_bytes()


def test_a_state_of_two_processes_resumes_in_one(runs):
    folder = runs[0] / "stopped"
    train_small(folder, True, 6, last_state(folder / "output"), **ONE_IMAGE)
    assert state_of(folder) == "small_iter_6.solverstate" and [row["iter"] for row in rows(folder)] == ["2", "4", "6"]
