"""How much memory a blob may take: more than the machine has is one line, before anything is allocated."""
import functools
import math
import os

from .common import CaffeError

VARIABLE = "CAFFE_MEMORY_LIMIT"
_UNITS = {"": 1, "K": 2 ** 10, "M": 2 ** 20, "G": 2 ** 30, "T": 2 ** 40}
_CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def require_memory(byte_count, what):
    """CaffeError if `what`, such as "a blob of shape (2, 3)", would take more bytes than memory_limit()."""
    limit, source = memory_limit()
    if byte_count > limit:
        raise CaffeError(f"{what} would take {_gigabytes(byte_count)}, more than {source} ({_gigabytes(limit)}); make "
                         f"it smaller, or set {VARIABLE}, such as 64G")


@functools.cache
def memory_limit():
    """(bytes, whose limit it is): CAFFE_MEMORY_LIMIT, or the machine's memory or that of its control group."""
    given = os.environ.get(VARIABLE, "").strip().upper()
    if given:
        number, unit = given.rstrip("KMGTB"), given.lstrip("0123456789").removesuffix("B")
        if not number.isdecimal() or len(number) > 18 or unit not in _UNITS:
            raise CaffeError(f"{VARIABLE} is {given[:40]!r}; expected bytes, or a number with K, M, G or T: 64G")
        return int(number) * _UNITS[unit], VARIABLE
    return min([(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "this machine's memory"), *_cgroup_limits()])


def _cgroup_limits():
    for path in _CGROUP_FILES:
        try:
            with open(path, encoding="ascii") as f:
                yield int(f.read()), "the memory of this control group"
        except (OSError, ValueError):       # no such file; "max"
            pass


def _gigabytes(byte_count):
    """The number of bytes for people; 1e30 stays short."""
    return f"{byte_count / 1e9:.3g} GB" if byte_count < 1e300 else f"10^{math.log10(byte_count):.0f} bytes"
