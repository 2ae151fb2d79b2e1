"""Reading prototxts; writing files whole or not at all."""
import os
import re
import tempfile

from google.protobuf import text_format

from ..common import CaffeError


def read_text_proto(path, message):
    """Parse the prototxt at `path` into `message` and return it.  Raises CaffeError naming file and line."""
    try:
        with open(path) as f:
            text = f.read()
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not text"
        raise CaffeError("%s: cannot read this prototxt: %s" % (path, reason)) from None
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as e:
        where = re.match(r"(\d+):(\d+) : (.*)", str(e), re.S)
        line, what = (":" + where.group(1), where.group(3)) if where else ("", str(e))
        what = " ".join(what.split())
        raise CaffeError("%s%s: not a valid %s: %s" % (path, line, message.DESCRIPTOR.name, what)) from None


def write_atomically(path, chunks):
    """Write a list of bytes to `path` so that a reader, or a kill, never sees half a file."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix="." + os.path.basename(path))
    except OSError as e:
        raise CaffeError("cannot write %s: %s" % (path, e.strerror)) from None
    try:
        with os.fdopen(handle, "wb") as f:
            f.writelines(chunks)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
