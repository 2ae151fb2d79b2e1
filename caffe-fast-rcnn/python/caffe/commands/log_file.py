"""The log file of -log_dir, named and begun as glog does it, so that tools for Caffe's logs find it."""
import datetime
import getpass
import os
import socket

from ..common import CaffeError, set_log_file


def open_log_file(folder: str) -> str:
    """Write the lines of the log to a new file in `folder` from now on; returns its path.

    <folder>/caffe.<host>.<user>.log.INFO.<date>-<time>.<pid>, and the link <folder>/caffe.INFO to it.
    Raises CaffeError if the file cannot be written.
    """
    now = datetime.datetime.now()
    host = socket.gethostname()
    name = f"caffe.{host}.{_user()}.log.INFO.{now:%Y%m%d-%H%M%S}.{os.getpid()}"
    path = os.path.join(folder, name)
    try:
        file = open(path, "a", encoding="utf-8", buffering=1)
        _link(name, os.path.join(folder, "caffe.INFO"))
    except OSError as e:
        raise CaffeError(f"-log_dir {folder}: the log cannot be written there ({e.strerror}); make the folder, or name "
                         "another") from None
    file.write(f"Log file created at: {now:%Y/%m/%d %H:%M:%S}\nRunning on machine: {host}\n"
               "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n")
    set_log_file(file)
    return path


def _user():
    try:
        return getpass.getuser()
    except (OSError, KeyError):         # a container may have no name for the number
        return "invalid-user"


def _link(name, link):
    if os.path.islink(link):
        os.remove(link)
    if not os.path.exists(link):
        os.symlink(name, link)
