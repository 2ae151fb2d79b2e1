"""Progress of long work, in a terminal and in a log."""
import io

import pytest
from utils import progress as module
from utils.progress import progress, progress_line


def test_a_line_tells_count_rate_and_time_left():
    assert progress_line("Training", 300, 2000, 120.0, "it") == "Training: 300 of 2000 it (15%) in 02:00, 2.5 it/s, 11:20 left"
    assert progress_line("test", 7, None, 3.5, "im") == "test: 7 im in 00:03, 2 im/s"
    assert progress_line("x", 0, 0, 0.0, "it") == "x: 0 it in 00:00, 0 it/s"


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(monkeypatch, capsys):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    assert list(progress(iter("abcd"), "work", total=4, unit="letters")) == list("abcd")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["work: 2 of 4 letters (50%) in 00:20, 0.1 letters/s, 00:20 left",
                     "work: 4 of 4 letters (100%) in 00:40, 0.1 letters/s",
                     "work: 4 of 4 letters (100%) in 00:50, 0.08 letters/s"]


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(progress(range(3), "work")) == [0, 1, 2]
    assert "work: 100%" in terminal.getvalue() and "3/3" in terminal.getvalue()


def test_an_error_passes_through():
    with pytest.raises(ZeroDivisionError):
        for i in progress(range(3), "work"):
            1 / i
