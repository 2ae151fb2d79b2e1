"""Training from outside: snapshots, resume, stops, the log, and settings that contradict each other."""
import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import caffe
import fast_rcnn.train
import numpy as np
import pytest
from fast_rcnn.prototxt import read_net, write_prototxt
from fast_rcnn.train import SolverWrapper, filter_roidb, train_net
from support.reference import ROOT
from support.roidbs import make_entry, random_entries
from support.settings import settings
from support.small_nets import OHEM_NET, PLAIN_NET, SOLVER, write_solver
from support.train_small import SETTINGS, train_small
from training.resume import last_state
from utils.errors import UserError

STEPS = SOLVER.replace('"fixed"', '"step" gamma: 0.1 stepsize: 1000').replace("display: 2", "display: 1")
BOTH = pytest.mark.parametrize("ohem", [False, True])


@pytest.fixture(autouse=True)
def quiet():
    caffe.set_log_level(1)
    yield
    caffe.set_log_level(0)


def weights_of(caffemodel, net):
    """{layer:i: array} of a caffemodel, read into a net of that prototxt."""
    net = caffe.Net(str(net), str(caffemodel), caffe.TRAIN)
    return {"%s:%d" % (name, i): blob.data.copy() for name, blobs in net.params.items() for i, blob in enumerate(blobs)}


def assert_same_weights(one, other, folder):
    a, b = (weights_of(path, folder / "output" / "train.prototxt") for path in (one, other))
    assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def names(folder):
    """What lies in the output folder, but for TensorBoard's file, whose name has a time in it, and the lock."""
    return sorted(name for name in os.listdir(folder / "output") if not name.startswith(("events.", ".lock")))


@BOTH
def test_files_of_a_run(tmp_path, ohem):
    """A caffemodel every SNAPSHOT_ITERS and at the end; the state to resume from only of the last."""
    paths = train_small(tmp_path, ohem)
    assert [os.path.basename(path) for path in paths] == ["small_iter_4.caffemodel", "small_iter_6.caffemodel"]
    assert names(tmp_path) == ["metrics.csv", "run.json", "small_iter_4.caffemodel", "small_iter_6.caffemodel",
                               "small_iter_6.resume.npz", "small_iter_6.solverstate", "solver.prototxt", "train.prototxt"]
    assert last_state(tmp_path / "output") == str(tmp_path / "output" / "small_iter_6.solverstate")


@pytest.mark.parametrize("fraction, rates", [(0, [1] * 8), (0.75, [1] * 6 + [0.1] * 2), (0.1, [1] + [0.1] * 7)])
def test_the_rate_falls_once_after_a_fraction_of_the_iterations(tmp_path, capfd, fraction, rates):
    caffe.set_log_level(0)
    train_small(tmp_path, max_iters=8, solver=STEPS, **{"TRAIN.STEP_FRACTION": fraction})
    got = re.findall(r"Iteration \d+, lr = (\S+)", capfd.readouterr().err)
    np.testing.assert_allclose(np.array(got, float), np.array(rates) * 0.01)


@pytest.mark.parametrize("fraction, policy, message", [(1.0, "step", "STEP_FRACTION is 1.0; expected"), (-0.5, "step", "is -0.5"),
                                                      (0.5, "fixed", "needs lr_policy step; the solver has fixed")])
def test_a_step_fraction_that_means_nothing_is_refused(tmp_path, fraction, policy, message):
    solver = STEPS.replace('"step"', '"%s"' % policy)
    with pytest.raises(UserError, match=message):
        train_small(tmp_path, max_iters=8, solver=solver, **{"TRAIN.STEP_FRACTION": fraction})


def test_more_iterations_than_a_falling_rate_lasts_are_refused(tmp_path):
    solver = STEPS.replace('"step"', '"poly" power: 1 max_iter: 4')
    with pytest.raises(UserError, match="lr_policy poly ends at its max_iter, 4, before the 8 iterations requested"):
        train_small(tmp_path, max_iters=8, solver=solver)


def test_a_step_fraction_of_unknown_iterations_is_refused(tmp_path):
    with settings({**SETTINGS, "TRAIN.STEP_FRACTION": 0.5}), pytest.raises(UserError, match="give SolverWrapper max_iters"):
        SolverWrapper(write_solver(tmp_path, solver=STEPS), random_entries(tmp_path, 2), tmp_path / "output")


def test_infix_in_snapshot_names(tmp_path):
    assert train_small(tmp_path, max_iters=1, **{"TRAIN.SNAPSHOT_INFIX": "stage1"})[0].endswith("small_stage1_iter_1.caffemodel")


def test_zero_iterations_still_leave_a_snapshot(tmp_path):
    assert train_small(tmp_path, max_iters=0)[0].endswith("small_iter_0.caffemodel")


@BOTH
def test_snapshots_are_unnormalised_and_training_is_not(tmp_path, ohem):
    """Weights times std, bias times std plus mean, by class; the net goes on with what it had."""
    entries = random_entries(tmp_path, 5)
    with settings({**SETTINGS, "TRAIN.USE_OHEM": ohem}):
        wrapper = SolverWrapper(write_solver(tmp_path, OHEM_NET if ohem else PLAIN_NET), entries, tmp_path / "output")
        wrapper.solver.step(2)
        before = [blob.data.copy() for blob in wrapper.solver.net.params["bbox_pred"]]
        path = wrapper.snapshot()
        after = [blob.data for blob in wrapper.solver.net.params["bbox_pred"]]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))
    means, stds = wrapper.bbox_means, wrapper.bbox_stds
    assert stds[4:].min() > 0 and (stds[4:] != 1).any()
    saved = weights_of(path, tmp_path / "output" / "train.prototxt")
    np.testing.assert_allclose(saved["bbox_pred:0"], before[0] * stds[:, None], rtol=1e-6)
    np.testing.assert_allclose(saved["bbox_pred:1"], before[1] * stds + means, rtol=1e-6)


def test_a_renamed_predictor_is_unnormalised_too(tmp_path):
    """Mended: the original looks for the name bbox_pred and leaves others normalised without a word."""
    entries = random_entries(tmp_path, 3)
    net = PLAIN_NET.replace('name: "bbox_pred"', 'name: "my_boxes"').replace("num_output: 84", "num_output: 12")
    with settings(SETTINGS):
        wrapper = SolverWrapper(write_solver(tmp_path, net), entries, tmp_path / "output")
        bias = wrapper.solver.net.params["my_boxes"][1].data.copy()
        saved = weights_of(wrapper.snapshot(), tmp_path / "output" / "train.prototxt")
    assert not bias.any() and np.allclose(saved["my_boxes:1"], wrapper.bbox_means) and wrapper.bbox_means.any()


def test_without_normalisation_snapshots_hold_the_weights_as_they_are(tmp_path):
    with settings({**SETTINGS, "TRAIN.BBOX_NORMALIZE_TARGETS": False}):
        wrapper = SolverWrapper(write_solver(tmp_path), random_entries(tmp_path, 3), tmp_path / "output")
        saved = weights_of(wrapper.snapshot(), tmp_path / "output" / "train.prototxt")
    assert np.array_equal(saved["bbox_pred:0"], wrapper.solver.net.params["bbox_pred"][0].data)


@BOTH
def test_a_resumed_run_is_bit_for_bit_an_uninterrupted_one(tmp_path, ohem):
    """Mended: the original keeps no momentum, iteration, random state or place in the epoch."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train_small(whole, ohem, 9)
    train_small(parts, ohem, 5)
    train_small(parts, ohem, 9, resume=parts / "output" / "small_iter_5.solverstate")
    assert_same_weights(whole / "output" / "small_iter_9.caffemodel", parts / "output" / "small_iter_9.caffemodel", whole)
    assert last_state(parts / "output").endswith("small_iter_9.solverstate")
    assert column(whole, "loss")[-1] == column(parts, "loss")[-1]
    assert column(parts, "iter") == ["2", "4", "6", "8"]


@BOTH
def test_prefetch_changes_no_weight(tmp_path, ohem):
    folders = [tmp_path / name for name in ("ahead", "in_turn")]
    for folder, prefetch in zip(folders, (True, False)):
        folder.mkdir()
        train_small(folder, ohem, 7, **{"TRAIN.USE_PREFETCH": prefetch, "TRAIN.SCALES": (32, 48)})
    assert_same_weights(*(folder / "output" / "small_iter_7.caffemodel" for folder in folders), folders[0])


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_snapshots_and_resumes_bit_for_bit(tmp_path, number, code):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    process = start(stopped, 10 ** 6)
    wait_for_line(process, "Iteration 2:")
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code
    state = last_state(stopped / "output")
    assert "go on with --resume %s" % state in said
    done = int(state.rpartition("_")[2].partition(".")[0])
    train_small(stopped, True, done + 3, resume=state)
    train_small(whole, True, done + 3)
    assert_same_weights(*(folder / "output" / ("small_iter_%d.caffemodel" % (done + 3)) for folder in (whole, stopped)), whole)


def test_a_signal_that_comes_while_the_processes_agree_is_not_lost(tmp_path, monkeypatch):
    """Of several processes each waits there for the slowest: most signals come then."""
    agree, calls = fast_rcnn.train.agree_on_stop, []

    def agree_and_signal(*args):
        agreed = agree(*args)
        calls.append(agreed)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return agreed

    monkeypatch.setattr(fast_rcnn.train, "agree_on_stop", agree_and_signal)
    with pytest.raises(SystemExit, match="143"):
        train_small(tmp_path, True, 9)
    assert calls[:3] == [None, None, signal.SIGTERM]
    assert last_state(tmp_path / "output").endswith("small_iter_3.solverstate")


def test_a_signal_during_the_last_snapshot_is_not_lost(tmp_path, monkeypatch):
    """Else a script goes on to testing."""
    snapshot = SolverWrapper.snapshot

    def snapshot_and_signal(self):
        os.kill(os.getpid(), signal.SIGINT)
        return snapshot(self)

    monkeypatch.setattr(SolverWrapper, "snapshot", snapshot_and_signal)
    with pytest.raises(SystemExit, match="130"):
        train_small(tmp_path, True, 2)
    assert last_state(tmp_path / "output").endswith("small_iter_2.solverstate")


def start(folder, max_iters):
    path = os.pathsep.join(str(ROOT / part) for part in ("caffe-fast-rcnn/python", "lib", "tests"))
    return subprocess.Popen([sys.executable, str(ROOT / "tests" / "support" / "train_small.py"), str(folder), "1", str(max_iters)],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            env={**os.environ, "PYTHONPATH": path})     # as many threads as here: the same rounding


def wait_for_line(process, beginning):
    deadline = time.monotonic() + 60
    for line in process.stdout:
        if line.startswith(beginning):
            return
        assert time.monotonic() < deadline
    raise AssertionError("the training process ended before %r" % beginning)


def test_all_files_of_a_snapshot_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        train_small(tmp_path, max_iters=2)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "output").glob("small_*")}
    assert len(modes) == 3 and set(modes.values()) == {0o640}, modes


def test_a_snapshot_clears_states_of_an_earlier_longer_run(tmp_path):
    """Else `the last state` of the folder would be another run's."""
    train_small(tmp_path, max_iters=8)
    train_small(tmp_path, max_iters=2)
    assert last_state(tmp_path / "output").endswith("small_iter_2.solverstate")
    assert "small_iter_8.caffemodel" in names(tmp_path)


def test_resume_from_what_is_no_state_is_refused(tmp_path):
    train_small(tmp_path, max_iters=2)
    state = tmp_path / "output" / "small_iter_2.solverstate"
    with pytest.raises(UserError, match=r"expected a \*.solverstate file"):
        train_small(tmp_path, max_iters=4, resume=state.with_suffix(".caffemodel"))
    arrays = tmp_path / "output" / "small_iter_2.resume.npz"
    arrays.write_bytes(arrays.read_bytes()[:-100])
    with pytest.raises(UserError, match="small_iter_2.resume.npz is not a resume state"):
        train_small(tmp_path, max_iters=4, resume=state)
    os.remove(arrays)
    assert last_state(tmp_path / "output") is None
    with pytest.raises(UserError, match="small_iter_2.resume.npz does not exist"):
        train_small(tmp_path, max_iters=4, resume=state)


def column(folder, name):
    with open(folder / "output" / "metrics.csv", encoding='utf-8') as f:
        return [row[name] for row in csv.DictReader(f)]


@BOTH
def test_metrics_file(tmp_path, ohem, capsys):
    train_small(tmp_path, ohem, 6)
    assert column(tmp_path, "iter") == ["2", "4", "6"]
    loss, cls, bbox = (np.array(column(tmp_path, name), float) for name in ("loss", "loss_cls", "loss_bbox"))
    np.testing.assert_allclose(loss, cls + bbox, rtol=1e-4)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Iteration")]
    assert len(lines) == 3 and all(re.search(r"speed: .*, data wait \d+\.\d %$", line) for line in lines)
    assert all(0 <= float(wait) < float(all_) for wait, all_ in zip(column(tmp_path, "data_wait"), column(tmp_path, "seconds")))
    if ohem:
        mined, hard = (np.array(column(tmp_path, name), float) for name in ("mean_loss_all", "mean_loss_hard"))
        assert (hard > mined).all()
        assert all(0 <= float(gt) <= float(fg) <= 8 for gt, fg in zip(column(tmp_path, "hard_gt"), column(tmp_path, "hard_fg")))
        assert all("ground truth" in line for line in lines)
    else:
        assert set(column(tmp_path, "hard_fg")) == {""} and all("speed: " in line for line in lines)


def test_display_zero_logs_nothing(tmp_path):
    """Mended: `display: 0` divides by zero in the original."""
    train_small(tmp_path, max_iters=3, solver=SOLVER.replace("display: 2", "display: 0"))
    assert column(tmp_path, "iter") == []


def test_a_diverging_run_stops_and_leaves_the_last_good_snapshot(tmp_path):
    with pytest.raises(UserError, match=r"training diverged: .*; lower base_lr in the solver prototxt, or warm up"):
        train_small(tmp_path, max_iters=60, solver=SOLVER.replace("base_lr: 0.01", "base_lr: 1e18"), **{"TRAIN.SNAPSHOT_ITERS": 1})
    for path in (tmp_path / "output").glob("*.caffemodel"):
        assert all(np.isfinite(array).all() for array in weights_of(path, tmp_path / "output" / "train.prototxt").values())


def test_a_loss_that_is_not_finite_names_the_first_such_blob_and_the_images(tmp_path):
    net = PLAIN_NET.replace('type: "ReLU" bottom', 'type: "Power" power_param { shift: inf } bottom')
    with settings(SETTINGS), pytest.raises(UserError, match="training diverged: the loss of iteration 1 is nan; ") as e:
        train_net(write_solver(tmp_path, net), random_entries(tmp_path, 2), tmp_path / "output")
    assert re.search("; blob conv1 of layer conv1 is the first that is not finite, images [01].png [01].png; lower base_lr",
                     str(e.value))


def test_training_starts_from_given_weights(tmp_path):
    with settings({**SETTINGS, "TRAIN.BBOX_NORMALIZE_TARGETS": False}):
        entries = random_entries(tmp_path, 3)
        first = SolverWrapper(write_solver(tmp_path), entries, tmp_path / "output").snapshot()
        other = SolverWrapper(write_solver(tmp_path), entries, tmp_path / "other", first)
    saved = weights_of(first, tmp_path / "output" / "train.prototxt")
    assert all(np.array_equal(blobs[0].data, saved[name + ":0"]) for name, blobs in other.solver.net.params.items())


def test_the_data_layer_may_stand_anywhere(tmp_path):
    """Mended: the original takes the first layer for the data layer."""
    first = 'layer { name: "first" type: "DummyData" top: "dummy" dummy_data_param { shape { dim: 1 } } } '
    with settings(SETTINGS):
        SolverWrapper(write_solver(tmp_path, first + PLAIN_NET), random_entries(tmp_path, 2), tmp_path / "output").solver.step(1)


def test_a_net_without_data_layer_is_refused(tmp_path):
    net = """layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } top: "l" }
             layer { name: "fc" type: "InnerProduct" bottom: "d" top: "fc" inner_product_param { num_output: 2 } }
             layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "l" top: "loss" }"""
    with settings(SETTINGS), pytest.raises(UserError, match="no layer that takes a roidb"):
        SolverWrapper(write_solver(tmp_path, net), random_entries(tmp_path, 2), tmp_path / "output")


@pytest.mark.parametrize("net, changes, message", [
    (PLAIN_NET, {"TRAIN.USE_OHEM": True}, "has no OHEMDataLayer, so nothing would be mined"),
    (OHEM_NET, {"TRAIN.USE_OHEM": True, "TRAIN.BG_THRESH_LO": 0.1}, "BG_THRESH_LO is 0.1, but mining needs every"),
    (OHEM_NET, {"TRAIN.USE_OHEM": True, "TRAIN.BATCH_SIZE": -1}, "BATCH_SIZE is -1, but mining must keep at least one RoI"),
    (OHEM_NET, {"TRAIN.USE_OHEM": True, "TRAIN.BATCH_SIZE": 3, "TRAIN.OHEM_PER_IMAGE": True}, "must be a multiple"),
    (PLAIN_NET, {"TRAIN.BATCH_SIZE": 7}, "must be a multiple of TRAIN.IMS_PER_BATCH .2 images"),
    (PLAIN_NET, {"TRAIN.BBOX_REG": False}, "RoIDataLayer has 6 tops, expected 3 with TRAIN.BBOX_REG False")])
def test_settings_that_contradict_the_net_are_refused(tmp_path, net, changes, message):
    """They would train something else than what was asked for, in silence.

    Users of the original trained for days with BATCH_SIZE -1, which mines nothing.
    """
    with settings({**SETTINGS, **changes}), pytest.raises(UserError, match=message):
        SolverWrapper(write_solver(tmp_path, net), random_entries(tmp_path, 2), tmp_path / "output")


def test_a_net_that_mines_among_sampled_rois_trains_with_a_line(tmp_path, capsys):
    """As with the original, where a fork may mean it."""
    with settings({**SETTINGS, "TRAIN.USE_OHEM": False}):
        wrapper = SolverWrapper(write_solver(tmp_path, OHEM_NET), random_entries(tmp_path, 2), tmp_path / "output")
        wrapper.solver.step(1)
    assert "mines (OHEMDataLayer), but TRAIN.USE_OHEM is False: it chooses among sampled RoIs, at most 8 of a minibatch" \
        in capsys.readouterr().out
    assert 0 < len(wrapper.solver.net.blobs["rois_hard"].data) <= len(wrapper.solver.net.blobs["rois"].data) <= 8


def test_snapshots_in_hdf5_are_refused(tmp_path):
    path = Path(write_solver(tmp_path))
    path.write_text(path.read_text(encoding="utf-8") + "snapshot_format: HDF5\n", encoding="utf-8")
    with settings(SETTINGS), pytest.raises(UserError, match="asks for snapshots in HDF5, .*; remove snapshot_format"):
        SolverWrapper(path, random_entries(tmp_path, 2), tmp_path / "output")


def test_a_solver_without_its_net_is_refused(tmp_path):
    path = write_solver(tmp_path)
    os.remove(tmp_path / "train.prototxt")
    with settings(SETTINGS), pytest.raises(UserError, match="its train_net .*train.prototxt.? was not found"):
        SolverWrapper(path, random_entries(tmp_path, 2), tmp_path / "output")


def test_a_net_that_fits_is_not_rewritten(tmp_path):
    with settings(SETTINGS):
        SolverWrapper(write_solver(tmp_path), random_entries(tmp_path, 2, num_classes=21), tmp_path / "output")
    assert names(tmp_path) == ["metrics.csv", "solver.prototxt"]


def test_images_without_usable_rois_are_left_out(tmp_path):
    good = make_entry(tmp_path / "a.png", [[0, 0, 9, 9]], [1])
    crowd = make_entry(tmp_path / "b.png", [[0, 0, 9, 9]], [1], [-1])
    far = make_entry(tmp_path / "c.png", [[0, 0, 9, 9]], [0], [0])
    none = make_entry(tmp_path / "d.png", [], [])
    with settings({"TRAIN.BG_THRESH_LO": 0.1}):
        assert filter_roidb([good, crowd, far, none]) == [good]
        with pytest.raises(UserError, match="none of the 2 training images has a RoI"):
            filter_roidb([crowd, none])
    with settings({"TRAIN.BG_THRESH_LO": 0.0}):
        assert filter_roidb([good, far]) == [good, far]


@BOTH
def test_an_image_without_objects_trains(tmp_path, ohem):
    """A background image, alone in its minibatch, gives a classification loss and no crash."""
    entries = [make_entry(tmp_path / "a.png", [[0, 0, 9, 9], [3, 4, 40, 30]], [0, 0], [0, 0]),
               make_entry(tmp_path / "b.png", [[5, 5, 30, 30], [5, 5, 30, 33]], [2, 2], [1, 26 / 29])]
    with settings({**SETTINGS, "TRAIN.IMS_PER_BATCH": 1, "TRAIN.USE_OHEM": ohem}):
        train_net(write_solver(tmp_path, OHEM_NET if ohem else PLAIN_NET), entries, tmp_path / "output", None, 4)
    assert np.isfinite(np.array(column(tmp_path, "loss"), float)).all()


def test_written_prototxts_read_back(tmp_path):
    path = tmp_path / "train.prototxt"
    path.write_text(OHEM_NET)
    net = read_net(path)
    write_prototxt(net, str(tmp_path / "again.prototxt"))
    assert read_net(tmp_path / "again.prototxt") == net
