"""The runs that a report compares, and their summary."""
import hashlib
import json
import os

import pytest
from run_report.runs import Run, flatten, load_run, tell_apart
from run_report.summary import as_json, as_table, summarise
from utils.errors import UserError


def make_run(folder, name="thing_trainval", **record):
    (folder / name).mkdir(parents=True)
    (folder / name / "run.json").write_text(json.dumps({"model": "/gone/net_iter_4.caffemodel", **record}))
    return folder / name


def test_the_test_of_an_overwritten_net_of_the_same_name_is_not_this_nets(tmp_path):
    folder = make_run(tmp_path / "exp")
    (folder / "net_iter_4.caffemodel").write_bytes(b"new")
    results = tmp_path / "exp" / "a_test" / "net_iter_4"
    results.mkdir(parents=True)
    (results / "detections.npz").write_bytes(b"")
    for content, expected in ((b"old", None), (b"new", results)):
        record = {"caffemodel": "net_iter_4.caffemodel", "caffemodel_hash": hashlib.sha256(content).hexdigest()}
        (results / "run.json").write_text(json.dumps(record))
        assert load_run(folder).results == expected


def test_a_tree_that_moved_is_found_again(tmp_path):
    folder = make_run(tmp_path / "exp")
    run = load_run(folder)
    assert run.model == folder / "net_iter_4.caffemodel" and run.results is None and run.name == "exp"
    for number, test in enumerate(("a_test", "b_test")):
        results = tmp_path / "exp" / test / "net_iter_4"
        results.mkdir(parents=True)
        (results / "run.json").write_text(json.dumps({"caffemodel": "/gone/thing_trainval/net_iter_4.caffemodel"}))
        (results / "detections.npz").write_bytes(b"")
        os.utime(results / "detections.npz", (number, number))
    assert load_run(tmp_path / "exp").results.parent.name == "b_test"                       # the last one tested
    assert load_run(tmp_path / "exp" / "a_test" / "net_iter_4").results.parent.name == "a_test"
    (folder / "run.json").write_text("{}")                  # a training that goes on
    with pytest.raises(UserError, match="whose training has not finished"):
        load_run(tmp_path / "exp" / "a_test" / "net_iter_4")
    (folder / "run.json").unlink()
    with pytest.raises(UserError, match="left no run.json"):
        load_run(tmp_path / "exp" / "a_test" / "net_iter_4")


def test_names_of_two_runs_differ(tmp_path):
    one, other = (load_run(make_run(tmp_path / "exp", name)) for name in ("a", "b"))
    tell_apart([one, other])
    assert (one.name, other.name) == ("exp a", "exp b")
    twins = [load_run(tmp_path / "exp" / "a") for _ in range(2)]
    tell_apart(twins)
    assert [run.name[-2:] for run in twins] == [" 1", " 2"]
    assert flatten({"A": {"B": 1, "ROOT_DIR": 2}, "C": 3}) == {"A.B": 1, "C": 3}


def test_what_is_not_known_is_none_in_the_summary(tmp_path):
    record = {"seconds": 2.5, "peak_rss_mb": 300, "iterations": 4, "seed": 3}
    run = Run("a run", tmp_path, record, tmp_path, {}, "")
    tested = Run("b", tmp_path, record, tmp_path, {}, "", tmp_path, {"seconds": 1}, {"cup": float("nan"), "ball": .5}, float("nan"))
    summary = json.loads(as_json(summarise([run, tested])))
    common = {"mAP": None, "training_seconds": 2.5, "peak_rss_mb": 300, "iterations": 4, "seed": 3}
    assert summary == [{"run": "a run", "AP": {}, "test_seconds": None, **common},
                       {"run": "b", "AP": {"cup": None, "ball": .5}, "test_seconds": 1, **common}]
    assert [line.split()[-3:] for line in as_table(summary).splitlines()[1:]] == [["-", "2.5", "300"]] * 2
