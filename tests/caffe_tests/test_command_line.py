"""The command `caffe`: its flags, its mistakes in one line, the launchers that make pycaffe writes."""
import importlib.util
import os
import re
import subprocess
import sys

import pytest
from caffe import common
from caffe.commands import COMMANDS
from caffe.commands.flags import Flag, parse_flags
from caffe.common import CaffeError
from support.caffe_command import write_solver
from support.reference import ROOT

FLAGS = [Flag("solver", "", ""), Flag("iterations", 50, ""), Flag("gray", False, ""), Flag("scale", 1.0, "")]


@pytest.mark.parametrize("line, values, rest", [
    ("-solver a --iterations=3 b", {"solver": "a", "iterations": 3}, ["b"]),
    ("--solver a=b -gray c", {"solver": "a=b", "gray": True}, ["c"]),
    ("-gray=false -scale -0.5", {"gray": False, "scale": -0.5}, []),
    ("--nogray x -- -solver", {"gray": False}, ["x", "-solver"]),
    ("-solver= -1.5", {"solver": ""}, ["-1.5"]),
    ("--alsologtostderr=1 -logtostderr", {"solver": "", "iterations": 50}, [])])
def test_flags_are_read_as_gflags_reads_them(line, values, rest):
    found, arguments = parse_flags(FLAGS, line.split())
    assert {name: found[name] for name in values} == values and arguments == rest


@pytest.mark.parametrize("line, message", [
    ("-foo 1", "unknown flag -foo; the flags are -solver -iterations -gray -scale"), ("-solver", "has no value"),
    ("-iterations 1.5", "-iterations 1.5: expected a whole number"), ("-gray=x", "expected true or false"),
    ("-nosolver", "unknown flag -nosolver"), ("-scale a", "expected a number")])
def test_wrong_flags_are_named(line, message):
    with pytest.raises(CaffeError, match=message):
        parse_flags(FLAGS, line.split())


def test_every_command_has_a_help_and_names_an_unknown_flag(run_caffe):
    code, out, _ = run_caffe("-h")
    assert code == 0 and all(name in out for name in COMMANDS)
    for name in COMMANDS:
        code, out, _ = run_caffe(name, "--help")
        assert code == 0 and out.startswith("usage: caffe %s" % name)
        code, _, err = run_caffe(name, "-nonsense=1")
        assert code == 1 and err.startswith("error: caffe %s: unknown flag -nonsense=1" % name) and err.count("\n") == 1


MISTAKES = [
    ("learn", "unknown command; the commands are train, test, time"),
    ("train", "need a solver definition to train: -solver"),
    ("train -solver none.prototxt", "none.prototxt: cannot read this prototxt: No such file"),
    ("train -solver solver.prototxt -snapshot a -weights b", "not both"),
    ("train -solver solver.prototxt -weights b", "b: cannot read this caffemodel"),
    ("train -solver solver.prototxt -sigint_effect halt", "-sigint_effect halt: expected one of stop, snapshot, none"),
    ("train -solver solver.prototxt -gpu x", "-gpu x: expected the number of a GPU, several as 0,1, or all"),
    ("train -solver solver.prototxt -gpu 3,3", "-gpu 3,3: expected different numbers below"),
    ("train -solver net.prototxt", "not a valid SolverParameter"),
    ("train -solver solver.prototxt 0,1", "takes flags only; got 0,1"),
    ("test -model net.prototxt x y", "takes flags only; got x y"),
    ("time net.prototxt", "takes flags only; got net.prototxt"), ("device_query 0", "takes flags only; got 0"),
    ("test -model net.prototxt", "need model weights to score: -weights"),
    ("test -weights x", "need a model definition: -model"),
    ("time -model net.prototxt -iterations 0", "-iterations 0: expected 1 or more"),
    ("time -model net.prototxt -phase LEARN", "-phase LEARN: expected TRAIN or TEST"),
    ("upgrade_net_proto_text net.prototxt", "takes 2 arguments, OLD_FILE NEW_FILE; got 1"),
    ("upgrade_net_proto_binary net.prototxt x", "net.prototxt: not a caffemodel"),
    ("convert_imageset . none.txt db", "none.txt: cannot read this list"),
    ("convert_imageset . net.prototxt db -backend leveldb", "-backend leveldb: expected lmdb"),
    ("convert_imageset . net.prototxt db -resize_width 3", "give both, 1 or more, or neither"),
    ("convert_imageset . net.prototxt db", "expected a file name, a space and a label"),
    ("extract_features w net.prototxt ip,loss db 1 lmdb", "2 blobs \\(ip loss\\) for 1 databases"),
    ("extract_features w net.prototxt ip db many lmdb", "NUM_BATCHES is many"),
    ("parse_log none.log .", "none.log: cannot read this log"),
    ("parse_log net.prototxt .", "has no line 'Solving ...'"),
    ("classify none.jpg out.npy", "none.jpg: no such file"),
    ("detect net.prototxt out.txt", "out.txt: the output must be a .csv or .h5 file"),
]


@pytest.mark.parametrize("line, message", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_1(run_caffe, tmp_path, monkeypatch, line, message):
    write_solver(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, _, err = run_caffe(*line.split())
    lines = [text for text in err.splitlines() if text.startswith("error: ")]
    assert code == 1 and "Traceback" not in err and len(lines) == 1
    with pytest.raises(CaffeError, match=message):
        raise CaffeError(lines[0])


def test_the_commands_of_caffes_binary_take_each_others_flags(run_caffe, tmp_path, monkeypatch):
    """As gflags does: before the command too; what a flag would do in another command is left out, and said."""
    write_solver(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, _, err = run_caffe("-iterations=1", "--minloglevel", "0", "time", "-model", "net.prototxt", "-weights", "x", "-sighup_effect=none")
    assert code == 0 and "Testing for 1 iterations." in err and "Benchmark ends" in err
    assert [text.partition("] ")[2] for text in err.splitlines() if text.startswith("W")] == [
        "-weights x has no effect on caffe time", "-sighup_effect none has no effect on caffe time"]
    assert run_caffe("draw_net", "net.prototxt", "x.dot", "-weights", "x")[0] == 1


@pytest.fixture(scope="module")
def launchers(tmp_path_factory):
    """A folder like caffe-fast-rcnn in which make pycaffe has written the launchers."""
    spec = importlib.util.spec_from_file_location("write_launchers", ROOT / "caffe-fast-rcnn" / "write_launchers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("a caffe")
    (folder / "python").mkdir()
    (folder / "python" / "caffe").symlink_to(ROOT / "caffe-fast-rcnn" / "python" / "caffe", target_is_directory=True)
    module.write_launchers(folder)
    module.write_launchers(folder)      # which changes nothing
    return folder


@pytest.mark.parametrize("path, said", [
    (".build_release/tools/convert_imageset.bin", "usage: caffe convert_imageset"),
    ("python/classify.py", "usage: caffe classify")])
def test_launchers_run_where_old_scripts_look(launchers, tmp_path, path, said):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = [sys.executable] if path.endswith(".py") else []
    result = subprocess.run([*program, launchers / path, "-help"], cwd=tmp_path, env=env, text=True, capture_output=True)
    assert result.returncode == 0 and result.stdout.startswith(said), result.stderr
    for name in ("build/tools/compute_image_mean", "build/tools/upgrade_net_proto_text", "build/tools/extract_features.bin",
                 "python/detect.py", "python/draw_net.py", "tools/extra/parse_log.py"):
        assert os.access(launchers / name, os.X_OK), name


@pytest.fixture
def closed_log():
    yield
    if common._State.log_file is not None:
        common._State.log_file.close()
    common.set_log_file(None)


def test_log_dir_takes_the_lines_of_the_log_too(run_caffe, tmp_path, monkeypatch, closed_log):
    """In a file that is named, begun and linked to as glog does it."""
    write_solver(tmp_path)
    (tmp_path / "logs").mkdir()
    monkeypatch.chdir(tmp_path)
    code, _, err = run_caffe("train", "-solver=solver.prototxt", "--log_dir=logs", "-v=1", "-stderrthreshold", "0")
    assert code == 0
    lines = (tmp_path / "logs" / "caffe.INFO").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("Log file created at: ") and lines[2].startswith("Log line format: ")
    assert lines[3:] == err.splitlines() and any("Iteration" in line for line in lines)
    names = sorted(os.listdir(tmp_path / "logs"))
    assert names[0] == "caffe.INFO" and re.fullmatch(r"caffe\..+\.log\.INFO\.\d{8}-\d{6}\.\d+", names[1]) and len(names) == 2


def test_log_dir_that_is_not_there_is_one_line(run_caffe, tmp_path, monkeypatch):
    write_solver(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, _, err = run_caffe("train", "-solver=solver.prototxt", "-log_dir", "nowhere")
    assert code == 1 and "-log_dir nowhere" in err and err.count("\n") == 1
    assert run_caffe("time", "-model=net.prototxt", "-iterations=1", "-log_dir", "nowhere", "-logtostderr")[0] == 0
