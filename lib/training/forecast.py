"""What a training will take, told after its first iterations."""
import time

from utils.caffe_extensions import peak_device_memory, solver_count
from utils.peak_memory import peak_rss_mb

AFTER = 20      # iterations; the first is not measured, as libraries and kernels are loaded in it


class Forecast:
    """add() after every iteration; AFTER of them print one line.

    start: iterations that were done before; end: the last iteration of the training.
    """

    def __init__(self, start: int, end: int):
        self._start = start
        self._end = end
        self._first = 0.0       # time at the end of the first iteration

    def add(self, iteration: int) -> None:
        done = iteration - self._start
        if done == 1:
            self._first = time.monotonic()
        if done == AFTER:
            print(forecast_line((time.monotonic() - self._first) / (AFTER - 1), self._end - iteration), flush=True)


def forecast_line(seconds: float, left: int) -> str:
    """seconds: of an iteration; left: iterations."""
    processes = f" in each of {solver_count()} processes" if solver_count() > 1 else ""
    on_gpu = peak_device_memory()
    gpu = "" if on_gpu is None else f" and {on_gpu / 2 ** 20:.0f} MB on the GPU"
    end = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + seconds * left))
    memory = f"{peak_rss_mb():.0f} MB of memory{gpu}{processes}"
    return (f"After {AFTER} iterations: {seconds:.3f} s an iteration, {memory}; "
            f"the {left} iterations left take {_duration(seconds * left)}, until {end}")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
