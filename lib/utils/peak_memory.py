"""The most memory that this process has taken."""
import resource
import sys


def peak_rss_mb() -> float:
    """Resident memory, MB."""
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss   # kB on Linux, bytes on macOS
    return rss / (2 ** 20 if sys.platform == "darwin" else 2 ** 10)
