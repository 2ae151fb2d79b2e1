"""A stopwatch that averages."""
import time


class Timer:
    """tic() starts, toc() stops; seconds of the last span in `diff`, of the mean span in `average_time`."""

    def __init__(self):
        self.total_time = 0.0
        self.calls = 0
        self.start_time = 0.0
        self.diff = 0.0
        self.average_time = 0.0

    def tic(self):
        self.start_time = time.perf_counter()

    def toc(self, average=True):
        """Seconds: the mean over all spans so far, or with average=False the last span."""
        self.diff = time.perf_counter() - self.start_time
        self.total_time += self.diff
        self.calls += 1
        self.average_time = self.total_time / self.calls
        return self.average_time if average else self.diff
