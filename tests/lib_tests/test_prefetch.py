"""Prefetch: results in order, work done ahead, errors where they belong, no thread left behind."""
import subprocess
import sys
import threading

import pytest
from roi_data_layer.prefetch import AHEAD, Prefetch


def numbers():
    drawn = iter(range(1000))
    return lambda: next(drawn)


@pytest.mark.parametrize("use_threads", [False, True])
def test_results_come_in_the_order_of_drawing(use_threads):
    """Odd ones take longer than those behind them."""
    even_is_done = [threading.Event() for _ in range(40)]

    def make(drawn):
        if drawn % 2 and use_threads:
            even_is_done[drawn + 1].wait(10)
        even_is_done[drawn].set()
        return -drawn

    prefetch = Prefetch(numbers(), make, use_threads)
    assert [prefetch.next() for _ in range(30)] == [(k, -k) for k in range(30)]
    assert prefetch.waited > 0


def test_what_comes_next_is_made_meanwhile():
    made = [threading.Event() for _ in range(AHEAD + 1)]
    prefetch = Prefetch(numbers(), lambda drawn: made[drawn].set(), True)
    prefetch.next()
    assert all(event.wait(10) for event in made)


def test_without_threads_nothing_is_made_before_it_is_asked_for():
    made = []
    prefetch = Prefetch(numbers(), made.append, False)
    prefetch.next()
    assert made == [0]


@pytest.mark.parametrize("use_threads", [False, True])
def test_an_error_comes_when_its_turn_has_come(use_threads):
    prefetch = Prefetch(numbers(), lambda drawn: 6 // (2 - drawn), use_threads)
    assert [prefetch.next()[1] for _ in range(2)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        prefetch.next()
    assert prefetch.next() == (3, -6)


@pytest.mark.parametrize("end", ["", "raise KeyboardInterrupt", "sys.exit(3)"])
def test_a_process_ends_with_work_under_way(end):
    code = ("import itertools, sys, time; from roi_data_layer.prefetch import Prefetch; count = itertools.count()\n"
            "p = Prefetch(lambda: next(count), lambda drawn: time.sleep(0.02), True); p.next()\n" + end)
    done = subprocess.run([sys.executable, "-c", code], cwd="lib", timeout=30, capture_output=True, text=True)
    assert done.returncode == {"": 0, "sys.exit(3)": 3}.get(end, -2)
    assert ("Traceback" in done.stderr) == end.startswith("raise")


def test_threads_end_with_their_owner():
    before = set(threading.enumerate())
    prefetch = Prefetch(numbers(), abs, True)
    prefetch.next()
    workers = set(threading.enumerate()) - before
    assert workers
    del prefetch
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()
