"""Ctrl-C and SIGTERM as requests to stop at the next good moment."""
import signal
import threading

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Within `with StopSignals() as stop:` the first SIGINT or SIGTERM only sets stop.received, its number; the next
    one acts as usual.  In other threads than the main one signals cannot be caught, and nothing changes.

    patient: further ones do nothing either.  torchrun sends its own after the user's; it kills what does not end.
    """

    received = None

    def __init__(self, patient=False):
        self._patient = patient

    def __enter__(self):
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in STOPPING}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _frame):
        self.received = self.received or number
        if not self._patient:
            self.__exit__()
