"""Solver: the loop, the update, the log lines, snapshot and restore."""
import re
import shutil
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe import update_rules
from caffe.lr_policy import learning_rate
from caffe.proto import caffe_pb2
from support.nets import solver_from_text

NET = """
name: "line"
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 6 dim: 3 } shape { dim: 6 dim: 2 } data_filler { type: "gaussian" } data_filler { type: "gaussian" } } }
layer { name: "f" type: "InnerProduct" bottom: "x" top: "y" param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" } } }
layer { name: "drop" type: "Dropout" bottom: "y" top: "y" }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" loss_weight: 2 }
"""
PLAIN = NET.replace('layer { name: "drop" type: "Dropout" bottom: "y" top: "y" }', "")
SGD = 'base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 momentum: 0.9 weight_decay: 0.01 iter_size: 2 display: 1 average_loss: 2 random_seed: 3'


@pytest.mark.parametrize("block", [1 << 20, 4])     # numbers at a time; the weights are 6
def test_sgd_is_caffes_rule_with_multipliers_decay_and_iter_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr("caffe.solver._UPDATE_BLOCK", block)
    solver = solver_from_text(PLAIN, SGD, tmp_path)
    w, b = (p.data.copy() for p in solver.net.params["f"])
    hw, hb = np.zeros_like(w), np.zeros_like(b)
    grads = []
    solver.add_callback(lambda: None, lambda: grads.append([p.diff.copy() for p in solver.net.params["f"]]))
    for it in range(4):
        solver.step(1)
        rate = 0.1 * 0.5 ** (it // 2)
        gw, gb = grads[-1]
        hw = 0.9 * hw + rate * (gw / 2 + 0.01 * w)
        hb = 0.9 * hb + 2 * rate * gb / 2
        w, b = w - hw, b - hb
        np.testing.assert_allclose(solver.net.params["f"][0].data, w, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(solver.net.params["f"][1].data, b, rtol=1e-4, atol=1e-6)
    assert solver.iter == 4


def test_log_lines_are_those_that_caffes_parsers_read(tmp_path, capfd):
    solver_from_text(PLAIN, SGD, tmp_path).step(2)
    lines = capfd.readouterr().err.splitlines()
    glog = re.compile(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.]+:\d+\] ")
    assert all(glog.match(line) for line in lines)
    text = "\n".join(glog.sub("", line) for line in lines)
    assert re.findall(r"Iteration (\d+), loss = [\d.e+-]+", text) == ["0", "1"]
    assert re.findall(r"Iteration (\d+), lr = ([\d.]+)", text) == [("0", "0.1"), ("1", "0.1")]
    for value, weight, loss in re.findall(r"Train net output #0: loss = ([\d.e+-]+) \(\* (\d+) = ([\d.e+-]+) loss\)", text):
        assert weight == "2" and abs(float(loss) - 2 * float(value)) < 1e-3
    assert text.count("Train net output #0") == 2


def test_average_loss_smooths_over_the_last_iterations(tmp_path, capfd):
    solver = solver_from_text(PLAIN, SGD.replace("iter_size: 2", ""), tmp_path)
    seen = []
    for _ in range(3):
        solver.step(1)
        seen.append(2 * float(solver.net.blobs["loss"].data))
    logged = [float(v) for v in re.findall(r"Iteration \d+, loss = ([\d.e+-]+)", capfd.readouterr().err)]
    np.testing.assert_allclose(logged, [seen[0], np.mean(seen[:2]), np.mean(seen[1:])], rtol=1e-4)


@pytest.mark.parametrize("kind", list(update_rules.RULES))
def test_restore_continues_bit_for_bit_with_dropout(tmp_path, kind):
    text = SGD.replace("momentum: 0.9", "" if kind in ("AdaGrad", "RMSProp") else "momentum: 0.9") + ' type: "%s"' % kind
    whole = solver_from_text(NET, text, tmp_path)
    whole.step(3)
    state = whole.snapshot()
    assert state.endswith("snap_iter_3.solverstate")
    whole.step(3)
    again = solver_from_text(NET, text, tmp_path)
    again.restore(state)
    assert again.iter == 3
    again.net.layer_dict["data"].forward([], [again.net.blobs["x"], again.net.blobs["t"]])  # disturb the random state
    again.restore(state)
    again.step(3)
    for a, b in zip(whole.net.learnable_params, again.net.learnable_params):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("named", ["the original's", "gone", "relative"])
def test_restore_takes_the_weights_next_to_the_state(tmp_path, capfd, named):
    """A copied folder: C++ Caffe loads what the path in the state leads to, by now another net, or ends."""
    solver = solver_from_text(NET, SGD, tmp_path)
    solver.step(2)
    state = Path(solver.snapshot())
    expected = [blob.data.copy() for blob in solver.net.learnable_params]
    copy = tmp_path / "copy"
    copy.mkdir()
    for end in (".solverstate", ".caffemodel"):
        shutil.copy(state.with_suffix(end), copy)
    if named == "relative":
        content = caffe_pb2.SolverState.FromString((copy / state.name).read_bytes())
        content.learned_net = "out/snap_iter_2.caffemodel"
        (copy / state.name).write_bytes(content.SerializeToString())
    elif named == "gone":
        state.with_suffix(".caffemodel").unlink()
    else:
        solver.step(1)
        solver.net.save(str(state.with_suffix(".caffemodel")))
    capfd.readouterr()
    again = solver_from_text(NET, SGD, tmp_path)
    again.restore(str(copy / state.name))
    for mine, blob in zip(expected, again.net.learnable_params):
        np.testing.assert_array_equal(blob.data, mine)
    assert capfd.readouterr().err.count("next to the state") == 1
    (copy / "snap_iter_2.caffemodel").unlink()
    if named != "the original's":
        with pytest.raises(caffe.CaffeError, match="snap_iter_2.caffemodel: cannot read this caffemodel"):
            again.restore(str(copy / state.name))


def test_restore_on_another_kind_of_device_says_what_it_cannot_keep(tmp_path, capfd):
    """The random state of a GPU has 16 bytes."""
    solver = solver_from_text(NET, SGD, tmp_path)
    solver.step(2)
    state = solver.snapshot()
    content = caffe_pb2.SolverState.FromString(Path(state).read_bytes())
    content.random_state = bytes(16)
    Path(state).write_bytes(content.SerializeToString())
    again = solver_from_text(NET, SGD, tmp_path)
    caffe.set_random_seed(3)
    expected = caffe.common.random_state()
    again.restore(state)
    assert again.iter == 2 and caffe.common.random_state() == expected
    said = capfd.readouterr().err
    assert re.search(r"^W.*random state of 16 bytes .* another kind of device", said, re.M), said


def test_restore_refuses_a_state_of_another_net(tmp_path):
    state = solver_from_text(NET, SGD, tmp_path).snapshot()
    other = solver_from_text(NET.replace("dim: 3", "dim: 4"), SGD, tmp_path)
    with pytest.raises(caffe.CaffeError, match="belongs to another net"):
        other.restore(state)
    with pytest.raises(caffe.CaffeError, match="cannot read this solverstate"):
        other.restore(str(tmp_path / "none.solverstate"))
    (tmp_path / "cut.solverstate").write_bytes(open(state, "rb").read()[:-7])
    with pytest.raises(caffe.CaffeError, match="not a solverstate, or cut off"):
        other.restore(str(tmp_path / "cut.solverstate"))


def test_clip_gradients_bounds_the_norm_of_all_diffs(tmp_path):
    solver = solver_from_text(PLAIN, 'base_lr: 1 lr_policy: "fixed" clip_gradients: 0.25 random_seed: 1', tmp_path)
    before = [p.data.copy() for p in solver.net.params["f"]]
    solver.step(1)
    steps = [(b - p.data) / m for b, p, m in zip(before, solver.net.params["f"], (1, 2))]
    assert abs(np.sqrt(sum((s ** 2).sum() for s in steps)) - 0.25) < 1e-5


def test_solve_tests_and_snapshots_when_due(tmp_path, capfd):
    net = tmp_path / "both.prototxt"
    net.write_text(PLAIN)
    (tmp_path / "s.prototxt").write_text(
        'net: "%s" test_iter: 2 test_interval: 2 base_lr: 0.01 lr_policy: "fixed" max_iter: 5 snapshot: 2 '
        'snapshot_prefix: "%s"' % (net, tmp_path / "snap"))
    caffe.SGDSolver(str(tmp_path / "s.prototxt")).solve()
    text = capfd.readouterr().err
    assert re.findall(r"Iteration (\d), Testing net", text) == ["0", "2", "4"]
    assert "Test net output #0: loss = " in text and "Optimization Done." in text
    assert sorted(p.name for p in tmp_path.glob("snap*")) == sorted(
        "snap_iter_%d.%s" % (n, e) for n in (2, 4, 5) for e in ("caffemodel", "solverstate"))


def test_solve_ends_with_a_loss_and_a_test_of_the_last_weights(tmp_path, capfd):
    net = tmp_path / "both.prototxt"
    net.write_text(PLAIN)
    (tmp_path / "s.prototxt").write_text('net: "%s" test_iter: 1 test_interval: 2 base_lr: 0.01 lr_policy: "fixed" max_iter: 2 '
                                         'display: 1 snapshot_after_train: false' % net)
    caffe.SGDSolver(str(tmp_path / "s.prototxt")).solve()
    text = capfd.readouterr().err
    assert re.findall(r"Iteration (\d), (loss|Testing net)", text) == [
        ("0", "Testing net"), ("0", "loss"), ("1", "loss"), ("2", "loss"), ("2", "Testing net")]


def test_weights_of_the_solver_prototxt(tmp_path):
    source = solver_from_text(NET, SGD, tmp_path)
    source.net.params["f"][0].data[...] = 7
    source.net.save(str(tmp_path / "w.caffemodel"))
    solver = solver_from_text(NET, SGD + ' weights: "%s"' % (tmp_path / "w.caffemodel"), tmp_path)
    assert (solver.net.params["f"][0].data == 7).all()
    with pytest.raises(caffe.CaffeError, match="nowhere.caffemodel"):
        solver_from_text(NET, SGD + ' weights: "nowhere.caffemodel"', tmp_path)


@pytest.mark.parametrize("text, words", [
    ('test_net: "%s" test_net: "%s" test_iter: 1 test_interval: 1', "1 test_iter for 2 test nets")])
def test_settings_that_cannot_be_kept_are_refused_at_once(tmp_path, text, words):
    if "%" in text:
        (tmp_path / "t.prototxt").write_text(PLAIN)
        text = text % ((tmp_path / "t.prototxt",) * 2)
    with pytest.raises(caffe.CaffeError, match=words):
        solver_from_text(NET, SGD + " " + text, tmp_path)


RATE = 'base_lr: 0.1 lr_policy: "%s" '


@pytest.mark.parametrize("text, message", [
    (RATE % "step" + "gamma: 0.5", "stepsize is 0 .not given. with lr_policy step; expected 1 or more"),
    (RATE % "step" + "gamma: 0.5 stepsize: 0", "stepsize is 0 with lr_policy step; expected 1 or more"),
    (RATE % "step" + "gamma: -0.5 stepsize: 1", "gamma is -0.5 with lr_policy step; expected 0 or more"),
    (RATE % "sigmoid" + "gamma: 0.5", "stepsize is 0"),
    (RATE % "inv" + "gamma: -0.5 power: 1", "gamma is -0.5"),
    (RATE % "multistep" + "gamma: 0.5 stepvalue: 20 stepvalue: 10", r"stepvalue is \[20, 10\] .*rising order"),
    (RATE % "multistep" + "gamma: 0.5 stepvalue: -1", r"stepvalue is \[-1\]"),
    (RATE % "poly" + "power: 1", "max_iter is 0 .not given. with lr_policy poly"),
    (RATE % "poly" + "power: 1 max_iter: 0", "max_iter is 0 with lr_policy poly; expected 1 or more"),
    (RATE % "fixed" + 'type: "Adam" momentum2: 2', "momentum2 is 2 with type Adam; expected 0 or more and below 1"),
    (RATE % "fixed" + 'type: "Adam" momentum: 1', "momentum is 1 with type Adam"),
    (RATE % "fixed" + 'type: "Adam" delta: -1', "delta is -1"),
    (RATE % "fixed" + 'type: "AdaDelta" momentum: 0.9 delta: 0', "delta is 0 with type AdaDelta; expected more than 0"),
    (RATE % "fixed" + 'type: "AdaGrad" momentum: 0.9', "momentum is 0.9 with type AdaGrad; expected 0"),
    (RATE % "fixed" + 'type: "RMSProp" momentum: 0.9', "momentum is 0.9 with type RMSProp; expected 0"),
    (RATE % "fixed" + 'type: "RMSProp" rms_decay: 1', "rms_decay is 1"),
    (RATE % "fixed" + "momentum: 1.5", "momentum is 1.5 with type SGD; expected -1 to 1"),
    (RATE % "fixed" + "momentum: nan", "momentum is nan"),
    (RATE % "fixed" + "weight_decay: inf", "weight_decay is inf; expected a finite number"),
    (RATE % "fixed" + 'weight_decay: 0.1 regularization_type: "L3"', "regularization_type is 'L3'; expected L1 or L2"),
    (RATE % "fixed" + "clip_gradients: nan", "clip_gradients is nan"),
    (RATE % "fixed" + "iter_size: 0", "iter_size is 0; expected 1 or more"),
    (RATE % "fixed" + "average_loss: 0", "average_loss is 0; expected 1 or more"),
    (RATE % "fixed" + "test_iter: 1 test_interval: 1", "1 test_iter for 0 test nets"),
    (RATE % "fixed" + 'test_net: "none.prototxt"', "0 test_iter for 1 test nets"),
    (RATE % "fixed" + 'test_net: "none.prototxt" test_iter: 1', "test_interval is 0; expected 1 or more"),
    (RATE % "fixed" + 'test_net: "a" test_net: "b" test_iter: 1 test_iter: 1 test_interval: 1 test_state { level: 1 }',
     "1 test_state for 2 test nets"),
    ('base_lr: nan lr_policy: "fixed"', "base_lr is nan; expected a finite number"),
    ("base_lr: 0.1", "lr_policy '' is unknown"),
])
def test_a_setting_that_makes_no_sense_is_one_line_when_the_solver_is_made(tmp_path, text, message):
    with pytest.raises(caffe.CaffeError, match="solver: " + message) as e:
        solver_from_text(PLAIN, text, tmp_path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("text", [       # C++ Caffe runs these, with finite weights
    RATE % "step" + "stepsize: 1", RATE % "multistep" + "gamma: 0.5",
    RATE % "multistep" + "gamma: 0.5 stepvalue: 1 stepvalue: 1", RATE % "inv" + "gamma: 0.5 power: -1",
    RATE % "poly" + "power: 1 max_iter: 9", RATE % "fixed" + "stepsize: 0 momentum2: 2 max_iter: -1 display: -1",
    RATE % "fixed" + "momentum: -0.5 weight_decay: -0.5", RATE % "fixed" + "clip_gradients: 0",
    RATE % "fixed" + "clip_gradients: inf", 'lr_policy: "fixed"', 'base_lr: -0.1 lr_policy: "fixed"',
    RATE % "fixed" + 'type: "Adam" momentum: 0.9 momentum2: 0', RATE % "fixed" + 'type: "Adam" momentum: 0.9 delta: 0',
    RATE % "fixed" + 'type: "AdaDelta" momentum: 1', RATE % "fixed" + 'type: "RMSProp" rms_decay: 0',
    RATE % "fixed" + "test_interval: 1",
])
def test_settings_that_caffe_runs_are_not_refused(tmp_path, text):
    solver = solver_from_text(PLAIN, text + " random_seed: 1", tmp_path)
    solver.step(3)
    assert all(np.isfinite(blob.data).all() for blob in solver.net.learnable_params)


def test_snapshots_into_a_folder_that_is_not_there_are_refused_before_training(tmp_path):
    (tmp_path / "net.prototxt").write_text(PLAIN)
    (tmp_path / "s.prototxt").write_text('net: "%s" base_lr: 1 lr_policy: "fixed" snapshot: 2 snapshot_prefix: "%s"'
                                         % (tmp_path / "net.prototxt", tmp_path / "none" / "snap"))
    with pytest.raises(caffe.CaffeError, match="snapshot_prefix is .*none is not a folder"):
        caffe.get_solver(str(tmp_path / "s.prototxt"))


def test_gradients_are_clipped_though_nothing_has_one(tmp_path):
    frozen = PLAIN.replace("lr_mult: 1", "lr_mult: 0").replace("lr_mult: 2", "lr_mult: 0")
    solver = solver_from_text(frozen, 'base_lr: 1 lr_policy: "fixed" clip_gradients: 1 random_seed: 1', tmp_path)
    before = solver.net.params["f"][0].data.copy()
    solver.step(2)
    np.testing.assert_array_equal(solver.net.params["f"][0].data, before)


def test_a_rate_that_grows_beyond_all_numbers_is_one_line(tmp_path):
    solver = solver_from_text(PLAIN, 'base_lr: 1e30 lr_policy: "exp" gamma: 1e30', tmp_path)
    with pytest.raises(caffe.CaffeError, match="lr_policy exp has no finite rate at iteration 11"):
        learning_rate(solver.param, 11)


@pytest.mark.parametrize("old, new, message", [
    ("lr_mult: 2", "lr_mult: nan", "layer f: lr_mult of a parameter is nan; expected a finite number"),
    ("decay_mult: 1", "decay_mult: inf", "layer f: decay_mult of a parameter is inf"),
    ("loss_weight: 2", "loss_weight: nan", "layer loss .*loss_weight is .nan.; expected finite"),
])
def test_multipliers_that_are_no_numbers_name_their_layer(tmp_path, old, new, message):
    with pytest.raises(caffe.CaffeError, match=message):
        solver_from_text(PLAIN.replace(old, new), SGD, tmp_path)


def test_learning_rates_at_their_ends():
    from google.protobuf import text_format
    late = text_format.Parse('base_lr: 2 lr_policy: "sigmoid" gamma: 0.1 stepsize: 10000', caffe_pb2.SolverParameter())
    assert learning_rate(late, 0)[0] == 0 and learning_rate(late, 10000)[0] == 1
    past = text_format.Parse('base_lr: 2 lr_policy: "poly" power: 0.9 max_iter: 4', caffe_pb2.SolverParameter())
    assert learning_rate(past, 4)[0] == 0
    with pytest.raises(caffe.CaffeError, match="no rate after max_iter 4"):
        learning_rate(past, 5)


@pytest.mark.parametrize("text, rates", [
    ('lr_policy: "fixed"', [2, 2, 2, 2, 2]),
    ('lr_policy: "step" gamma: 0.5 stepsize: 2', [2, 2, 1, 1, 0.5]),
    ('lr_policy: "exp" gamma: 0.5', [2, 1, 0.5, 0.25, 0.125]),
    ('lr_policy: "inv" gamma: 1 power: 1', [2, 1, 2 / 3, 0.5, 0.4]),
    ('lr_policy: "multistep" gamma: 0.5 stepvalue: 1 stepvalue: 3', [2, 1, 1, 0.5, 0.5]),
    ('lr_policy: "poly" power: 2 max_iter: 10', [2, 1.62, 1.28, 0.98, 0.72]),
    ('lr_policy: "sigmoid" gamma: -1 stepsize: 2', [2 / (1 + np.exp(x)) for x in (-2, -1, 0, 1, 2)]),
])
def test_learning_rate_policies(text, rates):
    from google.protobuf import text_format
    p = text_format.Parse("base_lr: 2 " + text, caffe_pb2.SolverParameter())
    step, got = 0, []
    for it in range(5):
        rate, step = learning_rate(p, it, step)
        got.append(rate)
    np.testing.assert_allclose(got, rates, rtol=1e-6)


@pytest.mark.parametrize("text, message", [
    ('base_lr: 1 lr_policy: "stepp"', "lr_policy 'stepp' is unknown; known: exp, fixed"),
    ('base_lr: 1 lr_policy: "fixed" type: "SGDD"', "type 'SGDD' is unknown; known: SGD, Nesterov"),
    ('base_lr: 1 lr_policy: "fixed" net: "x"', "exactly one of"),
    ('base_lr: 1 lr_policy: "fixed" solver_type: ADAM type: "Adam"', "type or solver_type, not both"),
])
def test_a_wrong_solver_prototxt_gets_one_line(tmp_path, text, message):
    with pytest.raises(caffe.CaffeError, match=message):
        solver_from_text(PLAIN, text, tmp_path)


PERMISSIVE = """
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 2 }
  data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 1 } } }
layer { name: "f" type: "InnerProduct" bottom: "x" top: "y" param { name: "w" }
  inner_product_param { num_output: 2 bias_term: false } }
layer { name: "g" type: "InnerProduct" bottom: "x" top: "z" param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 2 bias_term: false transpose: true } }
layer { name: "l1" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l1" }
layer { name: "l2" type: "EuclideanLoss" bottom: "z" bottom: "t" top: "l2" }
"""


def test_a_parameter_shared_permissively_has_each_layers_own_shape(tmp_path):
    solver = solver_from_text(PERMISSIVE, 'base_lr: 0.3 momentum: 0.5 lr_policy: "fixed"', tmp_path)
    f, g = solver.net.params["f"][0], solver.net.params["g"][0]
    f.data[...] = np.arange(6).reshape(2, 3) * 0.1
    assert f.shape == (2, 3) and g.shape == (3, 2) and len(solver.net.learnable_params) == 1
    solver.step(3)
    expected = [0.63864, 0.67998, 0.83864, 0.65604, 0.81471, 0.85604]       # of BVLC Caffe 1.0
    np.testing.assert_allclose(f.data.ravel(), expected, atol=1e-5)
    np.testing.assert_array_equal(g.data.ravel(), f.data.ravel())
    np.testing.assert_array_equal(g.diff.ravel(), f.diff.ravel())
    g.data[0, 1] = 9
    assert f.data[0, 1] == 9
    other = caffe.Net(str(tmp_path / "train.prototxt"), caffe.TEST)
    other.share_with(solver.net)
    assert other.params["f"][0].data[0, 1] == other.params["g"][0].data[0, 1] == 9
    solver.net.save(str(tmp_path / "w.caffemodel"))
    stored = caffe.Net(str(tmp_path / "train.prototxt"), str(tmp_path / "w.caffemodel"), caffe.TEST)
    np.testing.assert_array_equal(stored.params["g"][0].data, g.data)


@pytest.mark.parametrize("old, new", [("share_mode: PERMISSIVE", ""), ("transpose: true", "transpose: true axis: 0")])
def test_a_parameter_of_another_shape_or_count_is_refused(tmp_path, old, new):
    with pytest.raises(caffe.CaffeError, match="layer g: parameter 0 shares 'w' with layer f"):
        solver_from_text(PERMISSIVE.replace(old, new), 'base_lr: 0.3 lr_policy: "fixed"', tmp_path)
