"""A numpy view of a blob shows what later passes write, and what is written into it counts, as in pycaffe."""
import caffe
import numpy as np
import pytest
import torch
from support.nets import net_from_text, solver_from_text

NET = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2
  weight_filler { type: "constant" value: 0.5 } bias_filler { type: "constant" value: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "z" type: "Power" bottom: "y" top: "z" power_param { scale: 2 } }
"""
X = np.float32([[-1, 0, 1], [2, 3, 4]])
IMAGES = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""
TRAINING = IMAGES + """
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 2 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""


def images(seed, *shape):
    return np.random.RandomState(seed).randn(*(shape or (2, 3, 6, 5))).astype(np.float32)


def all_views(net):
    """({name: view of data}, {name: view of diff}) of all blobs and parameters."""
    blobs = dict(net.blobs)
    blobs.update(("%s %d" % (name, i), blob) for name, params in net.params.items() for i, blob in enumerate(params))
    return [{name: getattr(blob, side) for name, blob in blobs.items()} for side in ("data", "diff")]


# ---- what a view shows

def test_views_of_data_and_diffs_follow_forward_and_backward():
    net = net_from_text(NET)
    (x, y, z), (dx, dy, dz) = ([getattr(net.blobs[n], side) for n in "xyz"] for side in ("data", "diff"))
    for factor in (1, 2):
        x[...] = X * factor
        net.forward()
        assert y.tolist() == [[1, 1], [4.5 * factor + 1] * 2] and (z == 2 * y).all()
        dz[...] = factor
        net.backward()
        assert (dy == 2 * factor).all() and (dx == 2 * factor).all()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_views_of_everything_show_what_reading_again_gives(tmp_path, precision):
    """Held by one solver, read again from another: data, diffs, parameters, over steps and a reshape of the input."""
    caffe.set_precision(precision)
    try:
        solvers = []
        for held in (True, False):
            caffe.set_random_seed(3)
            solver = solver_from_text(TRAINING, 'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 iter_size: 2', tmp_path)
            solver.views = all_views(solver.net) if held else None
            solvers.append(solver)
        for seed, size in enumerate([(6, 5), (4, 5), (6, 5)]):
            for solver in solvers:
                solver.net.blobs["x"].reshape(2, 3, 6, size[1])
                solver.net.blobs["x"].data[...] = images(seed)
                solver.step(2)
            for views, again, other in zip(solvers[0].views, *(all_views(s.net) for s in solvers)):
                for name, view in views.items():
                    np.testing.assert_array_equal(view, again[name], err_msg=name)
                    np.testing.assert_allclose(view, other[name], rtol=1e-5, atol=1e-6, err_msg=name)
    finally:
        caffe.set_precision("float32")


@pytest.mark.parametrize("derive", [
    lambda v: v[1:], lambda v: v[1:].reshape(-1)[1:], np.ravel, lambda v: v.T, memoryview, np.asarray, torch.from_numpy,
    lambda v: torch.from_numpy(v)[0], lambda v: v.view(np.matrix)[1], np.frombuffer, lambda v: v[1, 1, ...], torch.from_dlpack])
def test_whatever_is_made_of_a_view_shows_the_new_numbers(derive):
    net = net_from_text(NET)
    made = derive(net.blobs["z"].data)
    net.forward(x=X)
    z = net.forward(x=2 * X)["z"]
    want = np.frombuffer(z) if derive is np.frombuffer else np.asarray(derive(z))
    np.testing.assert_array_equal(np.asarray(made), want)


def test_what_forward_returns_shows_the_next_pass_too():
    net = net_from_text(NET)
    first = net.forward(x=X)["z"]
    second = net.forward(x=3 * X)["z"]
    assert second[1, 0] == 29
    np.testing.assert_array_equal(first, second)


def test_views_are_in_c_order_and_other_shapes_of_them_write_through():
    net = net_from_text(IMAGES)
    net.forward(x=images(0))
    blob = net.blobs["conv"]
    assert not blob.tensor.is_contiguous()                  # channels last, as long as nobody looks
    for view in (blob.data, blob.diff, net.params["conv"][0].data):
        assert view.flags.c_contiguous and view.flags.writeable
    before = blob.data.copy()
    blob.data.reshape(-1)[7] = 70
    blob.data.ravel()[8] = 80
    view = blob.data
    view.shape = (480,)
    view[9] = 90
    before.flat[7:10] = 70, 80, 90
    np.testing.assert_array_equal(blob.data, before)
    assert blob.data.shape == (2, 8, 6, 5)


def test_a_blob_that_nobody_holds_any_more_keeps_its_layers_layout():
    net = net_from_text(IMAGES)
    view = net.blobs["conv"].data
    net.forward(x=images(0))
    assert net.blobs["conv"].tensor.is_contiguous() and view.any()
    del view
    net.forward(x=images(1))
    assert not net.blobs["conv"].tensor.is_contiguous()


# ---- what a user writes into a view

def test_what_is_written_into_an_old_view_of_an_input_counts():
    net = net_from_text(NET)
    x = net.blobs["x"].data
    for factor in (1, 5):
        x[...] = factor * X
        assert net.forward()["z"][1, 0] == 2 * (4.5 * factor + 1)


def test_what_is_written_between_two_parts_of_a_pass_counts():
    net = net_from_text(NET)
    y, z, dy, dx = net.blobs["y"].data, net.blobs["z"].data, net.blobs["y"].diff, net.blobs["x"].diff
    net.forward(x=X, end="ip")
    assert y[1, 0] == 5.5 and not z.any()
    y[...] = -3
    net.forward(start="relu")
    assert not y.any() and not z.any()
    y[...] = 4
    net.forward(start="z")
    assert (z == 8).all()
    net.blobs["z"].diff[...] = 1
    net.backward(end="z")
    assert (dy == 2).all() and not dx.any()
    dy[...] = 3
    net.backward(start="relu")
    assert (dx == 3).all()


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("slope", [0, 0.25])
def test_backward_of_an_in_place_relu_takes_what_a_user_wrote_after_forward(held, slope):
    """As in Caffe; but not what a later in-place layer made of it, there or in memory that it shares."""
    net = net_from_text("""
        force_backward: true
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }
        layer { name: "y" type: "Power" bottom: "x" top: "y" }
        layer { name: "relu" type: "ReLU" bottom: "y" top: "y" relu_param { negative_slope: %g } }
        layer { name: "z" type: "Power" bottom: "y" top: "z" }
        layer { name: "relu2" type: "ReLU" bottom: "z" top: "z" relu_param { negative_slope: %g } }
        layer { name: "flat" type: "Flatten" bottom: "z" top: "f" }
        layer { name: "sign" type: "Power" bottom: "f" top: "f" power_param { scale: -1 } }""" % (slope, slope))
    view = net.blobs["y"].data if held else None
    net.forward(x=np.float32([[1, -1, 2, -2]]))
    net.blobs["y"].data[...] = [[-3, 3, 3, -3]]
    net.blobs["f"].diff[...] = 8
    net.backward()
    second = np.where(np.float32([1, -1, 2, -2]) > 0, 1, slope)
    np.testing.assert_array_equal(net.blobs["x"].diff[0], -8 * second * [slope, 1, 1, slope])
    assert view is None or view[0, 1] == 3


def test_writing_one_blob_leaves_the_others_alone():
    """Layers pass tensors on: Dropout's top at TEST, Eltwise's and Concat's diffs; users must not notice."""
    net = net_from_text("""
        force_backward: true
        layer { name: "x" type: "Input" top: "x" top: "y" input_param { shape { dim: 1 dim: 2 } } }
        layer { name: "d" type: "Dropout" bottom: "x" top: "d" }
        layer { name: "p" type: "Power" bottom: "d" top: "p" }
        layer { name: "e" type: "Eltwise" bottom: "p" bottom: "y" top: "e" }
        layer { name: "c" type: "Concat" bottom: "e" bottom: "e" top: "c" }""", caffe.TEST)
    x = net.blobs["x"].data
    x[...] = 1
    net.forward()
    net.blobs["c"].diff[...] = 1
    net.backward()
    x[...] = 2
    assert (net.blobs["d"].data == 1).all() and (net.blobs["p"].data == 1).all()
    net.blobs["d"].data[...] = 5
    assert (x == 2).all() and (net.blobs["p"].data == 1).all()
    names = [name for name in net.blobs if name != "c"]
    before = {name: net.blobs[name].diff.copy() for name in names}
    for name in names:
        net.blobs[name].diff[...] = 7
        for other in names:
            if other != name:
                np.testing.assert_array_equal(net.blobs[other].diff, before[other], err_msg="%s, %s" % (name, other))
        net.blobs[name].diff[...] = before[name]
    net.blobs["c"].diff[...] = 9
    np.testing.assert_array_equal(net.blobs["e"].diff, before["e"])


def test_the_weight_of_a_loss_can_be_read_held_and_changed_before_the_first_pass():
    net = net_from_text(TRAINING)
    weight = net.blobs["loss"].diff
    assert weight == 1
    weight[...] = 3
    net.forward(x=images(0), t=np.zeros((2, 2)))
    net.backward()
    np.testing.assert_allclose(net.blobs["ip"].diff, 3 / 2 * net.blobs["ip"].data, rtol=1e-6)


# ---- blobs that share memory

SHARING = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 1 dim: 1 } } }
layer { name: "p" type: "Power" bottom: "x" top: "p" power_param { scale: 2 } }
layer { name: "f" type: "Flatten" bottom: "p" top: "f" }
layer { name: "r" type: "Reshape" bottom: "p" top: "r" reshape_param { shape { dim: 2 dim: 2 } } }
layer { name: "q" type: "Power" bottom: "f" top: "q" }
layer { name: "s" type: "Power" bottom: "r" top: "s" power_param { scale: 3 } }
"""


def test_split_flatten_and_reshape_show_one_memory():
    net = net_from_text(SHARING)
    data, diff = all_views(net)
    same = ["p", "p_p_0_split_0", "p_p_0_split_1", "f", "r"]
    data["x"].flat[:] = [1, -2, 3, -4]
    net.forward()
    assert all(data[name].ravel().tolist() == [2, -4, 6, -8] for name in same)
    for name, value in zip(same, range(5, 10)):
        data[name][...] = value
        assert all((data[other] == value).all() and (net.blobs[other].data == value).all() for other in same)
    net.forward(start="q")
    assert (data["q"] == 9).all() and (data["s"] == 27).all()
    diff["q"][...] = diff["s"][...] = 1
    net.backward()
    assert [diff[name].flat[0] for name in ("f", "r", "p_p_0_split_0", "p_p_0_split_1", "p", "x")] == [1, 3, 1, 3, 4, 8]


def test_an_in_place_layer_on_a_flattened_blob_changes_what_it_was_flattened_from():
    net = net_from_text(SHARING.replace('layer { name: "r"', 'layer { name: "i" type: "ReLU" bottom: "f" top: "f" }\n'
                                        'layer { name: "r"'))
    data, _ = all_views(net)
    net.forward(x=np.float32([1, -2, 3, -4]).reshape(1, 4, 1, 1))
    for name in ("f", "p", "r"):
        assert data[name].ravel().tolist() == [2, 0, 6, 0], name
    assert data["s"].ravel().tolist() == [6, 0, 18, 0]


SHARED_PARAMS = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.5 } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 2 } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "loss" }
"""


def test_views_of_shared_parameters():
    net = net_from_text(SHARED_PARAMS)
    (first, second), (diff, other_diff) = ([getattr(net.params[n][0], side) for n in "ab"] for side in ("data", "diff"))
    first[0, 0] = 2
    assert second[0, 0] == 2
    net.forward(x=np.float32([[1, 2]]), t=np.zeros((1, 2)))
    net.backward()
    assert diff.tolist() == other_diff.tolist() == [[34.875, 39.375], [11.25, 12.375]]      # a true Caffe's numbers
    net.backward()
    assert diff[0, 0] == 2 * 34.875


def test_share_with_shows_the_other_nets_parameters_from_then_on():
    one, other = net_from_text(SHARED_PARAMS), net_from_text(SHARED_PARAMS)
    owner, old = one.params["a"][0].data, other.params["a"][0].data
    old[...] = 7
    other.share_with(one)
    view = other.params["a"][0].data
    assert (view == 0.5).all() and (old == 7).all()
    owner[...] = 3
    view[0, 0] = 4
    assert view.tolist() == owner.tolist() == [[4, 3], [3, 3]]


def test_copy_from_loads_into_held_views(tmp_path):
    one, other = net_from_text(SHARED_PARAMS), net_from_text(SHARED_PARAMS)
    one.params["a"][0].data[...] = 3
    one.save(tmp_path / "w.caffemodel")
    view = other.params["b"][0].data
    other.copy_from(tmp_path / "w.caffemodel")
    assert (view == 3).all()


# ---- shapes that change

@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("side", ["data", "diff"])
def test_numbers_stay_while_the_shape_shrinks_and_grows_again(side, held):
    blob = net_from_text(NET).blobs["x"]
    getattr(blob, side)[...] = X
    view = getattr(blob, side) if held else X.copy()
    blob.reshape(1, 3)
    np.testing.assert_array_equal(getattr(blob, side), X[:1])
    getattr(blob, side)[...] = 9
    view[0] = 9
    blob.reshape(3, 2)
    np.testing.assert_array_equal(getattr(blob, side), view.reshape(3, 2))
    blob.reshape(2, 3)
    np.testing.assert_array_equal(getattr(blob, side), view)
    assert view[1].tolist() == [2, 3, 4]


@pytest.mark.parametrize("side", ["data", "diff"])
def test_more_numbers_than_ever_get_new_memory_and_old_views_keep_theirs(side):
    blob = net_from_text(NET).blobs["x"]
    view = getattr(blob, side)
    view[...] = X
    blob.reshape(3, 3)
    assert not getattr(blob, side).any()
    getattr(blob, side)[...] = 5
    np.testing.assert_array_equal(view, X)
    assert getattr(blob, side).shape == (3, 3)


def test_views_of_tops_over_a_smaller_pass():
    net = net_from_text(NET)
    net.forward(x=X)
    z = net.blobs["z"].data
    net.blobs["x"].reshape(1, 3)
    net.reshape()
    assert z.tolist() == [[2, 2], [11, 11]] and net.blobs["z"].data.tolist() == [[2, 2]]
    net.forward(x=np.full((1, 3), 7))
    assert z.tolist() == [[23, 23], [11, 11]] and net.blobs["z"].data.tolist() == [[23, 23]]
    net.blobs["x"].reshape(2, 3)
    net.reshape()
    assert net.blobs["x"].data.tolist() == [[7, 7, 7], [2, 3, 4]] and net.blobs["z"].data.tolist() == z.tolist()


def test_an_array_of_another_layout_is_cut_in_c_order():
    net = net_from_text(IMAGES)
    net.forward(x=images(0))
    before = net.blobs["conv"].data.copy()
    net.forward(x=images(0))                        # nobody holds it: channels last
    net.blobs["conv"].reshape(1, 8, 6, 5)
    np.testing.assert_array_equal(net.blobs["conv"].tensor.numpy(), before[:1])
    net.blobs["conv"].reshape(2, 8, 6, 5)
    np.testing.assert_array_equal(net.blobs["conv"].data, before)


# ---- recomputation, solvers, Python layers

FROZEN = TRAINING.replace('top: "conv"\n', 'top: "conv" param { lr_mult: 0 } param { lr_mult: 0 }\n')


def test_a_held_array_is_not_put_off_and_an_old_views_writes_stay_in_it():
    net, other = net_from_text(FROZEN), net_from_text(FROZEN)
    other.share_with(net)
    view = net.blobs["conv"].data
    for seed in (0, 1):
        for each in (net, other):
            each.blobs["x"].data[...] = images(seed)
            each.forward()
        np.testing.assert_array_equal(view, other.blobs["conv"].data)
    view[...] = 2
    net.forward(start="pool")
    assert (net.blobs["pool"].data == 2).all() and (view == 2).all() and (net.blobs["conv"].data == 2).all()


def test_held_views_of_parameters_over_a_solvers_steps(tmp_path):
    """A true Caffe's numbers; after a step the diff holds the update."""
    solver = solver_from_text(SHARED_PARAMS, 'base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 '
                              'iter_size: 2 clip_gradients: 3', tmp_path)
    net = solver.net
    net.blobs["x"].data[...], net.blobs["t"].data[...] = [[1, 2]], [[1, -2]]
    weights, update, bias_update = net.params["a"][0].data, net.params["a"][0].diff, net.params["a"][1].diff
    for want, change, bias_change in (
            ([[0.4707, 0.4497], [0.4235, 0.4025]], [[0.0293, 0.0503], [0.0765, 0.0975]], [0.0262, 0.0577]),
            ([[0.4206, 0.3606], [0.2728, 0.2215]], [[0.0501, 0.0891], [0.1507, 0.1811]], [0.0461, 0.1174])):
        solver.step(1)
        for got, expected in ((weights, want), (update, change), (bias_update, bias_change)):
            np.testing.assert_allclose(got, expected, atol=6e-5)


@pytest.mark.parametrize("kind, update", [
    ("SGD", [0.2755, 0.4755]), ("Nesterov", [0.5235, 0.9035]), ("AdaGrad", [0.1, 0.1]), ("RMSProp", [0.3162, 0.3162]),
    ("AdaDelta", [0.0003, 0.0003]), ("Adam", [0.1, 0.1])])
def test_after_a_step_a_diff_holds_the_update(tmp_path, kind, update):
    momentum = {"AdaGrad": "", "RMSProp": "rms_decay: 0.9 delta: 1e-4"}.get(kind, "momentum: 0.9")
    solver = solver_from_text(SHARED_PARAMS, 'type: "%s" base_lr: 0.1 lr_policy: "fixed" weight_decay: 0.01 iter_size: 2 %s %s'
                              % (kind, momentum, "momentum2: 0.99 delta: 1e-6" if kind in ("AdaDelta", "Adam") else ""),
                              tmp_path)
    solver.net.blobs["x"].data[...], solver.net.blobs["t"].data[...] = [[1, 2]], [[1, -2]]
    blob = solver.net.params["a"][0]
    before = blob.data.copy()
    solver.step(1)
    np.testing.assert_allclose(blob.diff[0], update, atol=6e-5)        # a true Caffe's
    np.testing.assert_allclose(before - blob.diff, blob.data, atol=1e-6)


def test_backward_after_an_update_takes_the_new_weights(tmp_path):
    text = TRAINING.replace('layer { name: "t"', 'layer { name: "prelu" type: "PReLU" bottom: "ip" top: "ip2" }\nlayer '
                            '{ name: "t"').replace('bottom: "ip" bottom: "t"', 'bottom: "ip2" bottom: "t"')
    solver = solver_from_text(text, 'base_lr: 0.1 lr_policy: "fixed"', tmp_path)
    net = solver.net
    net.blobs["x"].data[...] = images(0)
    solver.step(1)
    net.params["prelu"][0].data[...] = 0.75
    net.backward()
    slopes = np.where(net.blobs["ip"].data > 0, 1, 0.75)
    np.testing.assert_allclose(net.blobs["ip"].diff, net.blobs["ip2"].diff * slopes, rtol=1e-6)


class Keeps(caffe.Layer):
    """Takes its views once, when it is set up, and works on them in every pass."""

    def setup(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        self.views = bottom[0].data, top[0].data, bottom[0].diff, top[0].diff

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        x, y, _, _ = self.views
        y[...] = 3 * x

    def backward(self, top, propagate_down, bottom):
        _, _, dx, dy = self.views
        dx[...] = 3 * dy


def test_a_python_layer_may_keep_its_views_from_pass_to_pass():
    net = net_from_text(NET.replace('bottom: "y" top: "z"', 'bottom: "k" top: "z"').replace('layer { name: "z"', """
        layer { name: "k" type: "Python" bottom: "y" top: "k" python_param { module: "%s" layer: "Keeps" } }
        layer { name: "z\"""" % __name__))
    for factor in (1, 2):
        assert net.forward(x=factor * X)["z"][1, 0] == 6 * (4.5 * factor + 1)
        net.blobs["z"].diff[...] = factor
        net.backward()
        assert (net.blobs["x"].diff == 6 * factor).all()


# ---- a device with memory of its own

@pytest.fixture
def apart(monkeypatch):
    """The CPU stands in for a GPU: its tensors count as lying elsewhere than what numpy sees."""
    monkeypatch.setattr("caffe.synced_array._apart", lambda device: True)


def test_on_a_gpu_a_view_shows_what_was_fetched_last(apart):
    net = net_from_text(NET)
    y, dx = net.blobs["y"].data, net.blobs["x"].diff
    net.forward(x=X)
    assert not y.any()                              # nobody asked for it yet
    again = net.blobs["y"].data
    assert y.tolist() == again.tolist() == [[1, 1], [5.5, 5.5]]
    net.forward(x=2 * X)
    net.blobs["z"].diff[...] = 1
    net.backward_from_to()
    assert y.tolist() == [[1, 1], [5.5, 5.5]] and not dx.any()
    assert net.blobs["y"].data.tolist() == y.tolist() == [[1, 1], [10, 10]]
    assert net.blobs["x"].diff.tolist() == dx.tolist() == [[2] * 3] * 2


def test_on_a_gpu_blobs_keep_their_numbers_over_shapes_and_what_is_written_after_reading_counts(apart):
    net = net_from_text(NET)
    net.forward(x=X)
    net.blobs["x"].reshape(1, 3)
    net.forward()
    assert net.blobs["z"].data.tolist() == [[2, 2]]
    net.blobs["x"].reshape(2, 3)
    assert net.forward()["z"].tolist() == [[2, 2], [11, 11]]
    net.blobs["y"].data[...] = 4
    assert (net.forward(start="z")["z"] == 8).all()
    params = net.params["ip"][0]
    view = params.data
    view[...] = 1
    params.mutable_tensor().mul_(3)                 # as an update does
    assert (view == 1).all() and (params.data == 3).all() and (view == 3).all()
