"""Net: building, sharing, what runs backward, pycaffe's manners."""
import caffe
import numpy as np
import pytest
from support.nets import net_from_text

SIAMESE = """
name: "siamese" force_backward: true
input: "a" input_shape { dim: 3 dim: 4 }  input: "b" input_shape { dim: 3 dim: 4 }
layer { name: "fa" type: "InnerProduct" bottom: "a" top: "fa" param { name: "w" lr_mult: 1 } param { name: "c" lr_mult: 2 }
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_filler { type: "gaussian" } } }
layer { name: "fb" type: "InnerProduct" bottom: "b" top: "fb" param { name: "w" } param { name: "c" }
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fa" bottom: "fb" top: "loss" }
"""

# The OHEM pattern: a read-only branch owns the shared weights, a Split feeds both branches.
READONLY = """
name: "readonly"
input: "x" input_shape { dim: 4 dim: 3 }  input: "t" input_shape { dim: 4 dim: 2 }
layer { name: "trunk" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "f_readonly" type: "InnerProduct" bottom: "h" top: "f_readonly" propagate_down: false
  param { name: "f_w" } param { name: "f_b" } inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "quiet" type: "Silence" bottom: "f_readonly" }
layer { name: "f" type: "InnerProduct" bottom: "h" top: "f" param { name: "f_w" lr_mult: 3 decay_mult: 1 } param { name: "f_b" lr_mult: 6 decay_mult: 0 }
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "loss" }
"""


def fill(net, seed=0):
    rng = np.random.RandomState(seed)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.randn(*net.blobs[name].shape)


def test_shared_parameters_are_one_blob_and_accumulate_both_gradients():
    net = net_from_text(SIAMESE)
    fill(net)
    net.forward()
    net.backward()
    a, b = net.blobs["a"].data, net.blobs["b"].data
    d = (net.blobs["fa"].data - net.blobs["fb"].data) / 3
    np.testing.assert_allclose(net.params["fa"][0].diff, d.T @ a - d.T @ b, rtol=1e-4, atol=1e-6)
    net.params["fb"][0].data[0, 0] = 7
    assert net.params["fa"][0].data[0, 0] == 7
    assert len(net.learnable_params) == 2


def test_multipliers_of_shared_parameters_first_explicit_value_wins():
    assert net_from_text(READONLY).param_multipliers[2:] == [(3, 1), (6, 0)]
    disagree = SIAMESE.replace('param { name: "w" }', 'param { name: "w" lr_mult: 5 }')
    with pytest.raises(caffe.CaffeError, match=r"layer fb: shared parameter 'w' has lr_mult 5 here but 1 before"):
        net_from_text(disagree)


def test_shared_parameters_of_other_shapes_are_refused():
    with pytest.raises(caffe.CaffeError, match="layer fb: parameter 0 shares 'w' with layer fa"):
        net_from_text(SIAMESE.replace("num_output: 2 }", "num_output: 3 }"))


def test_read_only_branch_never_runs_backward_and_its_diffs_stay_unwritten():
    net = net_from_text(READONLY)
    fill(net)
    net.forward()
    net.backward()
    flags = {layer.name: layer.needs_backward for layer in net.layers}
    assert not flags["f_readonly"] and not flags["quiet"] and flags["f"] and flags["trunk"]
    assert not net.blobs["f_readonly"].has_diff
    d = (net.blobs["f"].data - net.blobs["t"].data) / 4
    np.testing.assert_allclose(net.params["f"][1].diff, d.sum(0), rtol=1e-5)
    np.testing.assert_allclose(net.params["trunk"][1].diff, (d @ net.params["f"][0].data).sum(0), rtol=1e-4)


def test_shared_weights_of_a_read_only_branch_are_saved_once_under_the_trainable_name(tmp_path):
    net = net_from_text(READONLY)
    net.save(tmp_path / "w.caffemodel")
    from caffe.proto import caffe_pb2
    saved = caffe_pb2.NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert {layer.name for layer in saved.layer if layer.blobs} == {"trunk", "f"}
    assert not any(layer.name == "f_readonly" for layer in saved.layer)   # real Caffe would refuse an entry without blobs
    other = net_from_text(READONLY)
    other.copy_from(str(tmp_path / "w.caffemodel"))
    np.testing.assert_array_equal(other.params["f_readonly"][0].data, net.params["f"][0].data)


def test_frozen_layers_below_everything_are_skipped():
    text = READONLY.replace('name: "trunk" type: "InnerProduct" bottom: "x" top: "h"',
                            'name: "trunk" type: "InnerProduct" bottom: "x" top: "h" param { lr_mult: 0 } param { lr_mult: 0 }')
    net = net_from_text(text)
    fill(net)
    net.forward()
    net.backward()
    assert not net.layer_dict["trunk"].needs_backward
    assert not net.params["trunk"][0].has_diff and not net.blobs["h"].has_diff


def test_forward_takes_inputs_ranges_and_extra_blobs():
    net = net_from_text(READONLY)
    x, t = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    out = net.forward(blobs=["h"], x=x, t=t)
    assert set(out) == {"loss", "h"} and out["loss"].shape == ()
    net.blobs["h_trunk_0_split_1"].data[...] = 1
    out = net.forward(start="f", end="f")
    np.testing.assert_allclose(out["f"], np.tile(net.params["f"][0].data.sum(1), (4, 1)), rtol=1e-5)
    with pytest.raises(caffe.CaffeError, match="forward was given .*'x'.*inputs are"):
        net.forward(x=x)
    with pytest.raises(caffe.CaffeError, match="reshape the blob first"):
        net.forward(x=x[:2], t=t)
    with pytest.raises(caffe.CaffeError, match="no layer 'fc9'"):
        net.forward(start="fc9")


def test_reshape_of_an_input_reaches_every_blob():
    net = net_from_text(READONLY)
    net.blobs["x"].reshape(7, 3)
    net.blobs["t"].reshape(7, 2)
    net.reshape()
    assert net.blobs["f"].shape == (7, 2)
    fill(net)
    assert net.forward()["loss"].shape == ()


def test_a_net_filters_by_phase_and_stage(tmp_path):
    text = """input: "x" input_shape { dim: 1 dim: 2 }
      layer { name: "train" type: "ReLU" bottom: "x" top: "y" include { phase: TRAIN } }
      layer { name: "test" type: "ReLU" bottom: "x" top: "y" include { phase: TEST not_stage: "deploy" } }
      layer { name: "deploy" type: "ReLU" bottom: "x" top: "y" include { phase: TEST stage: "deploy" } }"""
    (tmp_path / "n.prototxt").write_text(text)
    path = str(tmp_path / "n.prototxt")
    names = lambda net: [layer.name for layer in net.layers][1:]
    assert names(caffe.Net(path, caffe.TRAIN)) == ["train"]
    assert names(caffe.Net(path, caffe.TEST)) == ["test"]
    assert names(caffe.Net(path, caffe.TEST, stages=["deploy"])) == ["deploy"]
    assert names(caffe.Net(path, caffe.TEST, 0, ["deploy"])) == ["deploy"]      # pycaffe's order
    assert names(caffe.Net(path, caffe.TEST, 0)) == ["test"]
    with pytest.raises(caffe.CaffeError, match="nowhere.caffemodel"):
        caffe.Net(path, caffe.TEST, 0, ["deploy"], "nowhere.caffemodel")
    with pytest.raises(caffe.CaffeError, match="5 arguments after the file; the most are phase, level, stages, weights"):
        caffe.Net(path, caffe.TEST, 0, [], None, None)


@pytest.mark.parametrize("text, message", [
    ('layer { name: "c" type: "Convolutoin" bottom: "x" top: "c" }', "unknown layer type 'Convolutoin' .did you mean Convolution"),
    ('layer { name: "r" type: "ReLU" bottom: "z" top: "r" }', "layer r .ReLU.: unknown bottom blob 'z'"),
    ('layer { name: "r" type: "ReLU" bottom: "x" top: "x2" } layer { name: "s" type: "ReLU" bottom: "x" top: "x2" }',
     "layer s: top blob 'x2' is made by layer r already"),
    ('layer { name: "r" type: "ReLU" bottom: "x" top: "y" top: "z" }', "layer r .ReLU.: expected 1 top blob.s., got 2"),
    ('layer { name: "r" type: "ReLU" bottom: "x" top: "y" propagate_down: true propagate_down: true }',
     "2 propagate_down for 1 bottoms"),
    ('layer { name: "r" type: "ReLU" bottom: "x" top: "y" param { lr_mult: 1 } }', "1 param entries, but the layer has 0"),
    ('layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "no_such_module" layer: "L" } }',
     "no module 'no_such_module'"),
    ('layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "json" layer: "L" } }', "has no class 'L'"),
])
def test_a_wrong_prototxt_gets_one_line_that_names_the_layer(text, message):
    with pytest.raises(caffe.CaffeError, match=message) as e:
        net_from_text('input: "x" input_shape { dim: 1 dim: 2 } ' + text)
    assert "\n" not in str(e.value)


def test_a_syntax_error_names_file_and_line(tmp_path):
    path = tmp_path / "bad.prototxt"
    path.write_text('name: "n"\nlayer { name: "a" tipe: "ReLU" }\n')
    with pytest.raises(caffe.CaffeError, match=r"bad.prototxt:2: not a valid NetParameter: .*tipe"):
        caffe.Net(str(path), caffe.TEST)
    with pytest.raises(caffe.CaffeError, match="cannot read this prototxt: No such file"):
        caffe.Net(str(tmp_path / "none.prototxt"), caffe.TEST)


def test_python_layers_see_phase_and_both_names_of_param_str(tmp_path, monkeypatch):
    (tmp_path / "my_layers_of_test.py").write_text("""
import caffe
class Scale(caffe.Layer):
    def setup(self, bottom, top):
        assert self.param_str == self.param_str_
        assert str(self.phase) == "TEST" and self.phase == 1 and self.phase == caffe.TEST
        self.factor = float(self.param_str)
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data
    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * top[0].diff
""")
    monkeypatch.syspath_prepend(tmp_path)
    net = net_from_text("""input: "x" input_shape { dim: 2 dim: 2 } force_backward: true
        layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: "my_layers_of_test" layer: "Scale" param_str: "3" } }""",
                        caffe.TEST)
    net.blobs["x"].data[...] = [[1, 2], [3, 4]]
    np.testing.assert_array_equal(net.forward()["y"], [[3, 6], [9, 12]])
    np.testing.assert_array_equal(net.backward(y=np.ones((2, 2), np.float32))["x"], 3 * np.ones((2, 2)))
    assert net.layer_dict["p"].type == "Python"


def test_in_place_layers_may_overwrite_only_what_backward_does_not_read():
    net = net_from_text("""input: "x" input_shape { dim: 2 dim: 3 } force_backward: true
        layer { name: "f" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
        layer { name: "r" type: "ReLU" bottom: "y" top: "y" }
        layer { name: "s" type: "Sigmoid" bottom: "y" top: "z" }
        layer { name: "r2" type: "ReLU" bottom: "z" top: "z" }""")
    assert net.layer_dict["r"].may_overwrite and not net.layer_dict["r2"].may_overwrite


def test_share_with_uses_the_other_nets_memory():
    train, test = net_from_text(READONLY), net_from_text(READONLY, caffe.TEST)
    test.share_with(train)
    train.params["trunk"][0].data[...] = 5
    assert (test.params["trunk"][0].data == 5).all()


PARAMETER_LAYER = """
import caffe
class Offset(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(*bottom[0].shape[1:])
        self.blobs[0].data[...] = 1
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + self.blobs[0].data
    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].diff.sum(0)
"""


def test_parameters_of_a_python_layer_learn_and_are_saved(tmp_path, monkeypatch):
    (tmp_path / "offset_layer_of_test.py").write_text(PARAMETER_LAYER)
    monkeypatch.syspath_prepend(tmp_path)
    text = """input: "x" input_shape { dim: 2 dim: 3 } input: "t" input_shape { dim: 2 dim: 3 }
        layer { name: "o" type: "Python" bottom: "x" top: "y" param { lr_mult: 1 }
                python_param { module: "offset_layer_of_test" layer: "Offset" } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }"""
    from support.nets import solver_from_text
    solver = solver_from_text(text, 'base_lr: 0.5 lr_policy: "fixed"', tmp_path)
    solver.step(1)
    np.testing.assert_allclose(solver.net.params["o"][0].data, [0.5, 0.5, 0.5])     # 1 - 0.5 * mean gradient 1
    solver.net.save(tmp_path / "w")
    fresh = net_from_text(text)
    fresh.copy_from(str(tmp_path / "w"))
    np.testing.assert_allclose(fresh.params["o"][0].data, [0.5, 0.5, 0.5])


def test_callbacks_around_each_layer():
    """As pycaffe's: called with the layer's number, in backward for skipped layers too."""
    net = net_from_text("""
        layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }
        layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
        layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }""")
    calls = []
    for when in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, when)(lambda layer, when=when: calls.append((when, layer, bool(net.params["fc"][1].diff.any()))))
    net.forward()
    net.backward()
    assert calls == [(when + "_forward", i, False) for i in range(3) for when in ("before", "after")] + [
        ("before_backward", 2, False), ("after_backward", 2, False), ("before_backward", 1, False),
        ("after_backward", 1, True), ("before_backward", 0, True), ("after_backward", 0, True)]
