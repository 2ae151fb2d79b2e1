"""Numpy views held over changes of shape, recomputation, solvers' steps and passes of Python layers; on a GPU."""
import caffe
import numpy as np
import pytest
from support.nets import net_from_text, solver_from_text
from support.view_nets import IMAGES, NET, SHARED_PARAMS, TRAINING, X, images

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
    net.forward(x=images(0))                        # no view is held: channels last
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
    assert not y.any()                              # not fetched yet
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
