"""How the C library keeps the memory of arrays on the CPU: freed memory stays, what lies idle between arrays goes back.

glibc only; other C libraries keep their ways.
"""
import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4         # numbers of malloc.h
_GROWTH = 1.1       # of the resident memory from the first pass behind a trimming to the next trimming


def _c_library():
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (AttributeError, OSError, TypeError):
        return None


_C = _c_library()


def keep_freed_memory():
    """Let the C library reuse the memory of large arrays instead of giving it back to the system and asking again.

    The system clears each page of fresh memory: that took longer than many a layer (conv1_1 of VGG16 at 600 x 800:
    160 ms with it, 15 ms without).  It holds for the whole process, so `import caffe` leaves it to the program: the
    command `caffe` and the project's tools call this first.
    """
    if _C:
        _C.mallopt(_M_MMAP_MAX, 0)
        _C.mallopt(_M_TRIM_THRESHOLD, 2 ** 31 - 1)


class Trimmer:
    """Keeps the holes between arrays from growing, pass by pass: `trim_if_grown()` before each.

    Images of many sizes make arrays of many sizes, which fit the holes of earlier ones ever less: SqueezeNet's training
    grew from 0.8 to 2.6 GB.  Giving the holes back costs as much as clearing their pages again, so it is done only when
    much more memory is resident than in the first pass behind the last time.
    """

    def __init__(self):
        self._resident = 0      # bytes, in the first pass behind the last trimming; 0: not known yet

    def trim_if_grown(self):
        """Give the holes back to the system, where there are more of them than before; returns whether it was done."""
        now = resident_bytes() if _C else 0
        if self._resident and now > _GROWTH * self._resident:
            self._resident = 0
            return bool(_C.malloc_trim(0))
        self._resident = self._resident or now
        return False


def resident_bytes():
    """Bytes of memory that this process occupies now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="utf-8") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
