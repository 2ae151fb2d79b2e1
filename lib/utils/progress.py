"""Progress of long work: count, rate and time left, on stderr."""
import sys
import time

from tqdm import tqdm

LINE_EVERY = 15.0   # seconds between lines where no bar can be drawn
hidden = False      # True in all but one of several processes


def progress(iterable, desc, total=None, unit="it"):
    """Yield from `iterable` under a bar; in a log, under a line with rate and time left every LINE_EVERY seconds."""
    if hidden:
        yield from iterable
        return
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    if sys.stderr.isatty():
        yield from tqdm(iterable, desc=desc, total=total, unit=unit, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    n = 0
    for item in iterable:
        yield item
        n += 1
        now = time.monotonic()
        if now - last >= LINE_EVERY:
            last = now
            print(progress_line(desc, n, total, now - start, unit), file=sys.stderr, flush=True)
    print(progress_line(desc, n, n, time.monotonic() - start, unit), file=sys.stderr, flush=True)


def progress_line(desc, done, total, seconds, unit):
    """One line of a log: "Training: 300 of 2000 it (15%) in 2:00, 2.5 it/s, 11:20 left"; total None: unknown."""
    rate = done / max(seconds, 1e-9)
    text = "%s: %d%s %s" % (desc, done, " of %d" % total if total else "", unit)
    if total:
        text += " (%d%%)" % (100 * done // total)
    text += " in %s, %.3g %s/s" % (tqdm.format_interval(seconds), rate, unit)
    if total and done < total:
        text += ", %s left" % tqdm.format_interval((total - done) / rate)
    return text
