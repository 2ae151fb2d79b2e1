"""The folder of a training run: identities, states of older versions and of C++ Caffe, a start that fails, the lock."""
import errno
import json
import os
import re

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from fast_rcnn.config import cfg, changed_settings
from support.settings import settings
from support.small_nets import SOLVER
from support.train_small import train_small
from training import folder_lock
from training.folder_lock import only_training_in
from training.identity import PARTS, UNCOUNTED, differences
from training.record import read_record, write_record
from training.resume import last_state, read_origin
from training.run_folder import Run, record_folder
from utils.errors import UserError

ALONE, OVERWRITE = caffe.NCCL(None, ""), Run(overwrite=True)


@pytest.fixture(autouse=True)
def quiet():
    caffe.set_log_level(1)
    yield
    caffe.set_log_level(0)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"}


def test_a_setting_counts_unless_it_is_known_not_to(monkeypatch):
    """Also one that a fork or a later version adds; the default is the same as none."""
    this = {"data": "d", "classes": None, "net": "n", "solver": "s", "seed": 3, "start": None, "iter_size": 1,
            "minibatches": 1}
    assert changed_settings().keys() <= {"ROOT_DIR", "DATA_DIR", "MODELS_DIR"}
    with settings({"TRAIN.FG_THRESH": 0.6}):
        assert changed_settings()["TRAIN.FG_THRESH"] == 0.6
    monkeypatch.setitem(cfg.TRAIN, "NEW", 1)
    assert changed_settings()["TRAIN.NEW"] == 1 and "TRAIN.NEW" not in UNCOUNTED
    assert differences({**this, "settings": {}}, {**this, "settings": {"TRAIN.NEW": 1}}) == [
        "its TRAIN.NEW is 1, not the default"]
    assert differences({**this, "settings": {}}, {**this, "settings": {}}) == []


@pytest.mark.parametrize("changes, same", [
    ({"solver": SOLVER.replace("0.9", "0.8")}, False), ({"solver": SOLVER + " max_iter: 9 average_loss: 7"}, True),
    ({"solver": SOLVER + ' type: "SGD"'}, True), ({"dropout": 0.3}, False), ({"TRAIN.SNAPSHOT_ITERS": 1}, True),
    ({"TRAIN.ITER_SIZE": 2}, False), ({"TEST.NMS": 0.5}, True), ({"RNG_SEED": 8}, False)])
def test_a_training_without_a_data_set_resumes_only_itself_too(tmp_path, changes, same):
    """train_net is given a roidb alone, as forks do."""
    train_small(tmp_path, max_iters=2)
    if same:
        train_small(tmp_path, max_iters=3, resume="auto", **changes)
        assert last_state(tmp_path / "output").endswith("_3.solverstate")
        return
    before = content(tmp_path / "output")
    with pytest.raises(UserError, match="holds another training: its "):
        train_small(tmp_path, max_iters=3, resume="auto", **changes)
    assert content(tmp_path / "output") == before


def test_values_that_programs_assign_to_settings_can_be_written(tmp_path, monkeypatch):
    """numpy's numbers, paths and lists for tuples have the same meaning; what json does not know is text."""
    monkeypatch.setitem(cfg.TRAIN, "NEW", {1})
    train_small(tmp_path, max_iters=2, **{"TRAIN.FG_FRACTION": 0.5})
    train_small(tmp_path, max_iters=3, resume="auto", EXP_DIR=tmp_path, **{
        "TRAIN.FG_FRACTION": np.float64(0.5), "TRAIN.BATCH_SIZE": np.int64(8), "TRAIN.SCALES": [48],
        "TRAIN.BBOX_INSIDE_WEIGHTS": [1, 1, 1, 1]})
    assert last_state(tmp_path / "output").endswith("_3.solverstate")
    assert read_record(tmp_path / "output")["config"]["EXP_DIR"] == str(tmp_path)


@pytest.mark.parametrize("identity", ["a text", {"data": "that of another version"}, [1]])
def test_an_identity_that_is_none_of_this_version_is_none(tmp_path, capsys, identity):
    train_small(tmp_path, max_iters=2)
    folder = tmp_path / "output"
    write_record(folder / "run.json", {**read_record(folder), "identity": identity})
    with np.load(folder / "small_iter_2.resume.npz") as stored:
        content = dict(stored)
    np.savez(folder / "small_iter_2.resume.npz", **{**content, "identity": np.array(json.dumps(identity))})
    train_small(tmp_path, max_iters=3, resume="auto")
    said = capsys.readouterr().out
    assert "does not name its run" in said and "at iteration 2" in said


def test_processes_may_change_and_with_them_iter_size(tmp_path):
    """README's own advice for two processes: half the iter_size makes the same updates."""
    of_one = {"iter_size": 2, "minibatches": 2}
    for other, same in (((1, 2), True), ((2, 4), True), ((1, 1), False), ((4, 4), False)):
        this, that = ({**dict.fromkeys(PARTS), "settings": {}, **part}
                      for part in (of_one, dict(zip(("iter_size", "minibatches"), other))))
        assert (differences(this, that) == []) == same == (differences(that, this) == [])


def test_weights_that_a_solver_names_are_refused(tmp_path):
    """They were loaded, with their classes in any order, while the log said that the net began from its fillers."""
    with pytest.raises(UserError, match="weights names a.caffemodel; remove it.* --weights"):
        train_small(tmp_path, max_iters=2, solver=SOLVER + ' weights: "a.caffemodel"')


@pytest.mark.parametrize("data", [b"garbage\n1,2\n", b"\xff\xfe\0\0", b"iter,loss\nfirst,2\n"])
def test_a_table_of_metrics_that_is_none_stops_a_resumed_run_in_one_line(tmp_path, data):
    train_small(tmp_path, max_iters=2)
    (tmp_path / "output" / "metrics.csv").write_bytes(data)
    before = content(tmp_path / "output")
    with pytest.raises(UserError, match="metrics.csv is not the table that a training writes .*; move it away"):
        train_small(tmp_path, max_iters=3, resume="auto")
    assert content(tmp_path / "output") == before


def make_caffes(folder):
    """Make the state in a folder one as C++ Caffe writes it."""
    state = folder / "small_iter_2.solverstate"
    message = caffe_pb2.SolverState.FromString(state.read_bytes())
    message.ClearField("random_state")
    message.learned_net = "elsewhere/small_iter_2.caffemodel"
    state.write_bytes(message.SerializeToString())
    (folder / "small_iter_2.resume.npz").unlink()
    (folder / "run.json").unlink()
    return state


@pytest.mark.parametrize("by_name", [True, False])
def test_a_state_of_caffe_resumes_with_one_line(tmp_path, capsys, by_name):
    train_small(tmp_path, max_iters=2, **{"TRAIN.BBOX_NORMALIZE_TARGETS": False})
    state = make_caffes(tmp_path / "output")
    train_small(tmp_path, max_iters=4, resume=str(state) if by_name else "auto", **{"TRAIN.BBOX_NORMALIZE_TARGETS": False})
    said = capsys.readouterr().out
    assert said.count("does not name its run") == 1 and "%s at iteration 2" % state in said
    assert read_origin(last_state(tmp_path / "output")).identity["seed"] == cfg.RNG_SEED


def test_our_own_state_without_its_arrays_is_not_taken_for_caffes(tmp_path):
    train_small(tmp_path, max_iters=2)
    (tmp_path / "output" / "small_iter_2.resume.npz").unlink()
    with pytest.raises(UserError, match="small_iter_2.resume.npz does not exist"):
        train_small(tmp_path, max_iters=4, resume=tmp_path / "output" / "small_iter_2.solverstate")


def test_a_start_that_fails_leaves_the_folder_as_it_was(tmp_path):
    """Here the weights are none; the finished training before keeps its record."""
    train_small(tmp_path, max_iters=2)
    before = content(tmp_path / "output")
    for changes in ({"TRAIN.BATCH_SIZE": 0}, {"TRAIN.USE_OHEM": True}):
        with pytest.raises(UserError):
            train_small(tmp_path, max_iters=2, run=OVERWRITE, **changes)
        assert content(tmp_path / "output") == before
    with pytest.raises(UserError):
        train_small(tmp_path, max_iters=4, resume="auto", **{"TRAIN.BATCH_SIZE": 0})
    assert content(tmp_path / "output") == before


def test_files_of_an_overwritten_run_go_with_the_first_snapshot_but_for_its_nets(tmp_path):
    train_small(tmp_path, max_iters=8)
    train_small(tmp_path, max_iters=2, run=OVERWRITE, RNG_SEED=5)
    found = content(tmp_path / "output")
    assert "small_iter_8.caffemodel" in found and "small_iter_8.solverstate" not in found
    assert not (tmp_path / "output" / "previous_run").exists() and read_record(tmp_path / "output")["seed"] == 5


def test_a_run_that_goes_on_keeps_the_model_in_its_record_until_it_has_another(tmp_path):
    """Else a report on a finished training ends with the first look at a longer one."""
    train_small(tmp_path, max_iters=2)
    write_record(tmp_path / "output" / "run.json", {**read_record(tmp_path / "output"), "model": "small_iter_2.caffemodel"})
    train_small(tmp_path, max_iters=3, resume="auto")
    assert read_record(tmp_path / "output")["model"] == "small_iter_2.caffemodel"
    train_small(tmp_path, max_iters=2)
    assert "model" not in read_record(tmp_path / "output")


def test_a_folder_is_held_once_and_free_after(tmp_path):
    with only_training_in(tmp_path, ALONE):
        with pytest.raises(UserError, match=r"%s is in use by another training \(host .*, process %d\)" % (re.escape(str(tmp_path)), os.getpid())):
            with only_training_in(tmp_path, ALONE):
                pass
    with only_training_in(tmp_path, ALONE):
        pass


def test_a_file_system_without_locks_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    monkeypatch.setattr(folder_lock.fcntl, "flock", no_locks)
    with only_training_in(tmp_path, ALONE):
        pass
    assert capsys.readouterr().out == "%s cannot be locked (No locks available); make sure that no other training uses it\n" % tmp_path


def test_a_cut_record_is_no_record(tmp_path):
    (tmp_path / "run.json").write_text('{"identity": {"da')
    assert read_record(tmp_path) == read_record(tmp_path / "missing") == {}


def test_while_a_new_run_has_no_snapshot_the_record_of_a_model_is_that_of_the_run_before(tmp_path):
    model = tmp_path / "x_iter_2.caffemodel"
    assert record_folder(model) == str(tmp_path)
    (tmp_path / "previous_run").mkdir()
    assert record_folder(model) == str(tmp_path)
    (tmp_path / "previous_run" / "run.json").write_text("{}")
    assert record_folder(model) == str(tmp_path / "previous_run")
