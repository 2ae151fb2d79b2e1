"""Damaged .npz files of proposals and of resume states, and damaged weights, are one line."""
import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from caffe import CaffeError
from caffe.proto import caffe_pb2
from caffe.util.weight_files import read_weights
from datasets.proposals import load_proposals
from roi_data_layer.sampler import ImageSampler
from training.log import COLUMNS, _keep_rows
from training.resume import load_resume, read_origin, save_resume
from utils.errors import UserError
from utils.python_layer import read_params

BOXES = np.arange(12, dtype=np.float32).reshape(3, 4)


def header_of(shape):
    """The bytes of an .npy of that shape with the numbers of one box."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(16)


def write_npz(path, **members):
    """An .npz of arrays, or of bytes that stand in for the .npy of one."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            file = io.BytesIO()
            if not isinstance(content, bytes):
                np.save(file, content)
            archive.writestr(name + ".npy", content if isinstance(content, bytes) else file.getvalue())


@pytest.mark.parametrize("counts", ["a", [1.0, 2.0], [[np.nan] * 4] * 3, [4, -1], 3, []])
def test_counts_of_proposals(tmp_path, counts):
    write_npz(tmp_path / "p.npz", boxes=BOXES, counts=np.array(counts))
    with pytest.raises(UserError, match="p.npz"):
        load_proposals(str(tmp_path / "p.npz"), ["a", "b"])


@pytest.mark.parametrize("shape", [(10 ** 12, 4), (2 ** 62, 4), (10 ** 12, 10 ** 12)])
def test_header_of_more_than_the_file_holds(tmp_path, shape):
    write_npz(tmp_path / "p.npz", boxes=header_of(shape), counts=np.array([1, 2]))
    with pytest.raises(UserError, match=r"p.npz.* the file holds"):
        load_proposals(str(tmp_path / "p.npz"), ["a", "b"])


def test_boxes_of_text(tmp_path):
    write_npz(tmp_path / "p.npz", boxes=BOXES.astype(str), counts=np.array([1, 2]))
    with pytest.raises(UserError, match="p.npz"):
        load_proposals(str(tmp_path / "p.npz"), ["a", "b"])


def test_order_that_is_no_text(tmp_path):
    (tmp_path / "p.json").write_text('{"order": {}, "boxes": {"a": []}}')
    with pytest.raises(UserError, match="order must be one of"):
        load_proposals(str(tmp_path / "p.json"), ["a"])


@pytest.mark.parametrize("name, value", [("seed", []), ("rng_rest", [1e10, 0, 0]), ("rng_rest", 0), ("rng_keys", 0), ("rng_keys", []),
                                         ("sampler7.cur", 0), ("sampler.cur", 0), ("rng_rest", None)])
def test_resume_state(tmp_path, name, value):
    stem = tmp_path / "s"
    (tmp_path / "s.caffemodel").write_bytes(b"weights")
    (tmp_path / "s.solverstate").write_bytes(caffe_pb2.SolverState(iter=1, random_state=b"r").SerializeToString())
    save_resume(str(stem), {}, [{"cur": np.array(0)}], 3, {})
    with np.load(f"{stem}.resume.npz") as stored:
        content = dict(stored)
    if value is None:
        del content[name]
    else:
        content[name] = np.array(value)
    write_npz(f"{stem}.resume.npz", **content)
    with pytest.raises(UserError, match="s.resume.npz"):
        read_origin(f"{stem}.solverstate")
        load_resume(f"{stem}.solverstate")


@pytest.mark.parametrize("name, value", [("rng_rest", 0), ("rng_rest", [1e10, 0, 0]), ("rng_keys", [np.nan] * 3), ("rng_keys", 0),
                                         ("cur", []), ("cur", -1), ("perm", [0, 7]), ("perm", 0), ("perm", None)])
def test_state_of_a_data_layer(name, value):
    sampler = ImageSampler([{"width": 3, "height": 3}] * 2, 1, False)
    state = sampler.state()
    if value is None:
        del state[name]
    else:
        state[name] = np.array(value)
    with pytest.raises(UserError, match="state of a data layer is damaged"):
        sampler.set_state(state)


@pytest.mark.parametrize("dims", [[-1, 4], [2 ** 62, 4], [1] * 100, [2 ** 32, 2 ** 32], [5]])
def test_weights_of_odd_shapes(tmp_path, dims):
    net = caffe_pb2.NetParameter()
    net.layer.add(name="conv", type="Convolution").blobs.add(data=[0] * 4, shape=caffe_pb2.BlobShape(dim=dims))
    (tmp_path / "w.caffemodel").write_bytes(net.SerializeToString())
    with pytest.raises(CaffeError, match="w.caffemodel: layer conv: .*damaged"):
        read_weights(tmp_path / "w.caffemodel")


@pytest.mark.parametrize("length", [3, 7])
def test_weights_whose_numbers_are_cut(tmp_path, length):
    blob = b"\x3a\x02\x0a\x00" + bytes([0x2a, length]) + bytes(length)      # shape {}, data of that many bytes
    layer = b"\x0a\x04conv" + b"\x3a" + bytes([len(blob)]) + blob           # name, blobs
    (tmp_path / "w.caffemodel").write_bytes(b"\xa2\x06" + bytes([len(layer)]) + layer)
    with pytest.raises(CaffeError, match="w.caffemodel"):
        read_weights(tmp_path / "w.caffemodel")


@pytest.mark.parametrize("rows", ["20,1\n,\n40,2\n", "20,x,y\n40,2\n", "20,\0\n", '20,"1\n40,2\n', "20" + ",1" * 40 + "\n"])
def test_metrics_damaged_in_the_middle(tmp_path, rows):
    (tmp_path / "metrics.csv").write_text(",".join(COLUMNS) + "\n" + rows)
    before = (tmp_path / "metrics.csv").read_bytes()
    with pytest.raises(UserError, match="metrics.csv is not the table"):
        _keep_rows(tmp_path / "metrics.csv", 100)
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_metrics_without_iterations(tmp_path):
    (tmp_path / "metrics.csv").write_text("loss,iter\n1\n")
    with pytest.raises(UserError, match="metrics.csv is not the table"):
        _keep_rows(tmp_path / "metrics.csv", 100)


def test_identity_nested_without_end(tmp_path):
    (tmp_path / "s.solverstate").write_bytes(caffe_pb2.SolverState(iter=1, random_state=b"r").SerializeToString())
    write_npz(tmp_path / "s.resume.npz", identity=np.array("[" * 100000), seed=np.array(3))
    with pytest.raises(UserError, match="s.resume.npz"):
        read_origin(str(tmp_path / "s.solverstate"))


def test_nul_in_a_name():
    with pytest.raises(CaffeError, match="cannot read"):
        read_weights("a\0b.caffemodel")


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 10000, "0x" + "9" * 5000, "-1"],
                         ids=["brackets", "digits", "hexadecimal", "negative"])
def test_num_classes_of_a_python_layer(value):
    layer = SimpleNamespace(param_str=f"'num_classes': {value}")
    with pytest.raises(UserError, match="param_str") as error:
        read_params(layer, "'num_classes': 21")
    assert len(str(error.value)) < 500
