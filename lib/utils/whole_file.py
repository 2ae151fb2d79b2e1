"""Files written completely or not at all.

The bytes go to a temporary file in the same folder, .<name>.<random>.part, which is renamed when it is complete.  The
writer holds a lock on it (flock).  The kernel releases the lock when the process ends, also after a kill, and
remove_parts removes files that are not locked.  If the file system has no locks, such files are not removed.
"""
import fcntl
import os
import re
import secrets
from contextlib import contextmanager

PART = re.compile(r"\..*\.[0-9a-f]{8}\.part")


@contextmanager
def whole_file(path, mode="wb"):
    """A file, open for writing, that replaces `path` when the block ends; after an error `path` is unchanged.

    mode: "wb", or "w" for text in UTF-8 with line ends written unchanged.
    The permissions are those of open().  An OSError in the block names `path`, if it names no other file.
    """
    path = os.fspath(path)
    f, part = _open_part(path, mode)
    lock = os.dup(f.fileno())       # keeps the lock from the close, which reports late write errors, to the rename
    try:
        with f:
            yield f
        os.replace(part, path)
    except BaseException as e:
        os.remove(part)
        if isinstance(e, OSError) and e.filename is None:
            e.filename = path
        raise
    finally:
        os.close(lock)


def remove_parts(folder):
    """Remove temporary files of whole_file in `folder` whose process was killed."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    for name in filter(PART.fullmatch, names):
        part = os.path.join(folder, name)
        try:
            with open(part, "r+b") as f:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.remove(part)
        except OSError:         # locked by its writer, already renamed, of another user, or there are no locks
            pass


def _open_part(path, mode):
    """(file, path) of a new temporary file, locked if the file system has locks."""
    folder, name = os.path.split(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    while True:
        part = os.path.join(folder, f".{name[:60]}.{secrets.token_hex(4)}.part")
        f = open(part, mode.replace("w", "x"), **text)
        try:
            fcntl.flock(f, fcntl.LOCK_EX)
        except OSError:         # no locks here
            pass
        if os.fstat(f.fileno()).st_nlink:
            return f, part
        f.close()               # remove_parts of another process was faster than the lock
