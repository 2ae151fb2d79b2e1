"""utils.launch.call: exit codes, and signals that reach the command."""
import signal
import subprocess
import sys
import time

import pytest
from support.reference import ROOT
from utils.launch import call

CALLER = """
import sys
sys.path.insert(0, sys.argv[1])
from utils.launch import call
sys.exit(call([sys.executable, "-c", sys.argv[2]]))
"""
PATIENT = """
import signal, sys, time
def stop(number, frame):
    print("asked to stop", flush=True)
    sys.exit(0)
signal.signal(signal.{name}, stop)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def caller():
    """caller(program): a process that runs the Python program by call()."""
    started = []

    def start(program, **popen):
        command = [sys.executable, "-c", CALLER, str(ROOT / "lib"), program]
        started.append(subprocess.Popen(command, text=True, stdout=subprocess.PIPE, **popen))
        return started[-1]
    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("program, code", [
    ("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + 9)])
def test_the_exit_code_is_a_shells(program, code):
    assert call([sys.executable, "-c", program]) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command_which_ends_first(caller, number):
    process = caller(PATIENT.format(name=number.name), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == "asked to stop\n"
    assert process.returncode == 128 + number


def test_a_signal_that_is_ignored_stays_ignored(caller):
    process = caller("print('ready', flush=True); import time; time.sleep(1); print('done')",
                     preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert process.communicate(timeout=30)[0] == "done\n" and process.returncode == 0


def test_handlers_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)]
    call([sys.executable, "-c", "pass"])
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)]
