"""train_net.py and test_net.py as `torchrun --nproc_per_node=2` starts them."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import caffe
import pytest
from fast_rcnn.detections import DETECTIONS_FILE
from support.reference import ROOT
from training.folder_lock import only_training_in

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
LAUNCH_QUIETLY = [sys.executable, "tools/torchrun.py", "--standalone", "--nproc_per_node=2", "--shutdown-timeout=60"]
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
    for pid in Path("/proc/%d/task/%d/children" % (launcher, launcher)).read_text(encoding="utf-8").split():
        variables = dict(entry.partition("=")[::2] for entry in Path("/proc", pid, "environ").read_text(encoding="utf-8").split("\0"))
        if "RANK" in variables:
            found[int(variables["RANK"])] = int(pid)
    return found


def interrupted(command, interrupt):
    """(exit code, stdout, stderr) of a training in two processes that `interrupt(launcher)` ends behind iteration 3."""
    with subprocess.Popen(command, cwd=ROOT, env=ENV, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as launcher:
        deadline = time.monotonic() + 120
        for line in launcher.stdout:
            if line.startswith("Iteration 3:"):
                break
            assert time.monotonic() < deadline
        interrupt(launcher)
        said = launcher.communicate(timeout=60)
    return launcher.returncode, *said


@pytest.mark.parametrize("launch", [LAUNCH, LAUNCH_QUIETLY])
def test_a_killed_worker_ends_the_run_with_one_line_and_a_state(launch, train_args, output):
    code, _, said = interrupted([*launch, "tools/train_net.py", *train_args(iters=10 ** 6)],
                                lambda launcher: os.kill(workers_of(launcher.pid)[1], signal.SIGKILL))
    assert code != 0
    if launch == LAUNCH_QUIETLY:
        assert "Traceback" not in said, said
        assert re.fullmatch(r"rank 1 \(process \d+\) was ended by signal 9", said.splitlines()[-1])
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and lines[0].startswith("error: rank 1 of the 2 processes of this run ended or was killed;"), said
    state = Path(lines[0].rpartition("--resume ")[2])
    assert state.parent == output / "things_trainval" and state.is_file() and state.with_suffix(".resume.npz").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_stops_all_without_a_traceback(number, train_args):
    code, out, said = interrupted([*LAUNCH_QUIETLY, "tools/train_net.py", *train_args(iters=10 ** 6)],
                                  lambda launcher: launcher.send_signal(number))
    assert code == 128 + number and "Traceback" not in said, said
    assert out.splitlines()[-1].startswith("Stopped by %s after iteration " % number.name), out


def test_a_mistake_in_several_processes_is_told_once(run_script):
    result = run_script("fast_rcnn_ohem.sh", "cpu", "DigitNet", "voc:/nowhere", NPROC="2", WEIGHTS="none")
    said = (result.stdout + result.stderr).splitlines()
    assert result.returncode == 1 and said[-1].startswith("error: nowhere_trainval: folder /nowhere does not exist;"), said[-9:]
    assert not [line for line in said[:-1] if line.startswith(("error:", "Traceback"))]


def test_a_mistake_that_only_another_rank_meets_is_told(tmp_path):
    tool = tmp_path / "tool.py"
    tool.write_text("import sys, time\nsys.path.insert(0, %r)\nimport _cli\n"
                    "from utils.errors import UserError\nimport caffe\n"
                    "def main():\n    _cli.take_rank()\n    if caffe.solver_rank() == 1:\n"
                    "        raise UserError('no GPU 1')\n    time.sleep(60)\n_cli.run(main)\n" % str(ROOT / "tools"))
    result = subprocess.run([*LAUNCH_QUIETLY, tool], cwd=ROOT, env=ENV, text=True, capture_output=True)
    assert result.returncode == 1 and result.stderr == "error: no GPU 1\n"


def test_nohup_holds_for_several_processes(tmp_path):
    tool = tmp_path / "tool.py"
    tool.write_text("import os, time\nif os.environ['RANK'] == '0':\n    print('here', flush=True)\ntime.sleep(3)\n")
    with subprocess.Popen([*LAUNCH_QUIETLY, tool], cwd=ROOT, env=ENV, text=True, stdout=subprocess.PIPE,
                          preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as launcher:
        assert launcher.stdout.readline() == "here\n"
        launcher.send_signal(signal.SIGHUP)
        launcher.communicate(timeout=60)
    assert launcher.returncode == 0


def test_scripts_start_several_processes(commands_of):
    for line in commands_of("fast_rcnn_ohem.sh", "0", "VGG16", NPROC="2"):
        assert "python tools/torchrun.py --standalone --nproc_per_node 2 " in line, line


def test_alternating_training_says_that_it_takes_one_process(run_script):
    result = run_script("faster_rcnn_alt_opt.sh", "cpu", "VGG16", NPROC="2")
    assert result.returncode == 1 and result.stderr.startswith("error: NPROC does not go with faster_rcnn_alt_opt;")


def test_the_folder_of_a_training_that_runs_is_refused_once(train_args, output):
    """Rank 0 alone meets the lock."""
    folder = output / "things_trainval"
    folder.mkdir(parents=True)
    with only_training_in(folder, caffe.NCCL(None, "")):
        result = subprocess.run([*LAUNCH_QUIETLY, "tools/train_net.py", *train_args()], cwd=ROOT, env=ENV, text=True,
                                capture_output=True)
    errors = [line for line in result.stderr.splitlines() if line.startswith(("error:", "Traceback"))]
    assert result.returncode == 1 and len(errors) == 1, result.stdout + result.stderr
    assert "%s is in use by another training (host" % folder in errors[0] and os.listdir(folder) == [".lock"]
