"""Data layers whose batches by C++ Caffe 1.0 are recorded: order, pixels, labels, shapes."""
import os
import subprocess
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from caffe.util import datum_images
from support.recorded_data import CASES, hdf5_output, make_files, run

REFERENCE = Path(__file__).parents[1] / "reference" / "caffe_1_0_data.npz"
SCRIPT = Path(__file__).parents[1] / "support" / "recorded_data.py"
OPENCV_ONLY = ("Data, encoded, gray", "ImageData, gray", "ImageData, older fields", "ImageData") + tuple(
    case for case in CASES if case.startswith("WindowData"))      # Pillow rounds gray and resized pixels otherwise


def recorded(case):
    """{key: array} of one case."""
    with np.load(REFERENCE) as arrays:
        return {key.partition("|")[2]: arrays[key] for key in arrays if key.partition("|")[0] == case}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    make_files(str(folder), caffe_pb2.Datum, caffe_pb2.BlobProto)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_equals_caffe(case, files, monkeypatch):
    monkeypatch.chdir(files)
    want, got = recorded(case), run(caffe, case)
    assert sorted(got) == sorted(want)
    for key, array in want.items():
        np.testing.assert_array_equal(got[key], array, err_msg=key)


@pytest.mark.parametrize("case", [case for case in CASES if case not in OPENCV_ONLY])
def test_pillow_reads_the_same_images(case, files, monkeypatch):
    monkeypatch.setattr(datum_images, "_cv2", lambda: None)
    test_equals_caffe(case, files, monkeypatch)


def test_what_hdf5_output_writes_equals_caffe(files, monkeypatch):
    monkeypatch.chdir(files)
    want, got = recorded("HDF5Output"), hdf5_output(caffe, str(files))
    assert sorted(got) == sorted(want) == ["data", "label"]
    for name, array in want.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


def test_the_file_is_what_caffe_gives(tmp_path):
    python = os.environ.get("CAFFE_PYTHON")
    if not python:
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([python, SCRIPT, tmp_path / "now.npz"], check=True, env=env, cwd=tmp_path)
    with np.load(REFERENCE) as old, np.load(tmp_path / "now.npz") as new:
        assert sorted(old) == sorted(new)
        for key in old:
            np.testing.assert_array_equal(new[key], old[key], err_msg=key)
