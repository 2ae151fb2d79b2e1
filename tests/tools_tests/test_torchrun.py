"""train_net.py and test_net.py as `torchrun --nproc_per_node=2` starts them."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fast_rcnn.detections import DETECTIONS_FILE
from support.reference import ROOT

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def output(exp_dir):
    return ROOT / "output" / exp_dir


def scores_in(said):
    return [line for line in said.splitlines() if line.startswith(("AP", "Mean AP"))]


def test_sharded_testing_gives_what_one_process_gives(run, prototxt, weights, voc_folder, exp_dir, output):
    """Three images over two processes; files to the byte, each line once."""
    flags = ["--gpu", "cpu", "--def", prototxt, "--net", weights, "--imdb", "voc:%s@test" % voc_folder, "--det_thresh", "0",
             "--num_dets", "30", "--set", "EXP_DIR", exp_dir, "TEST.SCALES", "[90]"]
    one = run("test_net.py", *flags)
    assert one.returncode == 0, one.stdout + one.stderr
    found = output / "things_test" / "net" / DETECTIONS_FILE
    expected = found.read_bytes()
    found.unlink()
    many = subprocess.run([*LAUNCH, "tools/test_net.py", *map(str, flags)], cwd=ROOT, env=ENV, text=True, capture_output=True)
    assert many.returncode == 0, many.stdout + many.stderr
    assert found.read_bytes() == expected and scores_in(many.stdout) == scores_in(one.stdout) != []
    assert many.stderr.count("test things_test: 2 of 2 im") + many.stderr.count("test things_test: 2 im") == 1, many.stderr


def workers_of(launcher):
    """{rank: process id} of what a launcher started."""
    found = {}
    for pid in Path("/proc/%d/task/%d/children" % (launcher, launcher)).read_text().split():
        variables = dict(entry.partition("=")[::2] for entry in Path("/proc", pid, "environ").read_text().split("\0"))
        if "RANK" in variables:
            found[int(variables["RANK"])] = int(pid)
    return found


def test_a_killed_worker_ends_the_run_with_one_line_and_a_state(train_args, output):
    with subprocess.Popen([*LAUNCH, "tools/train_net.py", *train_args(iters=10 ** 6)], cwd=ROOT, env=ENV, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as launcher:
        deadline = time.monotonic() + 120
        for line in launcher.stdout:
            if line.startswith("Iteration 3:"):
                break
            assert time.monotonic() < deadline
        os.kill(workers_of(launcher.pid)[1], signal.SIGKILL)
        said = launcher.communicate(timeout=60)[1]
    assert launcher.returncode != 0
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and lines[0].startswith("error: rank 1 of the 2 processes of this run ended or was killed;"), said
    state = Path(lines[0].rpartition("--resume ")[2])
    assert state.parent == output / "things_trainval" and state.is_file() and state.with_suffix(".resume.npz").is_file()


def test_scripts_start_several_processes(commands_of):
    for line in commands_of("fast_rcnn_ohem.sh", "0", "VGG16", NPROC="2"):
        assert line.startswith("+ python -m torch.distributed.run --standalone --nproc_per_node 2 "), line


def test_alternating_training_says_that_it_takes_one_process(run_script):
    result = run_script("faster_rcnn_alt_opt.sh", "cpu", "VGG16", NPROC="2")
    assert result.returncode == 1 and result.stderr.startswith("error: NPROC does not go with faster_rcnn_alt_opt;")
