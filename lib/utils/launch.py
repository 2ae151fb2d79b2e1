"""Runs a command and forwards signals to it; this process ends after the command."""
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress


def call(words: Sequence[str], **popen) -> int:
    """Run a command in a process group of its own; returns its exit code as a shell does (128 + signal number).

    SIGINT and SIGTERM are forwarded to the group; the call then waits for the command, which may write a snapshot.
    The code is then 128 + the signal number, even if the command exits with 0. SIGTSTP stops the group, then this
    process; SIGCONT continues both. popen: keywords of subprocess.Popen.
    """
    relay = _Relay()
    handlers = {signal.SIGINT: relay.forward, signal.SIGTERM: relay.forward, signal.SIGTSTP: relay.suspend}
    # What this process ignores, as in the background of a script, stays ignored here and in the command.
    heeded = [number for number in handlers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handlers[number]) for number in heeded}
    try:
        # Signals of a terminal reach the group of this process alone, so the command gets each of them once.
        relay.start(subprocess.Popen(words, process_group=0, **popen))
        code = relay.process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code < 0:
        return 128 - code
    return code or (128 + relay.received[0] if relay.received else 0)


class _Relay:
    """Signal handlers that forward signals to the process, once it exists."""

    def __init__(self):
        self.process = None
        self.received = []

    def start(self, process):
        self.process = process
        for number in self.received:
            self._send(number)

    def forward(self, number, _frame):
        self.received.append(number)
        self._send(number)

    def suspend(self, number, _frame):
        self._send(number)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._send(signal.SIGCONT)

    def _send(self, number):
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):      # it has just ended
                os.killpg(self.process.pid, number)
