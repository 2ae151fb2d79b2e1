"""The tools as their users start them, a small data set and a tiny net."""
import os
import shlex
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

import pytest
from support.reference import ROOT
from support.tiny_net import write_tiny_net
from support.tool_server import ToolServer
from support.voc_folder import CLASSES, make_voc_folder, small_images
from support.weights import write_random_weights

from experiments.run import main as run_main


@pytest.fixture
def voc_folder(tmp_path):
    """A VOC-layout folder with 4 images in trainval and 3 in test."""
    folder = tmp_path / "things"
    make_voc_folder(folder, small_images("a", 4), "trainval", CLASSES)
    return make_voc_folder(folder, small_images("b", 3), "test", CLASSES)


@pytest.fixture
def tiny_net(tmp_path):
    return write_tiny_net(tmp_path / "models" / "TinyNet")


@pytest.fixture
def prototxt(tiny_net):
    """The test net of tiny_net."""
    return tiny_net / "fast_rcnn" / "test.prototxt"


@pytest.fixture
def weights(prototxt, tmp_path):
    """A caffemodel of random numbers for it."""
    return write_random_weights(prototxt, tmp_path / "net.caffemodel")


@pytest.fixture
def exp_dir():
    """A name below output/ that is removed afterwards."""
    name = "test_" + uuid.uuid4().hex[:8]
    yield name
    shutil.rmtree(ROOT / "output" / name, ignore_errors=True)


@pytest.fixture(scope="session")
def server():
    server = ToolServer(ROOT / "caffe-fast-rcnn" / "python")
    yield server
    server.close()


@pytest.fixture
def run(server):
    """run("reval.py", args...) -> CompletedProcess, started in the project's root."""
    return lambda tool, *args: server.run(["tools/" + tool, *args], ROOT)


@pytest.fixture
def run_script():
    """run_script("fast_rcnn.sh", args..., ITERS="2") -> CompletedProcess; its log file is removed."""
    def call(script, *args, **variables):
        result = subprocess.run([str(ROOT / "experiments" / "scripts" / script), *map(str, args)], cwd=ROOT, text=True,
                                capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1", **variables})
        for line in result.stdout.splitlines():
            if line.startswith("Logging output to "):
                (ROOT / line.split(" to ", 1)[1]).unlink()
        return result
    return call


def heed_the_keyboard():
    """A test run in the background of a shell ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def stop_script():
    """stop_script(script, args..., number=, to_all=, variables...): the training that a script runs is stopped by a signal
    to it, or to all of its process group; asserts that a snapshot is there and that screen and log end with its name."""
    def call(script, *args, number, to_all, **variables):
        command = [ROOT / "experiments" / "scripts" / script, *args]
        with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **variables}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                              preexec_fn=heed_the_keyboard) as process:
            log = ROOT / process.stdout.readline().split(" to ", 1)[1].strip()
            try:
                for line in process.stdout:
                    if line.startswith("Iteration 20:"):
                        break
                (os.killpg if to_all else os.kill)(process.pid, number)
                said = process.communicate(timeout=90)[0]
                assert process.returncode == 128 + number and "Traceback" not in said, said
                last = said.splitlines()[-1]
                assert last.startswith("Stopped by %s after iteration " % number.name), said
                assert Path(last.rpartition("--resume ")[2]).is_file() and log.read_text().splitlines()[-1] == last
            finally:
                log.unlink()
    return call


@pytest.fixture
def train_args(tiny_net, voc_folder, exp_dir):
    """train_args(method=..., **flags): of train_net.py, for the small data set, two iterations unless said; True is a
    bare flag."""
    def call(*settings, method="fast_rcnn_ohem", **flags):
        given = {"solver": tiny_net / method / "solver.prototxt", "imdb": "voc:%s@trainval" % voc_folder, "iters": 2,
                 "gpu": "cpu", **flags}
        args = [part for flag, value in given.items() for part in ("--" + flag, value) if part is not True]
        if method == "fast_rcnn_ohem":
            args += ["--cfg", "experiments/cfgs/fast_rcnn_ohem.yml"]
        return [*map(str, args), "--set", "EXP_DIR", exp_dir, "TRAIN.SCALES", "[90]", *settings]
    return call


@pytest.fixture
def train(run, train_args):
    """train(method=..., **flags): train_net.py with these train_args."""
    return lambda *settings, **flags: run("train_net.py", *train_args(*settings, **flags))


@pytest.fixture
def commands_of(capsys, monkeypatch):
    """commands_of(script, args..., variables...): the command lines that a script would run, as --dry-run prints them.

    The script's one command is run in this process, where PyTorch is loaded already.
    """
    def call(script, *args, **variables):
        path = ROOT / "experiments" / "scripts" / script
        command, _, *own, rest = shlex.split(path.read_text().splitlines()[-1].removeprefix("exec "))
        assert command.endswith("/../run") and rest == "$@"
        at = args.index("--set") if "--set" in args else len(args)
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            assert run_main([script, *own, *args[:at], "--dry-run", *args[at:]]) == 0
        return capsys.readouterr().out.splitlines()
    return call
