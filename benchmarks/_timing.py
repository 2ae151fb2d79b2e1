"""Seconds of several ways to do one thing, in turn, so that all meet the same machine."""
import time
from statistics import median


class Seconds(float):
    """A time that a function measured itself: in a worker process, or of a part of its work."""


def interleaved(arms, repeats, warmup=1):
    """Median seconds {name: s} of the functions arms {name: f}, run a, b, a, b, ... `repeats` times each.

    What a function returns counts when it is Seconds; else the time it took.
    """
    seconds = {name: [] for name in arms}
    for turn in range(warmup + repeats):
        for name, function in arms.items():
            start = time.perf_counter()
            result = function()
            elapsed = time.perf_counter() - start
            if turn >= warmup:
                seconds[name].append(result if isinstance(result, Seconds) else elapsed)
    return {name: median(values) for name, values in seconds.items()}


def best(function, repeats):
    """The least seconds of `repeats` runs: what the machine can do."""
    def once():
        start = time.perf_counter()
        function()
        return time.perf_counter() - start
    return min(once() for _ in range(repeats))
