"""Timer: pycaffe's stopwatch."""
import time

import torch

from . import common


class Timer:
    """start(), stop(), then `ms`: milliseconds between them, on a GPU all its work included; 0 without a start."""

    def __init__(self):
        self._started, self._ms = None, 0.0

    def start(self):
        """Begin; what was measured before is gone."""
        self._started = self._now()

    def stop(self):
        """End; without a start it does nothing."""
        if self._started is not None:
            self._ms, self._started = 1000 * (self._now() - self._started), None

    @property
    def ms(self):
        """Milliseconds as a float; stops a timer that runs, as Caffe's."""
        self.stop()
        return self._ms

    @staticmethod
    def _now():
        if common.device().type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
