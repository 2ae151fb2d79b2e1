"""Weights as HDF5: the layout of Caffe 1.0's files, shared parameters, both ways, and bad files."""
import os
import subprocess

import caffe
import h5py
import numpy as np
import pytest

NET = """name: "n" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } bias_filler { type: "gaussian" } } }
layer { name: "r" type: "ReLU" bottom: "a" top: "r" }
layer { name: "%s" type: "InnerProduct" bottom: "r" top: "c" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } bias_filler { type: "gaussian" } } }"""


@pytest.fixture
def net_of(tmp_path):
    def make(last="c", weights=None):
        path = tmp_path / "net.prototxt"
        path.write_text(NET % last)
        return caffe.Net(str(path), caffe.TEST, **({"weights": str(weights)} if weights else {}))
    return make


def names_in(path):
    found = []
    with h5py.File(path) as file:
        file.visit(found.append)
    return found


def arrays_of(net):
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


def test_the_layout_is_caffes_and_a_shared_parameter_stands_under_its_owner(net_of, tmp_path):
    net = net_of()
    net.save_hdf5(str(tmp_path / "w.h5"))
    assert names_in(tmp_path / "w.h5") == ["data", "data/a", "data/a/0", "data/a/1", "data/c", "data/c/1", "data/data", "data/r"]
    net.save_hdf5(str(tmp_path / "d.h5"), True)
    assert {"diff/a/0", "diff/a/1", "diff/c/1"} <= set(names_in(tmp_path / "d.h5"))
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["data/a/0"].dtype == np.float32 and np.array_equal(file["data/a/0"], net.params["a"][0].data)


@pytest.mark.parametrize("last", ["c", "inception/c"])
def test_what_is_written_is_read_back(net_of, tmp_path, last):
    caffe.set_random_seed(1)
    net = net_of(last)
    net.save_hdf5(str(tmp_path / "w.h5"))
    caffe.set_random_seed(2)
    others = [net_of(last, tmp_path / "w.h5"), net_of(last), net_of(last)]      # by content, whatever the name
    others[1].load_hdf5(str(tmp_path / "w.h5"))
    os.rename(tmp_path / "w.h5", tmp_path / "w.caffemodel")
    others[2].copy_from(str(tmp_path / "w.caffemodel"))
    for other in others:
        assert all(map(np.array_equal, arrays_of(net), arrays_of(other)))


def test_bad_files_are_one_line(net_of, tmp_path):
    net, path = net_of(), tmp_path / "w.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(caffe.CaffeError, match="w.h5: cannot read this HDF5 file"):
        net.copy_from(str(path))
    for content, message in (({"other": np.zeros(3)}, "has no group data: .* but other"),
                             ({"data/a/0": np.zeros((3, 4)), "data/a/1": np.zeros(3)},
                              r"layer a, parameter 0: shape \(3, 4\) in the file, \(3, 3\) in the net"),
                             ({"data/a/0": np.zeros((3, 3))}, "layer a has no parameter 1 in the file"),
                             ({"data/a/2": np.zeros(3)}, "layer a has 3 arrays in the file and 2 parameters")):
        with h5py.File(path, "w") as file:
            for name, array in content.items():
                file[name] = array
        before = arrays_of(net)
        with pytest.raises(caffe.CaffeError, match=message):
            net.copy_from(str(path))
        assert all(map(np.array_equal, before, arrays_of(net)))


SCRIPT = """import sys, caffe
net = caffe.Net(sys.argv[1], caffe.TEST)
net.load_hdf5(sys.argv[2])
net.save_hdf5(sys.argv[3])
"""


def test_a_real_caffe_reads_ours_and_we_read_its_files(net_of, tmp_path):
    python = os.environ.get("CAFFE_PYTHON")
    if not python:
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    net = net_of()
    net.save_hdf5(str(tmp_path / "ours.h5"))
    subprocess.run([python, "-c", SCRIPT, tmp_path / "net.prototxt", tmp_path / "ours.h5", tmp_path / "theirs.h5"],
                   check=True, capture_output=True, cwd=tmp_path, env={"PATH": os.environ["PATH"]})
    assert names_in(tmp_path / "theirs.h5") == names_in(tmp_path / "ours.h5")
    assert all(map(np.array_equal, arrays_of(net), arrays_of(net_of(weights=tmp_path / "theirs.h5"))))


SOLVER = """net: "%s" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 snapshot_prefix: "%s" snapshot_format: HDF5 random_seed: 3
"""
TRAIN = """layer { name: "d" type: "DummyData" top: "d" top: "l" dummy_data_param {
          shape { dim: 4 dim: 3 } data_filler { type: "gaussian" } shape { dim: 4 } data_filler { type: "constant" } } }
layer { name: "fc" type: "InnerProduct" bottom: "d" top: "fc" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "l" top: "loss" }"""


@pytest.fixture
def solver_of(tmp_path):
    (tmp_path / "train.prototxt").write_text(TRAIN)
    (tmp_path / "solver.prototxt").write_text(SOLVER % (tmp_path / "train.prototxt", tmp_path / "my"))
    return lambda: caffe.get_solver(str(tmp_path / "solver.prototxt"))


def test_a_training_resumed_from_hdf5_is_the_uninterrupted_one(solver_of, tmp_path):
    whole, first = solver_of(), solver_of()
    whole = solver_of()
    whole.step(5)
    first = solver_of()
    first.step(2)
    first.snapshot()
    assert sorted(path.name for path in tmp_path.glob("my*")) == ["my_iter_2.caffemodel.h5", "my_iter_2.solverstate.h5"]
    resumed = solver_of()
    resumed.restore(str(tmp_path / "my_iter_2.solverstate.h5"))
    assert resumed.iter == 2
    resumed.step(3)
    assert all(map(np.array_equal, arrays_of(whole.net), arrays_of(resumed.net)))


def test_a_state_that_is_none_is_one_line(solver_of, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["iter"] = np.array([3], np.int32)
    with pytest.raises(caffe.CaffeError, match="x.h5: not a solver state"):
        solver_of().restore(str(tmp_path / "x.h5"))


STATES = """import sys, caffe
solver = caffe.get_solver(sys.argv[1])
solver.restore(sys.argv[2])
assert solver.iter == 2
solver.snapshot()
"""


def test_a_real_caffe_goes_on_from_our_state_and_we_from_its(solver_of, tmp_path):
    python = os.environ.get("CAFFE_PYTHON")
    if not python:
        pytest.skip("CAFFE_PYTHON is not set; name a Python whose `caffe` is the C++ one")
    solver = solver_of()
    solver.step(2)
    state = solver.snapshot()
    subprocess.run([python, "-c", STATES, tmp_path / "solver.prototxt", state], check=True, capture_output=True, cwd=tmp_path,
                   env={"PATH": os.environ["PATH"]})
    with h5py.File(state) as file:
        assert "random_state" not in file       # written by the other one
        momentum = file["history/0"][...]
    other = solver_of()
    other.restore(state)
    assert other.iter == 2 and np.any(momentum) and np.array_equal(arrays_of(solver.net)[0], arrays_of(other.net)[0])
