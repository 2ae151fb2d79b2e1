"""Progress of long work: count, rate and time left, on stderr."""
import sys
import time

from tqdm import tqdm


def progress(iterable, desc, total=None, unit="it"):
    """Yield from `iterable` under a bar; without a terminal, one summary line when it ends."""
    if sys.stderr.isatty():
        yield from tqdm(iterable, desc=desc, total=total, unit=unit, dynamic_ncols=True)
        return
    start, n = time.monotonic(), 0
    for item in iterable:
        yield item
        n += 1
    seconds = time.monotonic() - start
    print("%s: %d %s in %.1f s (%.1f %s/s)" % (desc, n, unit, seconds, n / max(seconds, 1e-9), unit), file=sys.stderr)
