"""Archives that try to get out of their folder, and what of a good one is kept."""
import os
import stat
import tarfile

import pytest
from support.archives import special, tar_bytes, zip_bytes
from utils.errors import UserError
from utils.safe_unpack import move_into, unpack


def links_longer_than_path_max():
    """Folders of long names, each with a short link to it: names of links reach further than the resolved path may."""
    members, path, short = [], "", "abcdefghijklmnop"
    for name in short:
        folder = os.path.join(path, "d" * 247)
        members += [special(folder, tarfile.DIRTYPE), special(os.path.join(path, name), tarfile.SYMTYPE, "d" * 247)]
        path = folder
    long_link = "/".join([*short, "l" * 254])
    members += [special(long_link, tarfile.SYMTYPE, "../" * len(short)),
                special("evil", tarfile.SYMTYPE, long_link + "/.."), ("evil/file", b"x")]
    return tar_bytes(*members)


ESCAPES = {
    "links longer than PATH_MAX": links_longer_than_path_max(),
    "dots": tar_bytes(("../evil", b"x")),
    "dots inside": tar_bytes(("a/../../evil", b"x")),
    "absolute": tar_bytes(("/tmp/evil_of_test", b"x")),
    "folder outside": tar_bytes(special("../evil", tarfile.DIRTYPE)),
    "symlink outside": tar_bytes(special("evil", tarfile.SYMTYPE, "../../secret")),
    "symlink absolute": tar_bytes(special("evil", tarfile.SYMTYPE, "/etc/passwd")),
    "symlink to the folder above": tar_bytes(special("evil", tarfile.SYMTYPE, "..")),
    "symlink outside named above": tar_bytes(("a/f", b"x"), special("../evil", tarfile.SYMTYPE, "a/f")),
    "file through a symlink": tar_bytes(special("evil", tarfile.SYMTYPE, ".."), ("evil/file", b"x")),
    "symlink through a symlink": tar_bytes(("a/b/f", b"x"), special("s", tarfile.SYMTYPE, "a/b"),
                                           special("evil", tarfile.SYMTYPE, "s/../../../secret")),
    "up through a symlink": tar_bytes(("a/f", b"x"), special("a/up", tarfile.SYMTYPE, ".."),
                                      special("evil", tarfile.SYMTYPE, "a/up/..")),
    "hardlink outside": tar_bytes(special("evil", tarfile.LNKTYPE, "../secret")),
    "hardlink absolute": tar_bytes(special("evil", tarfile.LNKTYPE, "/etc/passwd")),
    "hardlink to a symlink": tar_bytes(special("s", tarfile.SYMTYPE, "/etc/passwd"), special("evil", tarfile.LNKTYPE, "s")),
    "device": tar_bytes(special("evil", tarfile.CHRTYPE)),
    "block device": tar_bytes(special("evil", tarfile.BLKTYPE)),
    "fifo": tar_bytes(special("evil", tarfile.FIFOTYPE)),
    "zip dots": zip_bytes(("../evil", b"x")),
    "zip absolute": zip_bytes(("/tmp/evil_of_test", b"x")),
    "zip symlink": zip_bytes(("evil", b"../secret", stat.S_IFLNK | 0o777)),
    "zip symlink absolute": zip_bytes(("evil", b"/etc/passwd", stat.S_IFLNK | 0o777)),
    "zip file through a symlink": zip_bytes(("evil", b"..", stat.S_IFLNK | 0o777), ("evil/file", b"x")),
    "zip device": zip_bytes(("evil", b"", stat.S_IFCHR | 0o666)),
    "zip fifo": zip_bytes(("evil", b"", stat.S_IFIFO | 0o666)),
}


@pytest.fixture
def unpacked(tmp_path):
    """unpacked(bytes) -> the folder they were unpacked into; beside it lies a file `secret`."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in").mkdir()

    def call(data):
        (tmp_path / "archive").write_bytes(data)
        unpack(str(tmp_path / "archive"), str(tmp_path / "in"))
        return tmp_path / "in"
    return call


@pytest.mark.parametrize("name", ESCAPES)
def test_escapes_are_refused(name, unpacked, tmp_path):
    with pytest.raises(UserError):
        unpacked(ESCAPES[name])
    assert sorted(os.listdir(tmp_path)) == ["archive", "in", "secret"]
    assert (tmp_path / "secret").read_text() == "secret" and not os.path.exists("/tmp/evil_of_test")
    for path in (tmp_path / "in").rglob("*"):
        assert not path.is_symlink() or path.resolve().is_relative_to(tmp_path / "in")
        assert stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_of_every_kind(unpacked, mode):
    folder = unpacked(tar_bytes(("./a/b.txt", b"b"), ("c", b"c"), mode=mode))
    assert (folder / "a/b.txt").read_bytes() == b"b" and (folder / "c").read_bytes() == b"c"


def test_links_inside_are_made(unpacked):
    folder = unpacked(tar_bytes(special("z/l", tarfile.SYMTYPE, "../a/f"), special("d", tarfile.SYMTYPE, "a"), ("a/f", b"x"),
                                special("h", tarfile.LNKTYPE, "a/f")))
    assert os.readlink(folder / "z/l") == "../a/f" and (folder / "z/l").read_bytes() == b"x"
    assert (folder / "d/f").read_bytes() == b"x" and (folder / "h").read_bytes() == b"x"


def test_of_the_permissions_only_executable_is_kept(unpacked):
    set_id = tarfile.TarInfo("run")
    set_id.mode = 0o6777
    folder = unpacked(tar_bytes(set_id, ("plain", b"")))
    mode = (folder / "run").stat().st_mode
    assert mode & 0o7000 == 0 and mode & 0o100 and not mode & 0o002
    assert not (folder / "plain").stat().st_mode & 0o111


def test_the_later_of_two_members_counts_and_spares_the_hard_link(unpacked):
    folder = unpacked(tar_bytes(("a", b"1"), special("h", tarfile.LNKTYPE, "a"), ("a", b"22")))
    assert (folder / "a").read_bytes() == b"22" and (folder / "h").read_bytes() == b"1"


def test_corrupt_zip_is_refused(unpacked):
    data = bytearray(zip_bytes(("a", b"a" * 5000)))
    data[40] ^= 0xff
    with pytest.raises(UserError, match="archive cannot be unpacked"):
        unpacked(bytes(data))


def test_move_joins_folders_and_keeps_what_is_there(tmp_path):
    for name, text in {"new/a/1": "n", "new/a/2": "n", "new/b/3": "n", "old/a/1": "o"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert move_into(str(tmp_path / "new"), str(tmp_path / "old")) == [str(tmp_path / "old/a/1")]
    assert {str(p.relative_to(tmp_path / "old")): p.read_text() for p in (tmp_path / "old").rglob("*") if p.is_file()} == \
        {"a/1": "o", "a/2": "n", "b/3": "n"}


@pytest.mark.parametrize("same_disk", [True, False])
def test_the_telling_file_is_moved_last(tmp_path, monkeypatch, same_disk):
    """So that a move that was killed does not look complete; also where the target is on another disk."""
    for name in ("new/a/mark", "new/a/other", "new/b", "old/a/own"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    mark, seen, rename = str(tmp_path / "old/a/mark"), [], os.rename

    def watched(source, target):
        if not same_disk and str(source).startswith(str(tmp_path / "new")):
            raise OSError(18, "Invalid cross-device link")
        seen.append(os.path.basename(target))
        rename(source, target)

    monkeypatch.setattr(os, "rename", watched)
    monkeypatch.setattr(os, "replace", watched)
    move_into(str(tmp_path / "new"), str(tmp_path / "old"), last=[mark])
    assert seen == ["b", "other", "mark"] and os.path.isfile(mark)
