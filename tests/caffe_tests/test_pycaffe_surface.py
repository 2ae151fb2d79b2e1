"""Members of Net, the solvers and the package as pycaffe 1.0 has them; names and numbers compared with it."""
import os
import subprocess
import sys
import time

import caffe
import caffe._caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from support.nets import net_from_text, solver_from_text

TWICE = """name: "t" force_backward: true
    layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2 dim: 3 } } }
    layer { name: "dup" type: "ReLU" bottom: "x" top: "r" }
    layer { name: "dup" type: "InnerProduct" bottom: "r" top: "ip" inner_product_param { num_output: 3 weight_filler { type: "constant" value: 1 } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" }
    layer { name: "dup" type: "InnerProduct" bottom: "r" top: "ip2" inner_product_param { num_output: 2 weight_filler { type: "constant" value: 1 } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "l2" loss_weight: 3 }"""
SOLVER = 'base_lr: 0.01 lr_policy: "multistep" stepvalue: 2 stepvalue: 4 gamma: 0.1 momentum: 0.9 weight_decay: 0.1 iter_size: 2 '
FC = """layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
               data_filler { value: 1 } data_filler { value: 2 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 weight_filler { value: 1 } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }"""
ROWS = """name: "rows" input: "x" input_shape { dim: 2 dim: 3 } force_backward: true
    layer { name: "a" type: "Power" bottom: "x" top: "a" power_param { scale: 3 } }
    layer { name: "b" type: "Power" bottom: "a" top: "b" power_param { power: 2 } }
    layer { name: "sum" type: "Reduction" bottom: "b" top: "sum" loss_weight: 1 }"""


# ---- two layers of one name, tops that the prototxt leaves out

def test_two_layers_of_one_name_both_run_and_the_later_one_is_found_by_it():
    net = net_from_text(TWICE)
    assert list(net._layer_names) == ["in", "y_in_1_split", "dup", "r_dup_0_split", "dup", "ip_dup_0_split", "loss", "dup", "loss"]
    assert net.layer_dict["dup"] is net.layers[7] and net.params["dup"] is net.layers[7].blobs
    assert net.top_names["dup"] == ["ip2"] and net.bottom_names["dup"] == ["r_dup_0_split_1"]
    assert net.layers[4].blobs[0].shape == (3, 12) and len(net.learnable_params) == 4
    out = net.forward(x=np.ones((2, 3, 4)), y=np.zeros((2, 3)))
    assert out["ip2"].tolist() == [[12, 12]] * 2 and out["l2"] == 12 ** 2 * 3 / 2
    net.backward()
    assert abs(net.layers[4].blobs[0].diff).min() > 0


def test_numbers_of_blobs_and_layers():
    net = net_from_text(TWICE)
    assert net._blob_names == ["x", "y", "y_in_1_split_0", "y_in_1_split_1", "r", "r_dup_0_split_0", "r_dup_0_split_1", "ip",
                               "ip_dup_0_split_0", "ip_dup_0_split_1", "(automatic)", "ip2", "l2"]
    assert (net._inputs, net._outputs) == ([0, 1], [11, 12]) and (net.inputs, net.outputs) == (["x", "y"], ["ip2", "l2"])
    assert [net._top_ids(i) for i in range(9)] == [[0, 1], [2, 3], [4], [5, 6], [7], [8, 9], [10], [11], [12]]
    assert [net._bottom_ids(i) for i in range(9)] == [[], [1], [0], [4], [5], [7], [8, 2], [6], [9, 3]]
    assert {k: v for k, v in net.blob_loss_weights.items() if v} == {"(automatic)": 1, "l2": 3}
    assert list(net.blob_loss_weights) == net._blob_names == list(net.blobs)


def test_a_loss_without_a_top_is_trained_and_is_no_output(tmp_path):
    text = FC.replace(' top: "loss" }', " }")
    net = net_from_text(text)
    assert net.outputs == [] and net.top_names["loss"] == ["(automatic)"] and net.forward() == {}
    assert net.blobs["(automatic)"].data > 0
    solver = solver_from_text(text, SOLVER, tmp_path)
    before = solver.net.params["ip"][0].data.copy()
    solver.step(1)
    assert (solver.net.params["ip"][0].data != before).all()
    net.save(str(tmp_path / "w"))
    saved = caffe_pb2.NetParameter.FromString((tmp_path / "w").read_bytes())
    assert list(saved.layer[-1].top) == []


def test_two_losses_without_tops_count_both():
    loss = 'layer { name: "%s" type: "EuclideanLoss" bottom: "ip" bottom: "label" loss_weight: %d }'
    net = net_from_text(FC.rsplit("layer", 1)[0] + loss % ("l", 2) + loss % ("m", 5))
    assert float(net.forward_from_to()) == pytest.approx((2 + 5) * (3 - 2) ** 2 * 8 / (2 * 4))


def test_weights_of_layers_of_one_name_come_back(tmp_path):
    net, again = net_from_text(TWICE), net_from_text(TWICE)
    net.layers[4].blobs[0].data[...] = 5
    net.layers[7].blobs[0].data[...] = 6
    net.save(str(tmp_path / "w"))
    again.copy_from(str(tmp_path / "w"))
    third = net_from_text(TWICE)
    third.share_with(net)
    for other in (again, third):
        assert (other.layers[4].blobs[0].data == 5).all() and (other.layers[7].blobs[0].data == 6).all()
    net.layers[4].blobs[0].data[...] = 8
    assert (third.layers[4].blobs[0].data == 8).all()


def test_a_net_with_layers_of_one_name_is_not_exported(tmp_path):
    from caffe.export import to_torch
    net = net_from_text('input: "x" input_shape { dim: 1 } layer { name: "a" type: "ReLU" bottom: "x" top: "y" } '
                        'layer { name: "a" type: "ReLU" bottom: "y" top: "z" }', caffe.TEST)
    with pytest.raises(caffe.CaffeError, match="two layers have the same name"):
        to_torch(net, str(tmp_path / "net"))


# ---- arrays as arguments

def test_inputs_broadcast_and_keep_their_number_of_rows():
    net = net_from_text(ROWS)
    assert net.forward(["a"], x=np.array([[1], [2]]))["a"].tolist() == [[3] * 3, [6] * 3]
    assert net.forward(["a"], x=[[1, 2, 3], [4, 5, 6]])["a"].tolist() == [[3, 6, 9], [12, 15, 18]]
    for array in (np.zeros((1, 3)), np.zeros(3), np.zeros((2, 4)), np.zeros((2, 3, 1)), 5):
        with pytest.raises(caffe.CaffeError, match=r"input 'x' has shape .*, its blob \(2, 3\); reshape the blob first"):
            net.forward(x=array)


@pytest.mark.parametrize("call, message", [
    (lambda net: net.forward(y=np.zeros((2, 3))), r"forward was given \['y'\], its inputs are \['x'\]"),
    (lambda net: net.forward(["nope"]), "no blob 'nope'; its blobs are x, a, b, sum"),
    (lambda net: net.forward(end="nope"), "no layer 'nope'; its layers are input, a, b, sum"),
    (lambda net: net.backward(a=np.zeros((2, 3))), r"backward was given \['a'\], its outputs are \['sum'\]"),
    (lambda net: net.backward(start="b", a=np.zeros((2, 3))), r"backward was given \['a'\], its outputs are \['sum'\]"),
    (lambda net: net.backward(diffs=["nope"]), "no blob 'nope'"),
    (lambda net: net.backward(start="nope"), "no layer 'nope'"),
    (lambda net: net.forward_all(), r"forward_all was given \[\], its inputs are \['x'\]"),
    (lambda net: net.blobs["x"].reshape(-1, 3), r"shape \(-1, 3\) of a blob: expected whole numbers, 0 or more"),
    (lambda net: net.blobs["x"].reshape(5 / 2, 3), r"shape \(2.5, 3\) of a blob: expected whole numbers, 0 or more"),
    (lambda net: net.blobs["x"].reshape("2", 3), r"shape \('2', 3\) of a blob"),
    (lambda net: net.set_input_arrays(np.zeros((2, 3)), np.zeros(2)), "for a first layer of type MemoryData; it is input .Input."),
])
def test_a_wrong_argument_is_one_line(call, message):
    net = net_from_text(ROWS)
    net.forward()
    with pytest.raises(caffe.CaffeError, match=message):
        call(net)


def test_backward_takes_diffs_of_outputs_and_of_the_layer_it_starts_at():
    net = net_from_text(ROWS)
    net.forward(x=np.ones((2, 3)))
    assert net.backward(sum=np.array(2.0))["x"].tolist() == [[2 * 18] * 3] * 2
    assert net.backward(start="a", a=np.full((2, 3), 5))["x"].tolist() == [[15] * 3] * 2
    assert net.backward(start="a", end="a", a=np.full((2, 1), 1))["x"].tolist() == [[3] * 3] * 2
    assert set(net.backward(["b"], end="b")) == {"a", "b"}


def test_forward_all_runs_over_any_number_of_rows():
    net = net_from_text(ROWS)
    rows = np.arange(15.0).reshape(5, 3)
    out = net.forward_all(["a"], x=rows)
    assert out["a"].tolist() == (3 * rows).tolist()
    np.testing.assert_allclose(out["sum"], [(9 * rows[i:i + 2] ** 2).sum() for i in (0, 2, 4)])    # one number a batch
    out, diffs = net.forward_backward_all(["b"], ["a"], x=rows)
    np.testing.assert_allclose(out["b"], 9 * rows ** 2)
    np.testing.assert_allclose(diffs["a"], 6 * rows)
    np.testing.assert_allclose(diffs["x"], 18 * rows)
    assert net.forward_all(["a"], x=rows[:4])["a"].shape == (4, 3)
    assert {name: out.shape for name, out in net.forward_all(["a"], x=rows[:0]).items()} == {"a": (0,), "sum": (0,)}


def test_memory_data_gives_batch_after_batch():
    net = net_from_text("""layer { name: "d" type: "MemoryData" top: "x" top: "y"
                           memory_data_param { batch_size: 2 channels: 1 height: 1 width: 2 } }
                           layer { name: "s" type: "Silence" bottom: "y" }""")
    with pytest.raises(caffe.CaffeError, match="call net.set_input_arrays"):
        net.forward()
    images, labels = np.arange(12.0, dtype=np.float32).reshape(6, 1, 1, 2), np.arange(6.0, dtype=np.float32)
    net.set_input_arrays(images, labels)
    seen = [(net.forward(["y"])["y"].tolist(), net.blobs["x"].data[:, 0, 0, 0].tolist()) for _ in range(4)]
    assert seen == [([0, 1], [0, 2]), ([2, 3], [4, 6]), ([4, 5], [8, 10]), ([0, 1], [0, 2])]
    for data, label, message in ((images[:3], labels[:3], "3 images; expected a multiple of the batch size 2"),
                                 (images[:0], labels[:0], "0 images"), (images, labels[:4], r"labels \(N\), got .* and \(4,\)"),
                                 (images[:, :, :, :1], labels, r"expected images \(N, 1, 1, 2\)")):
        with pytest.raises(caffe.CaffeError, match=message):
            net.set_input_arrays(data, label)


# ---- Python layers

LAYERS = """
import caffe
class Named(caffe.Layer):
    def setup(self, bottom, top):
        self.name, self.tops = "something else", ["a", "b"]         # users' own, as in many old layers
        self.blobs.add_blob(2)
        self.blobs[0].data[...] = 3
    def reshape(self, bottom, top):
        top[0].reshape()
    def forward(self, bottom, top):
        top[0].data[()] = self.phase
"""


def test_a_python_layer_may_use_names_of_ours_and_have_no_backward(tmp_path, monkeypatch):
    (tmp_path / "layers_of_surface_test.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(tmp_path)
    text = """input: "x" input_shape { dim: 2 } force_backward: true layer { name: "p" type: "Python" bottom: "x" top: "y"
              python_param { module: "layers_of_surface_test" layer: "Named" } }"""
    for phase in (caffe.TRAIN, caffe.TEST):
        net = net_from_text(text, phase)
        assert net.forward()["y"] == phase and repr(net.layers[1].phase) == str(int(phase))
    assert list(net.layer_dict) == ["input", "p"] and net.params["p"][0].data.tolist() == [3, 3]
    with pytest.raises(caffe.CaffeError, match="layer something else .Python.: this layer has no backward"):
        net.backward()


# ---- solvers

@pytest.mark.parametrize("kind, moved", [("SGD", 0.011), ("Nesterov", 0.0209), ("AdaGrad", 0.01), ("RMSProp", 0.1),
                                         ("AdaDelta", 3.1622772e-06), ("Adam", 0.01)])
def test_after_a_step_the_diff_holds_the_update(kind, moved, tmp_path):
    """The numbers are pycaffe's."""
    momentum = "" if kind not in ("AdaGrad", "RMSProp") else "momentum: 0 "
    solver = solver_from_text(FC, SOLVER.replace("momentum: 0.9 ", momentum or "momentum: 0.9 ") + f'type: "{kind}"', tmp_path)
    weights = solver.net.params["ip"][0]
    before = weights.data.copy()
    solver.step(1)
    np.testing.assert_allclose(weights.diff, moved, rtol=2e-5)
    np.testing.assert_array_equal(weights.data, before - weights.diff)


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_get_solver_gives_the_class_of_the_type(kind, tmp_path):
    solver = solver_from_text(FC, SOLVER.replace("momentum: 0.9 ", "") + f'type: "{kind}"', tmp_path)
    cls = getattr(caffe, kind + "Solver")
    assert type(solver) is cls and isinstance(solver, caffe.SGDSolver) and isinstance(solver, caffe._caffe.Solver)
    assert cls(str(tmp_path / "solver.prototxt")).param.type == kind
    assert caffe.AdamSolver(str(tmp_path / "solver.prototxt")).param.type == "Adam"


def test_the_rate_of_the_next_update(tmp_path):
    solver = solver_from_text(FC, SOLVER, tmp_path)
    rates = []
    for _ in range(5):
        rates.append(solver.lr)
        solver.step(1)
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001, 0.001, 0.0001], rtol=1e-6)


def test_another_net_may_use_a_solvers_weights(tmp_path):
    solver, net = solver_from_text(FC, SOLVER, tmp_path), net_from_text(FC, caffe.TEST)
    solver.share_weights(net)
    solver.step(1)
    np.testing.assert_array_equal(net.params["ip"][0].data, solver.net.params["ip"][0].data)
    assert net.params["ip"][0].data[0, 0] != 1


def test_an_unknown_solver_type_is_one_line(tmp_path):
    with pytest.raises(caffe.CaffeError, match="solver: type 'Adams' is unknown; known: SGD, Nesterov"):
        solver_from_text(FC, SOLVER + 'type: "Adams"', tmp_path)


# ---- the package

def test_old_scripts_import_from_the_modules_they_know():
    from caffe import layers as L
    from caffe import params as P
    from caffe._caffe import BlobVec, get_solver, layer_type_list
    from caffe.io import Transformer
    from caffe.net_spec import NetSpec, Top
    from caffe.pycaffe import Net, SGDSolver
    assert Net is caffe.Net and SGDSolver is caffe.SGDSolver and Transformer is caffe.io.Transformer
    assert isinstance(L.Input(), Top) and P.Pooling.AVE == 1 and NetSpec is caffe.NetSpec
    assert get_solver is caffe.get_solver and layer_type_list is caffe.layer_type_list and issubclass(BlobVec, list)
    assert isinstance(caffe._caffe.SolverParameter(), caffe_pb2.SolverParameter)


def test_an_error_is_a_runtime_error_and_phases_are_integers():
    assert issubclass(caffe.CaffeError, RuntimeError)
    assert (caffe.TRAIN, caffe.TEST) == (0, 1) and repr(caffe.TEST) == "1"


def test_a_timer_measures_between_start_and_stop():
    timer = caffe.Timer()
    timer.stop()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.02)
    timer.stop()
    measured = timer.ms
    assert isinstance(measured, float) and measured >= 20
    time.sleep(0.01)
    assert timer.ms == measured
    timer.start()
    assert 0 <= timer.ms < 1e6 and timer.ms == timer.ms


def test_a_line_may_be_added_to_the_log(capfd):
    caffe.init_log()
    caffe.log("hello there")
    assert capfd.readouterr().err.endswith("_caffe.cpp:52] hello there\n")


def test_processes_can_always_be_joined():
    assert caffe.has_nccl() is True
    assert isinstance(caffe.NCCL.new_uid(), bytes)


def test_importing_caffe_brings_in_pycaffes_modules_and_no_image_library():
    code = ("import sys, caffe; caffe._caffe.Blob, caffe.pycaffe.Net, caffe.net_spec.Top, caffe.classifier, caffe.detector, caffe.io; "
            "print([m for m in ('cv2', 'PIL', 'skimage', 'scipy', 'matplotlib', 'pydot') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout == "[]\n", done.stderr
