"""One training per folder: a lock (flock) that the kernel releases when its process ends, also after a kill.

The file names the holder of the lock, which is only used in the message.  A child that the training forks, such as the
BlobFetcher of a fork's data layer, shares no lock: it may live longer.
"""
import fcntl
import os
import socket
from contextlib import contextmanager

from utils.errors import UserError

LOCK = ".lock"
_held: set = set()      # files, locked in this process


def _share_none():
    """In a forked child: close the files, which leaves them locked by the parent alone."""
    for lock in _held:
        os.close(lock.fileno())


os.register_at_fork(after_in_child=_share_none)


@contextmanager
def only_training_in(folder, nccl):
    """Lock `folder` in rank 0 for all processes of a run; UserError in all of them if another training has it.

    nccl: what joins them (utils.caffe_extensions.join).  A message is printed if the file system has no locks.
    """
    lock, error = None, None
    if nccl.rank == 0:
        try:
            lock = _take(folder)
        except UserError as e:
            error = e
    if nccl.mean([error is not None])[0]:
        raise error or UserError(f"{folder} is in use by another training, says rank 0")
    try:
        yield
    finally:
        if lock is not None:
            _held.discard(lock)
            lock.close()


def _take(folder):
    """The locked file."""
    lock = open(os.path.join(folder, LOCK), "a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown process"
        lock.close()
        raise UserError(f"{folder} is in use by another training ({holder}); wait for it, or train in another folder: "
                        "--set EXP_DIR NAME") from None
    except OSError as e:
        print(f"{folder} cannot be locked ({e.strerror}); make sure that no other training uses it", flush=True)
        return lock
    lock.truncate(0)
    lock.write(f"host {socket.gethostname()}, process {os.getpid()}\n")
    lock.flush()
    _held.add(lock)
    return lock
