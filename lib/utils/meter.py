"""Progress of a transfer in bytes, on stderr; the standard library only, for what runs before `make setup`."""
import sys
import time

REDRAW_SECONDS = 0.2


class Meter:
    """Meter('a.tgz', 0, 1000), then add(n) for every n bytes that came and close().

    A terminal shows share, bytes, rate and time left, redrawn in place; elsewhere one summary line says how it ended.
    `start` bytes were there before and count for the share, not for the rate. `total` may be None.
    """

    def __init__(self, name, start, total):
        self._name, self._start, self._done, self._total = name, start, start, total
        self._began, self._drawn = time.monotonic(), 0.0
        self._live = sys.stderr.isatty()

    def add(self, n):
        self._done += n
        if self._live and time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._write("\r\033[K" + self._line())

    def close(self):
        seconds = time.monotonic() - self._began
        self._write("%s%s: %s in %.1f s (%s/s)\n" % ("\r\033[K" if self._live else "", self._name,
                                                     bytes_text(self._done - self._start), seconds,
                                                     bytes_text(self._rate())))

    def _line(self):
        line = "%s  %s" % (self._name, bytes_text(self._done))
        if self._total:
            line += " of %s  %.1f %%" % (bytes_text(self._total), 100.0 * self._done / self._total)
        line += "  %s/s" % bytes_text(self._rate())
        if self._total and self._rate() > 0:
            line += "  ETA %s" % time_text((self._total - self._done) / self._rate())
        return line

    def _rate(self):
        return (self._done - self._start) / max(time.monotonic() - self._began, 1e-9)

    @staticmethod
    def _write(text):
        sys.stderr.write(text)
        sys.stderr.flush()


def bytes_text(n):
    """1234567 -> '1.2 MB'."""
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return ("%d %s" if unit == "bytes" else "%.1f %s") % (n, unit)
        n /= 1000.0
    return "%.1f GB" % n


def time_text(seconds):
    """3725 -> '1:02:05', 65 -> '1:05'."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return "%d:%02d:%02d" % (hours, minutes, seconds) if hours else "%d:%02d" % (minutes, seconds)
