"""Files from the net: resumed where they broke off, checked, from the first of several addresses that delivers.

The standard library only: this runs before `make setup`. (pooch 1.9 asks for no byte ranges, so it cannot resume, and
does not bound the body.)
"""
import fcntl
import hashlib
import http.client
import os
import re
import shutil
import sys
import urllib.error
import urllib.request

from utils.errors import UserError
from utils.meter import Meter, bytes_text

CHUNK = 1 << 18          # bytes
TIMEOUT = 20             # seconds without a byte
TRIES = 5                # connections to one address, as long as each brings something new
HEADERS = {"User-Agent": "ohem-fetch", "Accept-Encoding": "identity"}
NETWORK_ERRORS = (OSError, http.client.HTTPException, ValueError)


class NotFetched(UserError):
    """No address delivered; the message names each and why."""


class TransferError(Exception):
    """One address did not deliver; the message says why."""


class Interrupted(TransferError):
    """The connection broke; what came until then is kept."""


def fetch(urls, path, checksum=""):
    """Make the file `path` from the first of `urls` that delivers it with the right checksum.

    checksum: 'md5:<hex>', 'sha256:<hex>' or 'sha384:<hex>' (or its first digits); '' = not known. What has come so far
    waits in `path`.part, also for the next run; a whole file with another checksum is kept as `path`.bad.
    Raises NotFetched; UserError where the disk is full or another run writes the same file.
    """
    failures = []
    for url in urls:
        print("Downloading %s" % url, flush=True)
        try:
            _fetch_one(url, path, checksum)
            return
        except TransferError as e:
            failures.append("%s (%s)" % (url, e))
            print("no luck: %s" % e, file=sys.stderr, flush=True)
        finally:
            _remove_empty(path + ".part")
    raise NotFetched("%s could not be fetched; tried %s" % (os.path.basename(path), ", ".join(failures)))


def mismatch(path, checksum):
    """None where the file has `checksum` or none is known, else a line with what it has and what was expected."""
    name = os.path.basename(path)
    algorithm, _, expected = checksum.partition(":")
    print("Checking %s" % name, flush=True)
    got = _digest(path, algorithm or "md5")
    if not checksum:
        print("no checksum of %s is known; its md5 is %s" % (name, got), flush=True)
    if got.startswith(expected):
        return None
    return "wrong checksum: %s has %s %s, expected %s" % (name, algorithm, got, expected)


def _fetch_one(url, path, checksum):
    part = path + ".part"
    if not checksum and os.path.exists(part):
        os.remove(part)             # nothing could tell whether the beginning there belongs to this file
    resumed = _size(part) > 0
    _transfer(url, part)
    problem = mismatch(part, checksum)
    if problem and resumed:
        print("the part from an earlier run does not fit; starting again", file=sys.stderr, flush=True)
        os.remove(part)
        _transfer(url, part)
        problem = mismatch(part, checksum)
    if problem:
        os.replace(part, path + ".bad")
        raise TransferError("%s; kept as %s.bad" % (problem, path))
    os.replace(part, path)


def _transfer(url, part):
    """Complete `part` from `url`; a broken connection is taken up again while that gains something."""
    for attempt in range(TRIES):
        before = _size(part)
        try:
            return _receive(url, part)
        except Interrupted as e:
            if attempt == TRIES - 1 or _size(part) <= before:
                raise
            print("%s; going on from there" % e, file=sys.stderr, flush=True)


def _receive(url, part):
    """One connection: append to `part` what it lacks, or write it anew where the server cannot resume."""
    with open(part, "ab") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("%s is being written by another run; wait for it or end it" % part) from None
        start = os.fstat(f.fileno()).st_size
        response = _request(url, start)
        if response.status == 416 and _range_total(response) == start:
            return                                          # it was complete
        if response.status != 200 and not _continues(response, start):
            response.close()
            response = _request(url, 0)
        if response.status == 200:
            start = 0
            f.truncate(0)
        with response:
            _copy(response, f, start, os.path.basename(part)[:-len(".part")])


def _request(url, start):
    """The server's answer to a request for the bytes from `start` on."""
    headers = dict(HEADERS, Range="bytes=%d-" % start) if start else HEADERS
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as e:
        if e.code == 416 and start:
            return e                                        # an answer as any other
        raise TransferError("HTTP %d %s" % (e.code, e.reason)) from e
    except NETWORK_ERRORS as e:
        raise TransferError(str(getattr(e, "reason", e)) or type(e).__name__) from e
    if response.status not in (200, 206):
        raise TransferError("unexpected answer %s" % response.status)
    if response.headers.get_content_type() == "text/html":
        raise TransferError("sent a web page instead of the file")
    return response


def _continues(response, start):
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status == 206 and found is not None and int(found.group(1)) == start


def _range_total(response):
    found = re.match(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
    return int(found.group(1)) if found else None


def _copy(response, f, start, name):
    """Write the body to f, which holds `start` bytes already."""
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    _check_space(f.name, total - start if total else 0)
    done, meter = start, Meter(name, start, total)
    try:
        while True:
            chunk = response.read1(CHUNK)                   # what is there: nothing is lost when the line breaks
            if not chunk:
                break
            f.write(chunk)
            done += len(chunk)
            meter.add(len(chunk))
    except NETWORK_ERRORS as e:
        f.flush()                                           # a full disk is no fault of the server: raises again here
        raise Interrupted("the connection broke after %d of %s bytes: %s" % (done, total or "?", e)) from e
    finally:
        meter.close()
    if total is not None and done < total:
        raise Interrupted("the connection closed after %d of %d bytes" % (done, total))


def _check_space(path, needed):
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free
    if needed > free:
        raise UserError("%s needs %s more, and only %s are free there; make room or choose another folder with --to"
                        % (path, bytes_text(needed), bytes_text(free)))


def _digest(path, algorithm):
    digest = hashlib.new(algorithm)
    with open(path, "rb") as f:
        for chunk in iter(lambda: f.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _size(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def _remove_empty(path):
    if os.path.exists(path) and _size(path) == 0:
        os.remove(path)
