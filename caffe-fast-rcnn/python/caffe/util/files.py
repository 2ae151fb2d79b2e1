"""Reading prototxts; writing files whole or not at all."""
import fcntl
import os
import re
import secrets

from google.protobuf import text_format
from google.protobuf.message import Message

from ..common import CaffeError
from .forks import forks_of_field, forks_of_value, sentence_about


def as_message(source, kind):
    """A message of class `kind`: `source` itself, the same of another caffe_pb2, or what the prototxt `source` says."""
    if isinstance(source, kind):
        return _complete(source, "the %s given" % kind.DESCRIPTOR.name)
    name = kind.DESCRIPTOR.name
    if isinstance(source, Message) and source.DESCRIPTOR.name == name:
        return _parse(text_format.MessageToString(source), kind(), "the %s given" % name)
    if not isinstance(source, (str, os.PathLike)):
        raise CaffeError("expected a %s or a prototxt's name, got a %s" % (name, type(source).__name__))
    return read_text_proto(source, kind())


def read_text_proto(path, message):
    """Parse the prototxt at `path` into `message` and return it.  Raises CaffeError naming file and line."""
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
    except (OSError, ValueError) as e:      # ValueError: no UTF-8, or a NUL in the name
        reason = e.strerror if isinstance(e, OSError) else "it is not text, or its name has a NUL"
        raise CaffeError("%s: cannot read this prototxt: %s" % (path, reason)) from None
    return _parse(text, message, path)


def _parse(text, message, source):
    try:
        message = text_format.Parse(text, message)
    except text_format.ParseError as e:
        where = re.match(r"(\d+):(\d+) : (.*)", str(e), re.S)
        line, what = (":" + where.group(1), where.group(3)) if where else ("", str(e))
        what = " ".join(what.split())
        raise CaffeError("%s%s: not a valid %s: %s%s"
                         % (source, line, message.DESCRIPTOR.name, what, _about_forks(what))) from None
    except RecursionError:
        raise CaffeError("%s: not a valid %s: messages are nested too deep"
                         % (source, message.DESCRIPTOR.name)) from None
    return _complete(message, source)


def _complete(message, source):
    """`message`; CaffeError if it lacks a required field."""
    missing = message.FindInitializationErrors()
    if missing:
        raise CaffeError("%s: not a valid %s: required fields are missing: %s"
                         % (source, message.DESCRIPTOR.name, ", ".join(missing[:5])))
    return message


def _about_forks(what):
    """What to add to the parser's message `what` where a fork has the field or the enum's value."""
    field = re.search(r'Message type "caffe\.(\S+)" has no field named "(\w+)"', what)
    if field:
        about = sentence_about(field[2], forks_of_field(*field.groups()))
    else:
        value = re.search(r'Enum type "\S+" has no value named (\w+)', what)
        about = sentence_about(value[1], forks_of_value(value[1])) if value else ""
    return " " + about if about else ""


def write_atomically(path, chunks):
    """Write a list of bytes to `path` so that a reader, or a kill, never sees half a file.

    They go to .<name>.<random>.part in the same folder, which is renamed when it is complete.  Until then its writer
    holds a lock on it (flock): one without a lock was left by a process that was killed, and may be removed.
    """
    part = None
    try:
        f, part = _open_part(path)
        lock = os.dup(f.fileno())   # keeps the lock from the close, which reports late write errors, to the rename
        try:
            with f:
                f.writelines(chunks)
            os.replace(part, path)
        finally:
            os.close(lock)
    except BaseException as e:
        if part:
            os.unlink(part)
        if isinstance(e, OSError):
            raise CaffeError("cannot write %s: %s" % (path, e.strerror or e)) from None
        raise


def _open_part(path):
    """(file, path) of a new temporary file for `path`, locked where the file system can."""
    folder, name = os.path.split(os.path.abspath(path))
    while True:
        part = os.path.join(folder, ".%s.%s.part" % (name[:60], secrets.token_hex(4)))
        f = open(part, "xb")
        try:
            fcntl.flock(f, fcntl.LOCK_EX)
        except OSError:             # no locks here
            pass
        if os.fstat(f.fileno()).st_nlink:
            return f, part
        f.close()                   # removed between open and lock
