"""Data layers whose batches by C++ Caffe 1.0 are recorded: order, pixels, labels, shapes."""
import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from caffe.util import datum_images
from support.recorded import recorded, recorded_and_new
from support.recorded_data import CASES, hdf5_output, make_files, run

REFERENCE = "caffe_1_0_data.npz"
OPENCV_ONLY = ("Data, encoded, gray", "ImageData, gray", "ImageData, older fields", "ImageData") + tuple(
    case for case in CASES if case.startswith("WindowData"))      # Pillow rounds gray and resized pixels otherwise


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    make_files(str(folder), caffe_pb2.Datum, caffe_pb2.BlobProto)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_equals_caffe(case, files, monkeypatch):
    monkeypatch.chdir(files)
    want, got = recorded(REFERENCE, case), run(caffe, case)
    assert sorted(got) == sorted(want)
    for key, array in want.items():
        np.testing.assert_array_equal(got[key], array, err_msg=key)


@pytest.mark.parametrize("case", [case for case in CASES if case not in OPENCV_ONLY])
def test_pillow_reads_the_same_images(case, files, monkeypatch):
    monkeypatch.setattr(datum_images, "_cv2", lambda: None)
    test_equals_caffe(case, files, monkeypatch)


def test_what_hdf5_output_writes_equals_caffe(files, monkeypatch):
    monkeypatch.chdir(files)
    want, got = recorded(REFERENCE, "HDF5Output"), hdf5_output(caffe, str(files))
    assert sorted(got) == sorted(want) == ["data", "label"]
    for name, array in want.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


def test_the_file_is_what_caffe_gives(tmp_path):
    for key, old, new in recorded_and_new(REFERENCE, "recorded_data.py", tmp_path):
        np.testing.assert_array_equal(new, old, err_msg=key)
