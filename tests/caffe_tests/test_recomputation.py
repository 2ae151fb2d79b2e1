"""What backward will not need takes no memory after its last reader, and reads as if it had never gone."""
import weakref

import caffe
import numpy as np
import pytest
from support.nets import net_from_text, solver_from_text

# conv1, norm1 and pool1 learn nothing; ip reads pool1 in backward.
FROZEN = """
name: "frozen"
input: "x" input_shape { dim: 1 dim: 3 dim: 16 dim: 12 }  input: "t" input_shape { dim: 1 dim: 2 }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "conv1" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool1" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""

# Two readers of a frozen blob (so Split and Concat), as in SqueezeNet's fire modules.
FIRE = FROZEN.replace('bottom: "norm1" top: "pool1"', 'bottom: "both" top: "pool1"').replace("""
layer { name: "pool1\"""", """
layer { name: "a" type: "Convolution" bottom: "norm1" top: "a" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "b" type: "Convolution" bottom: "norm1" top: "b" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "both" type: "Concat" bottom: "a" bottom: "b" top: "both" }
layer { name: "pool1\"""")


def filled(text, seed=0):
    """A net of the TRAIN phase with inputs from a seed, and what its blobs hold layer by layer in a pass."""
    caffe.set_random_seed(seed)
    net = net_from_text(text)
    rng = np.random.RandomState(seed)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.randn(*net.blobs[name].shape)
    return net


def expected(text):
    """{name: array} of every blob, from a net of the TEST phase, which keeps everything."""
    net, other = filled(text), net_from_text(text, phase=caffe.TEST)
    other.share_with(net)
    for name in net.inputs:
        other.blobs[name].data[...] = net.blobs[name].data
    other.forward()
    return {name: blob.data.copy() for name, blob in other.blobs.items()}


def memory_of(net, names):
    """{name: weak reference to what the blob held when its layer was done} after one forward pass."""
    refs = {}

    def look(number):
        for name in net.top_names[list(net.layer_dict)[number]]:
            if name in names:
                refs[name] = weakref.ref(net.blobs[name].tensor)
    net.after_forward(look)
    net.forward()
    return refs


@pytest.mark.parametrize("text", [FROZEN, FIRE])
def test_every_blob_reads_as_if_nothing_had_gone(text):
    net, wanted = filled(text), expected(text)
    net.forward()
    net.backward()
    assert set(net.blobs) == set(wanted)
    for name, blob in net.blobs.items():
        np.testing.assert_array_equal(blob.data, wanted[name], err_msg=name)


@pytest.mark.parametrize("text, frozen", [(FROZEN, ["conv1", "norm1"]), (FIRE, ["conv1", "norm1", "a", "b", "both"])])
def test_what_only_frozen_layers_read_is_freed_after_the_last_of_them(text, frozen):
    net = filled(text)
    refs = memory_of(net, [*frozen, "pool1", "ip", "x"])
    assert [name for name, ref in refs.items() if ref() is None] == frozen


def test_a_net_of_the_test_phase_keeps_all():
    net = net_from_text(FROZEN, phase=caffe.TEST)
    assert all(ref() is not None for ref in memory_of(net, ["conv1", "norm1"]).values())


def test_new_inputs_and_weights_do_not_change_what_the_last_pass_gave():
    net, wanted = filled(FROZEN), expected(FROZEN)
    net.forward()
    net.blobs["x"].data[...] = 5
    net.params["conv1"][0].data[...] = 7
    for name in ("norm1", "conv1"):
        np.testing.assert_array_equal(net.blobs[name].data, wanted[name])


def test_an_input_of_another_shape_waits_for_the_next_pass():
    net, wanted = filled(FROZEN), expected(FROZEN)
    net.forward()
    net.blobs["x"].reshape(1, 3, 12, 16)        # as many numbers: Caffe's blobs keep them
    net.reshape()
    np.testing.assert_array_equal(net.blobs["conv1"].data.ravel(), wanted["conv1"].ravel())


def test_the_precision_of_the_pass_counts():
    net = filled(FROZEN)
    caffe.set_precision("bf16")
    try:
        seen = []
        net.after_forward(lambda number: number == 3 and seen.append(net.blobs["conv1"].tensor.clone()))
        net.forward()
    finally:
        caffe.set_precision("float32")
    np.testing.assert_array_equal(net.blobs["conv1"].data, seen[0].numpy())


def test_what_a_user_wrote_in_the_middle_of_a_pass_stays():
    net = filled(FROZEN)

    def write(number):
        if list(net.layer_dict)[number] == "norm1":
            net.blobs["norm1"].data[...] = 3
    net.after_forward(write)
    net.forward()
    assert (net.blobs["norm1"].data == 3).all() and (net.blobs["pool1"].data == 3).all()


def test_a_pass_that_starts_in_the_middle_reads_what_is_there():
    net, wanted = filled(FROZEN), expected(FROZEN)
    net.forward()
    net.forward(start="norm1")
    np.testing.assert_array_equal(net.blobs["pool1"].data, wanted["pool1"])
    net.blobs["conv1"].data[...] = 0
    net.forward(start="norm1")
    assert not net.blobs["pool1"].data.any() and not net.blobs["conv1"].data.any()


def test_random_layers_and_their_bottoms_stay():
    text = FROZEN.replace('layer { name: "pool1"', 'layer { name: "drop" type: "Dropout" bottom: "norm1" top: "drop" }\n'
                          'layer { name: "pool1"').replace('bottom: "norm1" top: "pool1"', 'bottom: "drop" top: "pool1"')
    net = filled(text)
    refs = memory_of(net, ["conv1", "norm1", "drop"])
    assert refs["drop"]() is not None
    kept = net.blobs["drop"].data != 0
    np.testing.assert_allclose(net.blobs["drop"].data[kept], 2 * net.blobs["norm1"].data[kept], rtol=1e-6)


def test_training_and_all_diffs_are_the_same_whether_blobs_are_read_or_not():
    diffs = []
    for read in (False, True):
        net = filled(FIRE)
        for _ in range(2):
            net.forward()
            if read:
                for blob in net.blobs.values():
                    blob.data.sum()
            net.backward()
        diffs.append(net.params["ip"][0].diff.copy())
    np.testing.assert_array_equal(*diffs)


SOLVER = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 9 iter_size: 2 momentum: 0.9'


def test_after_a_solvers_step_all_data_and_diffs_are_those_of_its_last_pass(tmp_path):
    solver = solver_from_text(FIRE, SOLVER, tmp_path)
    caffe.set_random_seed(1)
    for name in solver.net.inputs:
        solver.net.blobs[name].data[...] = np.random.RandomState(2).randn(*solver.net.blobs[name].shape)
    solver.step(1)
    by_hand = net_from_text(FIRE)
    for name, params in solver.net.params.items():
        for mine, other in zip(by_hand.params[name], params):
            mine.data[...] = other.data
    for name in by_hand.inputs:
        by_hand.blobs[name].data[...] = solver.net.blobs[name].data
    by_hand.forward()
    by_hand.backward()
    solver.net.begin_pass()
    solver.net.forward()
    solver.net.backward()
    for name, blob in solver.net.blobs.items():
        np.testing.assert_array_equal(blob.data, by_hand.blobs[name].data, err_msg=name)
        np.testing.assert_array_equal(blob.diff, by_hand.blobs[name].diff, err_msg=name)


def test_a_pass_of_a_solver_begins_with_the_last_ones_memory_free(tmp_path):
    solver = solver_from_text(FROZEN, SOLVER, tmp_path)
    net, held = solver.net, []
    net.blobs["x"].data[...] = np.random.RandomState(2).randn(*net.blobs["x"].shape)
    net.blobs["t"].data[...] = 1

    def look(number):
        if number == 0 and held:
            seen.append([ref() is None for ref in held])
    seen = []
    net.before_forward(look)
    net.after_backward(lambda number: number == 0 and held.extend(
        weakref.ref(t) for name in ("pool1", "ip") for t in (net.blobs[name].tensor, net.blobs["ip"].diff_tensor)))
    solver.step(1)
    assert seen == [[True] * 4]
    assert net.blobs["loss"].diff == 1 and net.blobs["ip"].diff.any()


class Counts(caffe.Layer):
    """Adds 1 to its top, so it counts on what is there."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1, 2)

    def forward(self, bottom, top):
        top[0].data[...] += 1

    def backward(self, top, propagate_down, bottom):
        pass


def test_data_and_python_layers_keep_their_tops_from_pass_to_pass(tmp_path):
    text = FROZEN.replace('bottom: "t" top: "loss"', 'bottom: "c" top: "loss"').replace('layer { name: "loss"', """
        layer { name: "c" type: "Python" bottom: "t" top: "c" python_param { module: "%s" layer: "Counts" } }
        layer { name: "loss\"""" % __name__)
    solver = solver_from_text(text, SOLVER, tmp_path)
    solver.net.blobs["x"].data[...] = 4
    solver.step(3)
    assert (solver.net.blobs["x"].data == 4).all() and (solver.net.blobs["c"].data == 6).all()


READONLY_ROIS = """
name: "readonly"
input: "x" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }  input: "rois" input_shape { dim: 30 dim: 5 }
input: "t" input_shape { dim: 30 dim: 2 }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "pool_readonly" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool_readonly"
  propagate_down: false propagate_down: false roi_pooling_param { pooled_w: 3 pooled_h: 3 spatial_scale: 1 } }
layer { name: "ip_readonly" type: "InnerProduct" bottom: "pool_readonly" top: "ip_readonly" propagate_down: false
  param { name: "w" } param { name: "b" } inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "quiet" type: "Silence" bottom: "ip_readonly" }
layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_w: 3 pooled_h: 3 spatial_scale: 1 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" param { name: "w" lr_mult: 1 } param { name: "b" lr_mult: 1 }
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""


def test_read_only_rois_are_pooled_again_with_the_features_and_rois_of_the_pass():
    net = filled(READONLY_ROIS)
    net.blobs["rois"].data[...] = np.random.RandomState(1).randint(0, 4, (30, 5)) * [0, 1, 1, 2, 2]
    refs = memory_of(net, ["pool_readonly", "pool"])
    assert refs["pool_readonly"]() is None and refs["pool"]() is not None
    pooled = net.blobs["pool"].data.copy()
    for name in ("conv", "rois"):
        net.blobs[name].data[...] = 0
    assert pooled.any()
    np.testing.assert_array_equal(net.blobs["pool_readonly"].data, pooled)
