"""Hashes of files by their bytes: right whatever the times say, and remembered where the times can be trusted."""
import hashlib
import os
import subprocess
import sys

import pytest
from datasets import content_hash
from datasets.content_hash import existing_hashes, file_hash
from support.reference import ROOT


@pytest.fixture
def reads(own_root, monkeypatch):
    """Paths that were read to be hashed; files just written are trusted, as if they were seconds old."""
    monkeypatch.setattr(content_hash, "RACY_NS", -10 ** 15)
    read, paths = content_hash._read, []

    def counted(path):
        paths.append(os.path.basename(path))
        return read(path)

    monkeypatch.setattr(content_hash, "_read", counted)
    return paths


def memory_file(root):
    return root / "data" / "cache" / "file_hashes.txt"


def new_process():
    content_hash._load_memory.cache_clear()


def test_it_is_the_sha256_of_the_bytes(own_root):
    (own_root / "a").write_bytes(b"some bytes")
    assert file_hash(str(own_root / "a")) == hashlib.sha256(b"some bytes").hexdigest()


@pytest.mark.parametrize("coarse_clock", [False, True])
def test_a_file_changed_at_once_with_its_times_put_back_has_another_hash(own_root, monkeypatch, coarse_clock):
    if coarse_clock:        # both changes within one tick
        monkeypatch.setattr(content_hash, "_stamp", lambda stat: f"{stat.st_dev} {stat.st_ino} {stat.st_size}")
    path, answers = own_root / "a", set()
    for k in range(20):
        path.write_text(f"{k:09}")
        os.utime(path, (315532800,) * 2)
        answers.add(file_hash(str(path)))
    assert len(answers) == 20


def test_a_file_changed_while_it_is_read_is_not_remembered(own_root, reads, monkeypatch):
    path, digest = own_root / "a", hashlib.file_digest
    path.write_text("old")

    def slow(f, name):
        result = digest(f, name)
        path.write_text("new!")
        return result

    monkeypatch.setattr(hashlib, "file_digest", slow)
    file_hash(str(path))
    monkeypatch.setattr(hashlib, "file_digest", digest)
    assert file_hash(str(path)) == hashlib.sha256(b"new!").hexdigest()


def test_a_file_is_read_once_by_this_and_by_later_processes(own_root, reads):
    (own_root / "a").write_text("x")
    first = file_hash(str(own_root / "a"))
    assert file_hash(str(own_root / "a")) == first
    new_process()
    assert file_hash(str(own_root / "a")) == first and reads == ["a"]


@pytest.mark.parametrize("change", [lambda a: os.utime(a), lambda a: a.rename(a.with_name("b")),
                                    lambda a: a.write_text("y")])
def test_a_touched_moved_or_changed_file_is_read_again(own_root, reads, change):
    path = own_root / "a"
    path.write_text("x")
    file_hash(str(path))
    change(path)
    left = path if path.exists() else path.with_name("b")
    assert file_hash(str(left)) == hashlib.sha256(left.read_bytes()).hexdigest() and len(reads) == 2


def test_a_broken_memory_is_only_slower(own_root, reads):
    for name in "ab":
        (own_root / name).write_text(name)
        file_hash(str(own_root / name))
    whole = memory_file(own_root).read_bytes()
    for spoiled in (whole[:-5], b"\xff\x00 nonsense\n" + whole[40:], b""):
        memory_file(own_root).write_bytes(spoiled)
        new_process()
        for name in "ab":
            assert file_hash(str(own_root / name)) == hashlib.sha256(name.encode()).hexdigest()
    memory_file(own_root).unlink()
    memory_file(own_root).mkdir()           # it cannot be written
    new_process()
    (own_root / "c").write_text("c")
    assert file_hash(str(own_root / "c")) == hashlib.sha256(b"c").hexdigest()


def test_several_processes_remember_together(own_root):
    for k in range(60):
        (own_root / f"{k}.txt").write_text(str(k))
    code = ("import sys; from fast_rcnn.config import cfg; from datasets import content_hash as c; c.RACY_NS = -10 ** 15;"
            "cfg.ROOT_DIR = sys.argv[1]; [c.file_hash(f'{sys.argv[1]}/{k}.txt') for k in range(60)]")
    command = [sys.executable, "-c", code, str(own_root)]
    env = dict(os.environ, PYTHONPATH=str(ROOT / "lib"))
    for process in [subprocess.Popen(command, env=env) for _ in range(3)]:
        assert process.wait() == 0
    lines = {line.rpartition(" ")[2] for line in memory_file(own_root).read_text().splitlines()}
    assert lines == {hashlib.sha256(str(k).encode()).hexdigest() for k in range(60)}


def test_a_missing_file(own_root, capsys, monkeypatch):
    monkeypatch.setattr(content_hash, "MANY", 1)
    (own_root / "a").write_text("x")
    paths = [str(own_root / name) for name in ("none", "a")]
    assert existing_hashes(paths, "hashes") == [None, hashlib.sha256(b"x").hexdigest()]
    assert "hashes: 1 of 1 files" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        file_hash(str(own_root / "none"))
