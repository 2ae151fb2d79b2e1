"""Hashes of the contents of files, independent of path and date.

Hashes are cached by the file's device, inode, size, mtime and ctime, so that a file is read again only after it was
touched, moved or changed.  The cache is a text file, one line per hash, to which each process appends; incomplete lines
are skipped, and the file may be removed at any time.
"""
import contextlib
import functools
import hashlib
import os
import time

from fast_rcnn.config import cache_dir
from utils.progress import progress

MEMORY_FILE = "file_hashes.txt"     # in the folder of derived files
HEX_DIGITS = 64                     # of a SHA-256
UNKNOWN = ""
MANY = 500      # files that take long enough to be read to show how many are done
# The coarsest clock of a file system (FAT's).  A file may change once more within it and keep its times, so the hash of
# a file that was changed so shortly before is not remembered.  Git calls such an entry racy.
RACY_NS = 2 * 10 ** 9


def file_hash(path: str) -> str:
    """SHA-256 of the bytes of a file, 64 hex digits.  Raises OSError where it cannot be read, as open() does."""
    return _load_memory(_memory_path()).get(_stamp(os.stat(path))) or _hash_files([path])[0]


def existing_hashes(paths: list[str], desc: str) -> list[str | None]:
    """file_hash of each file, None if it does not exist.  Reading many files shows progress under `desc` on stderr."""
    memory = _load_memory(_memory_path())
    known = {path: _existing(memory, path) for path in paths}
    unknown = [path for path, digest in known.items() if digest == UNKNOWN]
    counted = progress(unknown, desc, len(unknown), "files") if len(unknown) >= MANY else unknown
    if unknown:
        known.update(zip(unknown, _hash_files(counted)))
    return [known[path] for path in paths]


def _existing(memory, path):
    """The cached hash; UNKNOWN if it is not cached, None if the file does not exist."""
    try:
        return memory.get(_stamp(os.stat(path)), UNKNOWN)
    except FileNotFoundError:
        return None


def _hash_files(paths):
    """Read and hash files, and cache the hashes where possible."""
    memory, digests = _load_memory(_memory_path()), []
    with _open_memory(_memory_path()) as f:
        for path in paths:
            digest, stamp = _read(path)
            digests.append(digest)
            if stamp is not None:
                memory[stamp] = digest
                with contextlib.suppress(OSError):      # a full disk: it is read again next time
                    f.write(f"{stamp} {digest}\n".encode())
    return digests


def _memory_path():
    return os.path.join(cache_dir(), MEMORY_FILE)


def _read(path):
    """(hash, stamp) of a file; stamp is None if the hash must not be cached."""
    start = time.time_ns()
    with open(path, "rb", buffering=0) as f:
        before = os.fstat(f.fileno())
        digest = hashlib.file_digest(f, "sha256").hexdigest()
        after = os.fstat(f.fileno())
    is_settled = before.st_ctime_ns < start - RACY_NS and _stamp(before) == _stamp(after)
    return digest, _stamp(after) if is_settled else None


def _stamp(stat):
    return f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


@functools.cache
def _load_memory(path):
    """{stamp: hash} of a cache file, read once per process; later additions of other processes are not seen."""
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            pairs = [line.rstrip("\n").rpartition(" ")[::2] for line in f]
    except OSError:
        return {}
    return {stamp: digest for stamp, digest in pairs if len(digest) == HEX_DIGITS}


def _open_memory(path):
    """Open the cache file for appending, unbuffered: each line is one write, so lines of processes do not mix.

    Without a cache file, hashing is only slower.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "ab", buffering=0)
    except OSError:
        return open(os.devnull, "wb")
