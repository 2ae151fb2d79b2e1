"""The effects of Ctrl-C and SIGHUP on a training run: stop it, write a snapshot, or none."""
import signal

from ..common import CaffeError

EFFECTS = ("stop", "snapshot", "none")


class SignalActions:
    """Within `with SignalActions(...) as actions:` a signal waits until the solver asks `actions()` for it.

    sigint, sighup: "stop", "snapshot" or "none" each.
    """

    def __init__(self, sigint, sighup):
        for flag, effect in (("sigint_effect", sigint), ("sighup_effect", sighup)):
            if effect not in EFFECTS:
                raise CaffeError("-%s %s: expected one of %s" % (flag, effect, ", ".join(EFFECTS)))
        self._effects = {signal.SIGINT: sigint}
        if hasattr(signal, "SIGHUP"):       # not on Windows
            self._effects[signal.SIGHUP] = sighup
        self._received = set()

    def __enter__(self):
        self._before = {number: signal.signal(number, self._note) for number in self._effects}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _frame):
        self._received.add(self._effects[number])

    def __call__(self):
        """"stop", "snapshot" or None: the action for the signals since the last call; stop has priority."""
        for action in ("stop", "snapshot"):
            if action in self._received:
                self._received.discard(action)
                return action
        return None
