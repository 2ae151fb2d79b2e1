"""A numpy view of a blob shows what later passes write, and what is written into it counts, as in pycaffe."""
import caffe
import numpy as np
import pytest
import torch
from support.nets import net_from_text, solver_from_text
from support.view_nets import IMAGES, NET, SHARED_PARAMS, TRAINING, X, all_views, images

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
    assert not blob.tensor.is_contiguous()                  # channels last, as long as no view is held
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


def test_a_blob_without_views_has_its_layers_layout_again():
    net = net_from_text(IMAGES)
    view = net.blobs["conv"].data
    net.forward(x=images(0))
    assert net.blobs["conv"].tensor.is_contiguous() and view.any()
    del view
    net.forward(x=images(1))
    assert not net.blobs["conv"].tensor.is_contiguous()


def test_a_layers_tensor_is_taken_without_a_copy():
    blob = caffe.Blob(2, 3)
    tensor = torch.ones(2, 3)
    tensor.numpy()                                          # kernels look so
    blob.tensor = tensor
    assert blob.tensor.data_ptr() == tensor.data_ptr()
    view = blob.data
    assert view.ctypes.data != tensor.data_ptr()            # others may hold the layer's tensor


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


def test_callbacks_see_the_numbers_of_their_layer_and_may_change_them():
    net = net_from_text(NET)
    y, seen = net.blobs["y"].data, []

    def look(number):
        seen.append(y[1, 0])
        if number == 2:
            y[...] = 4
    net.after_forward(look)
    assert (net.forward(x=X)["z"] == 8).all()
    assert seen == [0, 5.5, 5.5, 4]


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
