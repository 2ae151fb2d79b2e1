"""Archives of strangers: tar and zip unpacked so that nothing gets outside the folder meant for them.

The standard library only: this runs before `make setup`. Its own checks, as tarfile's "data" filter lets links longer
than PATH_MAX lead out of the folder before Python 3.11.13, 3.12.11 and 3.13.4 (CVE-2025-4517; tried on 3.11.7), and
zipfile makes no symbolic links.
"""
import contextlib
import errno
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import namedtuple

from utils.errors import UserError

# kind: file, dir, symlink, hardlink, or what else it is; link: target of a link; open(): the bytes of a file
Member = namedtuple("Member", "name kind executable link open")

ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
                  ValueError)


def unpack(archive, folder):
    """Unpack a zip or a tar (also gz, bz2, xz) into `folder`, which exists and is empty.

    Refused with a UserError: absolute names, names with .., links that lead out of `folder`, devices, fifos. Owners,
    set-id bits and all permissions but "executable" are dropped. Symbolic links are made last, so nothing is ever
    written through one.
    """
    links = []
    try:
        with _members(archive) as members:
            for member in members:
                path = os.path.join(folder, *_parts(member.name, archive))
                if member.kind == "symlink":
                    links.append((path, member))
                else:
                    _write(member, path, folder, archive)
        _make_links(links, folder, archive)
    except ARCHIVE_ERRORS as e:
        raise UserError("%s cannot be unpacked: %s" % (archive, e or type(e).__name__)) from e


def move_into(source, target, last=(), replace=False):
    """Move all that is in the folder `source` into the folder `target`, joining folders that are in both.

    Files in `target` stay as they are unless `replace`. The paths `last` (below target), which tell that all is there,
    come after everything else. Returns the paths that were kept.
    """
    os.makedirs(target, exist_ok=True)
    kept = []
    for name in sorted(os.listdir(source), key=lambda name: _leads_to(os.path.join(target, name), last)):
        kept += _move(os.path.join(source, name), os.path.join(target, name), last, replace)
    return kept


# ---- reading

@contextlib.contextmanager
def _members(archive):
    with open(archive, "rb") as f:
        is_zip = f.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    if is_zip:
        with zipfile.ZipFile(archive) as z:
            yield (_zip_member(z, info) for info in z.infolist())
    else:
        with tarfile.open(archive) as tar:
            yield (_tar_member(tar, info) for info in tar)


def _zip_member(z, info):
    mode = info.external_attr >> 16                         # 0 where it was not made on a Unix
    kinds = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo"}
    kind = "dir" if info.is_dir() else kinds.get(stat.S_IFMT(mode), "device")
    link = z.read(info).decode() if kind == "symlink" else ""
    return Member(info.filename, kind, bool(mode & 0o100), link, lambda: z.open(info))


def _tar_member(tar, info):
    kind = ("file" if info.isreg() else "dir" if info.isdir() else "symlink" if info.issym() else
            "hardlink" if info.islnk() else "fifo" if info.isfifo() else "device")
    return Member(info.name, kind, bool(info.mode & 0o100), info.linkname, lambda: tar.extractfile(info))


def _parts(name, archive):
    """The folders and the file of a member's name."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise UserError("%s is refused: %r would be written outside the target folder" % (archive, name))
    return parts


# ---- writing

def _write(member, path, folder, archive):
    if member.kind == "dir":
        os.makedirs(path, exist_ok=True)
    elif member.kind == "file":
        _make_room(path)
        with member.open() as source, open(path, "xb") as f:
            shutil.copyfileobj(source, f, 1 << 20)
        if member.executable:
            os.chmod(path, os.stat(path).st_mode | 0o100)
    elif member.kind == "hardlink":
        source = os.path.join(folder, *_parts(member.link, archive))
        if not os.path.isfile(source):
            raise UserError("%s is refused: %r links to %r, which is no file before it in the archive"
                            % (archive, member.name, member.link))
        _make_room(path)
        os.link(source, path)
    else:
        raise UserError("%s is refused: %r is a %s" % (archive, member.name, member.kind))


def _make_room(path):
    """The folder of `path`, without a file of that name (in a tar the later one counts)."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.remove(path)


def _make_links(links, folder, archive):
    for path, _ in links:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    for path, member in links:
        if not _stays_inside(path, member.link, folder):
            raise UserError("%s is refused: the link %r leads to %r, which is nothing in the archive"
                            % (archive, member.name, member.link))
        os.symlink(member.link, path)


def _stays_inside(path, link, folder):
    """Whether `link`, standing at `path`, is a file or folder below `folder` that is reached without another link."""
    if os.path.isabs(link):
        return False
    here = os.path.dirname(path)
    for part in link.split("/"):
        here = os.path.dirname(here) if part == ".." else os.path.join(here, part) if part not in ("", ".") else here
        inside = here == folder or here.startswith(folder + os.sep)
        if not inside or os.path.islink(here) or not os.path.exists(here):
            return False
    return True


# ---- moving

def _move(source, target, last, replace):
    is_folder = os.path.isdir(source) and not os.path.islink(source)
    if not os.path.lexists(target):
        try:
            os.rename(source, target)
            return []
        except OSError as e:
            if e.errno != errno.EXDEV:
                raise
    if is_folder:
        return move_into(source, target, last, replace)
    if os.path.lexists(target) and not replace:
        return [target]
    shutil.move(source, target + ".new")                    # may copy: the last step is a rename either way
    os.replace(target + ".new", target)
    return []


def _leads_to(path, last):
    return any(end == path or end.startswith(path + os.sep) for end in last)
