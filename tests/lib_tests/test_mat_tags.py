"""Damaged MATLAB files are one line: their tags are checked before SciPy, which follows them, reads the file."""
import io
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from datasets.mat_tags import Damage, check_tags
from datasets.proposals_mat import load_mat
from support.reference import ROOT
from utils.errors import UserError

READ = """import sys; sys.path[:0] = sys.argv[1:3]
from datasets.proposals_mat import load_mat
from utils.errors import UserError
try:
    load_mat(sys.argv[3])
except UserError as e:
    print("line:", e)
"""


def boxes_file():
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = np.array([[1, 2, 30, 40]], np.uint16), np.array([[3, 4, 50, 60], [1, 1, 9, 9]], np.uint16)
    names = np.empty((2, 1), dtype=object)
    names[:, 0] = "im0", "im1"
    file = io.BytesIO()
    scipy.io.savemat(file, {"boxes": cells, "images": names})
    return file.getvalue()


def read_in_a_process(path):
    return subprocess.run([sys.executable, "-c", READ, ROOT / "caffe-fast-rcnn" / "python", ROOT / "lib", path],
                          capture_output=True, text=True, check=False)


@pytest.mark.parametrize("at, value", [(144, 4), (201, 255)])
def test_one_wrong_byte_is_one_line(tmp_path, at, value):
    """The class of `boxes`, and the size of its first cell: SciPy ends in a segmentation fault."""
    data = bytearray(boxes_file())
    assert data[at] != value
    data[at] = value
    (tmp_path / "bad.mat").write_bytes(data)
    result = read_in_a_process(tmp_path / "bad.mat")
    assert result.returncode == 0 and result.stdout.startswith("line:"), result.stderr
    assert "bad.mat" in result.stdout and "byte" in result.stdout


def test_any_wrong_byte_is_a_line_or_a_file(tmp_path):
    good, rng = boxes_file(), random.Random(0)
    for at in range(128, len(good)):
        data = bytearray(good)
        data[at] = rng.choice([0, 1, 4, 14, 255])
        (tmp_path / "bad.mat").write_bytes(data)
        try:
            load_mat(tmp_path / "bad.mat")
        except UserError as e:
            assert "bad.mat" in str(e)


@pytest.mark.parametrize("do_compression", [False, True])
def test_what_scipy_writes_is_sound(do_compression):
    cell = np.empty((2, 1), dtype=object)
    cell[0, 0], cell[1, 0] = "a name", np.zeros((0, 4), np.uint16)
    everything = {"a": np.arange(6).reshape(2, 3), "c": np.array([1 + 2j]), "s": {"x": 1, "z": {"q": [1, 2]}}, "t": "text",
                  "e": np.zeros((0, 0)), "cell": cell, "b": np.array([True]), "u": "\u00e4\u4e00", "no_cell": cell[:0],
                  "sparse": scipy.sparse.csc_matrix(np.eye(3)),
                  "records": np.array([(1, 2.0), (3, 4.0)], dtype=[("p", int), ("q", float)])}
    file = io.BytesIO()
    scipy.io.savemat(file, everything, do_compression=do_compression)
    check_tags(file.getvalue())


@pytest.mark.parametrize("data, words", [
    (b"", "header"), (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "version 2.0"),
    (boxes_file()[:-8], "are left"), (boxes_file()[:128] + struct.pack("<II", 15, 4) + b"junk", "compressed")])
def test_what_is_wrong_is_said(data, words):
    with pytest.raises(Damage, match=words):
        check_tags(data)
