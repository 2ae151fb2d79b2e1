"""RoIs on the same cells are pooled once in layers without backward: blobs and results are as if they were not."""
import caffe
import numpy as np
import pytest
import torch
from caffe import pending
from caffe.kernels.roi.roi_pooling import roi_pooling_distinct, roi_pooling_forward
from caffe.layer_types import inner_product, roi
from support.naive_roi import naive_forward, random_rois
from support.nets import net_from_text
from support.one_layer import make_layer

FEATURES = np.random.default_rng(0).standard_normal((2, 5, 6, 8)).astype(np.float32)
INPUTS = """
layer { name: "in" type: "Input" top: "features" top: "rois"
        input_param { shape { dim: 2 dim: 5 dim: 6 dim: 8 } shape { dim: 12 dim: 5 } } }
"""
HEAD = """
layer { name: "pool" type: "ROIPooling" bottom: "features" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_w: 3 pooled_h: 2 spatial_scale: 0.5 } }
layer { name: "fc6" type: "InnerProduct" bottom: "pool" top: "fc6"
        inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "%(drop6)s" dropout_param { dropout_ratio: 0.5 } }
layer { name: "score" type: "InnerProduct" bottom: "%(drop6)s" top: "score"
        inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "box" type: "InnerProduct" bottom: "%(drop6)s" top: "box"
        inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1 } } }
"""
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 } inner_product_param"


def rois_with_repeats(count=12):
    """RoIs of which the second half falls on the cells of the first, though their corners differ."""
    rois = random_rois(np.random.default_rng(1), count // 2, 2, 16, 12)
    rois[:, 1:] = np.round(rois[:, 1:] / 2) * 2
    return np.vstack([rois, rois + [0, 0.3, -0.3, 0.2, 0.4]])[:count].astype(np.float32)


def frozen_net(phase=caffe.TRAIN, in_place=True):
    """The head without backward."""
    text = HEAD.replace("inner_product_param", FROZEN) % {"drop6": "fc6" if in_place else "drop6"}
    return net_from_text(INPUTS + text, phase)


def run(net, rois):
    """All blobs after forward with seed 5."""
    caffe.set_random_seed(5)
    net.blobs["rois"].reshape(*rois.shape)
    net.forward(features=FEATURES, rois=rois)
    return {name: blob.data.copy() for name, blob in net.blobs.items()}


def without_repeats(net, monkeypatch):
    """Let this net pool every RoI."""
    monkeypatch.setattr("caffe.layer_types.roi.on_gpu", lambda features: True)      # where every RoI is pooled
    return net


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_blobs_are_those_of_a_net_that_pools_every_roi(phase, in_place, monkeypatch):
    net = frozen_net(phase, in_place)
    got = run(net, rois_with_repeats())
    want = run(without_repeats(net, monkeypatch), rois_with_repeats())
    assert got.keys() == want.keys() and want["fc6"].shape == (12, 7) and want["score"].any()
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(got["pool"], naive_forward(FEATURES, rois_with_repeats(), 2, 3, 0.5)[0])


def test_repeated_rows_are_multiplied_once(monkeypatch):
    rows = []

    def counting(multiply):
        return lambda x, *args: rows.append(x.shape[0]) or multiply(x, *args)

    for module, name in ((inner_product, "linear"), (pending, "linear"), (roi, "linear_of_regions")):
        monkeypatch.setattr(module, name, counting(getattr(module, name)))
    run(frozen_net(), rois_with_repeats())
    assert rows[0] <= 6 and rows[1:] == [12, 12]        # dropout draws for every row


def test_blobs_may_be_read_and_written_between_layers():
    net = frozen_net()
    want = run(net, rois_with_repeats())
    caffe.set_random_seed(5)
    net.forward(end="pool")
    assert net.blobs["pool"].shape == net.blobs["pool"].data.shape == (12, 5, 2, 3)
    net.forward(start="fc6", end="relu6")
    assert net.blobs["fc6"].data.shape == (12, 7)
    net.forward(start="drop6")
    np.testing.assert_allclose(net.blobs["score"].data, want["score"], rtol=1e-5, atol=1e-5)
    net.forward(end="pool")
    net.blobs["pool"].data[7] = 0                  # one row of a repeated pair
    net.forward(start="fc6", end="fc6")
    bias = net.params["fc6"][1].data
    np.testing.assert_array_equal(net.blobs["fc6"].data[7], bias)
    assert (net.blobs["fc6"].data[1] != bias).any()


def test_layers_that_learn_see_every_row():
    """A head that trains on features that do not: no backward for the pooling, every row for the weights."""
    text = (HEAD % {"drop6": "fc6"}).replace('top: "score"', 'top: "score" loss_weight: 1')     # a diff of 1
    net = net_from_text(INPUTS + text, caffe.TEST)
    got = run(net, rois_with_repeats())
    net.backward()
    assert not net.layer_dict["pool"].needs_backward
    np.testing.assert_allclose(net.params["score"][0].diff, np.tile(got["fc6"].sum(0), (3, 1)), rtol=1e-5)
    diff = (got["fc6"] > 0) * net.params["score"][0].data.sum(0)
    np.testing.assert_allclose(net.params["fc6"][0].diff, diff.T @ got["pool"].reshape(12, -1), rtol=1e-4, atol=1e-4)


def test_rois_that_change_from_pass_to_pass():
    net = frozen_net(caffe.TEST)
    for rois in (rois_with_repeats(), rois_with_repeats()[:0], rois_with_repeats()[:5], np.repeat(rois_with_repeats(), 3, 0)):
        got = run(net, rois)
        np.testing.assert_array_equal(got["pool"], naive_forward(FEATURES, rois, 2, 3, 0.5)[0])
        assert got["score"].shape == (len(rois), 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distinct_rows(dtype):
    features, rois = torch.from_numpy(FEATURES).to(dtype), torch.from_numpy(rois_with_repeats()).to(dtype)
    top, repeats = roi_pooling_distinct(features, rois, 2, 3, 0.5)
    assert top.shape[0] <= 6 and repeats.shape == (12,)
    assert torch.equal(top.tensor()[repeats], roi_pooling_forward(features, rois, 2, 3, 0.5)[0])
    top, repeats = roi_pooling_distinct(features, rois[:1], 2, 3, 0.5)
    assert repeats is None and top.shape == (1, 5, 2, 3)


def test_a_bad_roi_is_named_by_its_own_row():
    rois = np.vstack([rois_with_repeats(), [[7, 0, 0, 1, 1]]])
    layer, bottom, top = make_layer('type: "ROIPooling" roi_pooling_param { pooled_h: 2 pooled_w: 2 }', [FEATURES, rois])
    layer.needs_backward = False
    with pytest.raises(caffe.CaffeError, match="RoI 12 is"):
        layer.forward(bottom, top)
