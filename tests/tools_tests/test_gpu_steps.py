"""make gpu from outside, where there is no GPU: steps, records, and the figures of a trace."""
import json
import shutil
import subprocess
import sys

import pytest
from support.reference import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from gpu_trace import by_name, gaps, summary  # noqa: E402  (after its folder is on the path)


def _steps(*args):
    return subprocess.run([sys.executable, "benchmarks/gpu_steps.py", *map(str, args)], cwd=ROOT, text=True,
                          capture_output=True)


def test_the_steps_are_listed():
    listed = _steps("--list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["tests", "speed", "trace", "true_nets", "training",
                                                                 "sanitizer"]


def test_a_step_that_fails_leaves_its_record_and_its_log(tmp_path):
    """benchmarks/gpu_trace.py ends here with one line; the program's status is not 0."""
    import torch
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    result = _steps("--steps", "trace", "--out", tmp_path)
    record = json.loads((tmp_path / "trace.json").read_text())
    assert result.returncode == record["status"] == 1 and record["step"] == "trace"
    assert "finds no CUDA device" in (tmp_path / "trace.log").read_text()


def test_a_program_that_is_not_installed_is_named(tmp_path):
    if shutil.which("compute-sanitizer"):
        pytest.skip("this machine has a CUDA device")
    assert _steps("--steps", "sanitizer", "--out", tmp_path).returncode == 127
    assert "compute-sanitizer is not installed" in (tmp_path / "sanitizer.log").read_text()


def test_steps_that_succeeded_are_done_and_one_that_failed_runs_again(tmp_path):
    if shutil.which("compute-sanitizer"):
        pytest.skip("this machine has a CUDA device")
    for name in ("tests", "speed", "trace", "true_nets", "training", "sanitizer"):
        (tmp_path / f"{name}.json").write_text('{"status": 0}')
    assert "status" not in _steps("--out", tmp_path).stdout
    (tmp_path / "sanitizer.json").write_text('{"status": 1}')
    again = _steps("--out", tmp_path)
    assert again.returncode == 127 and again.stdout.count("status") == 1


SPANS = [(0, 10, "a"), (5, 15, "b"), (25, 30, "a"), (31, 40, "c")]     # microseconds


def test_figures_of_a_trace():
    found = summary(SPANS, iterations=2)
    assert found["ms"] == pytest.approx(0.020) and found["busy"] == pytest.approx(29 / 40) and found["launches"] == 2
    assert gaps(SPANS, 1) == [(10, "b", "a")]
    assert by_name(SPANS) == {"a": [15, 2], "b": [10, 1], "c": [9, 1]}
