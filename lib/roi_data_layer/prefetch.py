"""Making things ahead of their time in threads, in a fixed order."""
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

WORKERS = 2     # decoding and scaling run outside the interpreter's lock
AHEAD = 3       # minibatches of a few MB each


class Prefetch:
    """next() gives draw() and make(of it), one after the other as if there were no threads.

    draw() runs in the caller's thread and in order, some steps ahead: what is random belongs there, and it must not
    depend on what is done with earlier results.  make(drawn) runs in worker threads; what it raises, next() raises.
    waited: seconds that next() took so far.
    """

    def __init__(self, draw, make, use_threads):
        self.waited = 0.0
        self._draw, self._make, self._queue = draw, make, deque()
        self._pool = ThreadPoolExecutor(WORKERS, "prefetch") if use_threads else None

    def next(self):
        """(drawn, made) of the next step."""
        start = time.perf_counter()
        try:
            return self._next_of_threads() if self._pool else self._next_made_now()
        finally:
            self.waited += time.perf_counter() - start

    def _next_made_now(self):
        drawn = self._draw()
        return drawn, self._make(drawn)

    def _next_of_threads(self):
        while len(self._queue) <= AHEAD:
            drawn = self._draw()
            self._queue.append((drawn, self._pool.submit(self._make, drawn)))
        drawn, made = self._queue.popleft()
        return drawn, made.result()
