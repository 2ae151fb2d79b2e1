"""TensorBoard's event file, read back by TensorBoard: the same numbers as metrics.csv, one file whatever happened before."""
import csv
import sys

import pytest
from support.train_small import train_small
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def event_files(folder):
    return list((folder / "output").glob("events.out.tfevents.*"))


def scalars(folder):
    """{column: [(step, value), ...]} of the one event file."""
    (path,) = event_files(folder)
    events = EventAccumulator(str(path)).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def columns(folder):
    """The same from metrics.csv."""
    with open(folder / "output" / "metrics.csv", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    return {name: [(int(row["iter"]), pytest.approx(float(row[name]), rel=1e-5)) for row in rows]
            for name in rows[0] if name != "iter" and rows[0][name]}


@pytest.mark.parametrize("ohem", [False, True])
def test_events_are_the_rows_of_metrics(tmp_path, ohem):
    train_small(tmp_path, ohem, 6)
    found = scalars(tmp_path)
    assert found == columns(tmp_path)
    assert [step for step, _ in found["loss"]] == [2, 4, 6]
    assert ("mean_loss_hard" in found) == ohem


def test_a_resumed_run_goes_on_in_one_file(tmp_path):
    """Rows that a killed run wrote after its last snapshot are not kept twice."""
    train_small(tmp_path, True, 5)
    train_small(tmp_path, True, 9, resume=tmp_path / "output" / "small_iter_5.solverstate")
    assert scalars(tmp_path) == columns(tmp_path)
    assert [step for step, _ in scalars(tmp_path)["loss"]] == [2, 4, 6, 8]
    train_small(tmp_path, True, 2)
    assert [step for step, _ in scalars(tmp_path)["loss"]] == [2]


def test_another_programs_events_stay(tmp_path):
    (tmp_path / "output").mkdir()
    theirs = tmp_path / "output" / "events.out.tfevents.1.host"
    theirs.write_bytes(b"")
    train_small(tmp_path, max_iters=2)
    assert theirs in event_files(tmp_path) and len(event_files(tmp_path)) == 2


def test_it_can_be_switched_off(tmp_path):
    train_small(tmp_path, max_iters=2, **{"TRAIN.TENSORBOARD": False})
    assert event_files(tmp_path) == []


def test_without_the_package_training_goes_on(tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("tensorboard")] + ["tensorboard"]:
        monkeypatch.setitem(sys.modules, name, None)
    train_small(tmp_path, max_iters=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if "TensorBoard" in line]
    assert len(lines) == 1 and "pip install tensorboard" in lines[0]
    assert event_files(tmp_path) == [] and (tmp_path / "output" / "metrics.csv").read_text().count("\n") == 2
