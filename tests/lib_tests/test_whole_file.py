"""Files written whole or not at all, by lib's function and by the runtime's."""
import os
import signal
import subprocess
import sys

import caffe
import numpy as np
import pytest
from caffe.util.files import write_atomically
from utils.whole_file import remove_parts, whole_file


def by_lib(path, chunks):
    with whole_file(path) as f:
        f.writelines(chunks)


@pytest.fixture(params=[by_lib, write_atomically], ids=["lib", "runtime"])
def write(request):
    return request.param


def failing(error):
    yield b"half"
    raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("no")])
def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(write, error, tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises((type(error), caffe.CaffeError)):
        write(str(tmp_path / "x"), failing(error))
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_full_disk_is_reported_with_the_file_that_was_to_be(write, tmp_path, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises((OSError, caffe.CaffeError), match="x.*No space|No space.*x"):
        write(str(tmp_path / "x"), [b"new"])
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_an_error_that_names_it(write, tmp_path):
    with pytest.raises((OSError, caffe.CaffeError), match="missing"):
        write(str(tmp_path / "missing" / "x"), [b"new"])


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_permissions_are_those_the_umask_leaves(write, umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        write(str(tmp_path / "x"), [b"new"])
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode


def test_names_as_long_as_the_file_system_takes_can_be_written(write, tmp_path):
    for name in ("n" * 250, "\u00e4" * 120):
        write(str(tmp_path / name), [b"new"])
    assert len(os.listdir(tmp_path)) == 2


WRITERS = {"lib": "from utils.whole_file import whole_file\nwith whole_file(sys.argv[1]) as f: f.writelines(slowly())",
           "runtime": "from caffe.util.files import write_atomically\nwrite_atomically(sys.argv[1], slowly())"}
SLOWLY = """import sys, time
def slowly():
    yield b"half"
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=sorted(WRITERS))
def writer(request, tmp_path):
    """A process that is in the middle of writing tmp_path/x."""
    path = os.pathsep.join(sys.path)
    process = subprocess.Popen([sys.executable, "-c", SLOWLY + WRITERS[request.param], str(tmp_path / "x")],
                               stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_stays(writer, tmp_path):
    (tmp_path / "mine.part").write_text("not one of ours")
    remove_parts(tmp_path)
    assert len(os.listdir(tmp_path)) == 2
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(os.listdir(tmp_path)) == 2
    remove_parts(tmp_path)
    assert os.listdir(tmp_path) == ["mine.part"]


def test_a_folder_that_is_missing_has_no_leftovers(tmp_path):
    remove_parts(tmp_path / "missing")


def test_a_written_array_is_read_back(tmp_path):
    with whole_file(tmp_path / "x.npz") as f:
        np.savez(f, a=np.arange(3))
    assert np.load(tmp_path / "x.npz")["a"].tolist() == [0, 1, 2]
