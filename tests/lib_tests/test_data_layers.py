"""RoIDataLayer and OHEMDataLayer as layers of a net."""
import os
import re
from types import SimpleNamespace

import caffe
import numpy as np
import pytest
from roi_data_layer.layer import OHEMDataLayer, RoIDataLayer
from roi_data_layer.roidb import add_bbox_regression_targets
from roi_data_layer.sampler import ImageSampler
from support.nets import net_from_text
from support.reference import lib_case
from support.roidbs import random_entries
from support.settings import settings
from training.mining_stats import MiningStats
from utils.errors import UserError

BOX_ARRAYS = ("bbox_targets", "bbox_inside_weights", "bbox_outside_weights")
SMALL = {"TRAIN.SCALES": (48,), "TRAIN.MAX_SIZE": 96, "TRAIN.BATCH_SIZE": 8, "TRAIN.IMS_PER_BATCH": 2,
         "TRAIN.BG_THRESH_LO": 0.0}
OHEM = {**SMALL, "TRAIN.USE_OHEM": True}


def python_layer(class_name, bottoms, tops, param_str):
    return 'layer { name: "it" type: "Python" %s %s python_param { module: "roi_data_layer.layer" layer: "%s" param_str: "%s" } }' % (
        " ".join('bottom: "%s"' % name for name in bottoms), " ".join('top: "%s"' % name for name in tops), class_name, param_str)


def data_net(box_regression=True, param_str="'num_classes': 3"):
    return net_from_text(python_layer("RoIDataLayer", (), ("data", "rois", "labels") + BOX_ARRAYS * box_regression, param_str))


def ohem_net(arrays, box_regression=True):
    """A net of inputs shaped as `arrays` {name: array} in the layer's order, and the mining layer."""
    inputs = "".join('layer { name: "%s" type: "Input" top: "%s" input_param { shape { %s } } } ' % (
        name, name, " ".join("dim: %d" % d for d in array.shape)) for name, array in arrays.items())
    tops = [name + "_hard" for name in ("rois", "labels") + BOX_ARRAYS * box_regression]
    return net_from_text(inputs + python_layer("OHEMDataLayer", arrays, tops, "'num_classes': 21"))


def mine(case, name, use_nms, box_regression):
    names = ("cls_prob", "bbox_pred", "rois", "labels") + BOX_ARRAYS * box_regression
    arrays = {part: case["%s.%s" % (name, part)] for part in names}
    with settings({"TRAIN.BATCH_SIZE": int(case[name + ".BATCH_SIZE"]), "TRAIN.OHEM_USE_NMS": use_nms,
                   "TRAIN.BBOX_REG": box_regression}):
        net = ohem_net(arrays, box_regression)
        tops = net.forward(**arrays)
    return {key: top.copy() for key, top in tops.items()}


def in_fixed_order(arrays):
    """The rows of all arrays sorted by RoI: rows of zero probability tie, and the recorded sort is unstable."""
    order = np.lexsort(arrays["rois_hard"].T)
    return {key: array[order] for key, array in arrays.items()}


@pytest.mark.parametrize("use_nms", [True, False])
@pytest.mark.parametrize("name, has_ties", [("r50", True), ("r40x2", True), ("r2000", False), ("r1200x2", False)])
def test_mining_layer_gives_the_originals_tops(name, has_ties, use_nms):
    case = lib_case("c5_layer.npz")
    hard = case["%s.hard_%s" % (name, "nms" if use_nms else "nonms")]
    want = {key + "_hard": case["%s.%s" % (name, key)][hard] for key in ("rois", "labels") + BOX_ARRAYS}
    tops = mine(case, name, use_nms, True)
    assert tops.keys() == want.keys()
    if has_ties:
        tops, want = in_fixed_order(tops), in_fixed_order(want)
    for key in want:
        assert np.array_equal(tops[key], want[key])


@pytest.mark.parametrize("use_nms", [True, False])
def test_mining_layer_without_box_regression(use_nms):
    case = lib_case("c5_layer.npz")
    tops = in_fixed_order(mine(case, "r30cls", use_nms, False))
    suffix = "_nms" if use_nms else "_nonms"
    want = in_fixed_order({key: case["r30cls.%s%s" % (key, suffix)] for key in ("rois_hard", "labels_hard")})
    assert tops.keys() == want.keys() and all(np.array_equal(tops[key], want[key]) for key in want)


@pytest.mark.parametrize("k", range(5))
def test_image_order_of_the_first_epoch(k):
    """Mended: the original reshuffles before it has used the last image(s) of a permutation, so the recorded batches are
    ours up to there; from then on the two streams differ on purpose."""
    case = lib_case("c4_order.npz")
    wh, batches = case["order%d.wh" % k], case["order%d.batches" % k]
    ims = int(case["order%d.IMS_PER_BATCH" % k])
    with settings({"TRAIN.IMS_PER_BATCH": ims, "TRAIN.ASPECT_GROUPING": bool(case["order%d.ASPECT_GROUPING" % k])}):
        layer = RoIDataLayer.__new__(RoIDataLayer)
        np.random.seed(case["order%d.seed" % k])
        layer.set_roidb([{"width": int(w), "height": int(h)} for w, h in wh])
        ours = [layer._get_next_minibatch_inds().tolist() for _ in range(-(-len(wh) // ims))]
    in_epoch = (len(wh) - 1) // ims
    assert ours[:in_epoch] == batches[:in_epoch].tolist()
    assert sum(ours, []) == case["order%d.first_perm" % k].tolist()


@pytest.mark.parametrize("grouping", [False, True])
@pytest.mark.parametrize("ims", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 7, 10])
def test_every_image_is_used_once_an_epoch(count, ims, grouping):
    """Mended: the original drops the end of each permutation, and fails on odd counts with ASPECT_GROUPING."""
    sizes = [(40, 30), (30, 40), (30, 30)]
    with settings({"TRAIN.IMS_PER_BATCH": ims, "TRAIN.ASPECT_GROUPING": grouping}):
        layer = RoIDataLayer.__new__(RoIDataLayer)
        layer.set_roidb([dict(zip(("width", "height"), sizes[n % 3])) for n in range(count)])
        for _ in range(3):
            epoch = [layer._get_next_minibatch_inds().tolist() for _ in range(-(-count // ims))]
            assert sorted(sum(epoch, [])) == list(range(count))


def test_grouped_minibatches_are_all_wide_or_all_tall():
    with settings({"TRAIN.IMS_PER_BATCH": 2, "TRAIN.ASPECT_GROUPING": True}):
        layer = RoIDataLayer.__new__(RoIDataLayer)
        layer.set_roidb([{"width": 40, "height": 30 + 20 * (n % 2)} for n in range(12)])
        assert all(len(set(layer._get_next_minibatch_inds() % 2)) == 1 for _ in range(6))


def test_a_sampler_continues_from_its_state():
    sizes = [{"width": 4, "height": 3}] * 9
    sampler, other = ImageSampler(sizes, 2, False), ImageSampler(sizes, 2, False)
    sampler.next_inds()
    sampler.rng.rand()
    other.set_state(sampler.state())
    for _ in range(8):
        assert np.array_equal(sampler.next_inds(), other.next_inds())
        assert sampler.rng.rand() == other.rng.rand()
    with pytest.raises(UserError, match="of 9 images, this one has 5"):
        ImageSampler(sizes[:5], 2, False).set_state(sampler.state())


@pytest.fixture
def roidb(tmp_path):
    entries = random_entries(tmp_path, 3)
    add_bbox_regression_targets(entries)
    return entries


RPN = {**SMALL, "TRAIN.IMS_PER_BATCH": 1, "TRAIN.HAS_RPN": True}


def rpn_net():
    return net_from_text(python_layer("RoIDataLayer", (), ("data", "im_info", "gt_boxes"), "'num_classes': 3"))


def test_data_layer_of_a_net_with_an_rpn(roidb):
    with settings(RPN):
        net = rpn_net()
        assert tuple(net.blobs["im_info"].shape) == (1, 3) and tuple(net.blobs["gt_boxes"].shape) == (1, 5)
        net.layers[0].set_roidb(roidb)
        net.forward()
        assert net.blobs["im_info"].data[0, :2].tolist() == list(net.blobs["data"].shape[2:])
        assert tuple(net.blobs["gt_boxes"].shape) == (1, 5)


@pytest.mark.parametrize("changes, make_net", [(SMALL, data_net), (OHEM, data_net), (RPN, rpn_net)])
def test_prefetched_minibatches_are_the_same(roidb, changes, make_net):
    """Over several epochs, with scales to draw, whatever else draws from numpy's global generator in between."""
    runs = []
    for prefetch in (False, True):
        with settings({**changes, "TRAIN.SCALES": (32, 40, 48), "TRAIN.USE_PREFETCH": prefetch}):
            np.random.seed(8)
            net = make_net()
            net.layers[0].set_roidb(roidb)
            runs.append([])
            for _ in range(9):
                net.forward()
                runs[-1].append({name: blob.data.copy() for name, blob in net.blobs.items()})
                np.random.rand(3 * prefetch)
    for plain, ahead in zip(*runs):
        assert all(np.array_equal(plain[name], ahead[name]) for name in plain)
    assert len({minibatch["data"].tobytes() for minibatch in runs[0]}) > 5


@pytest.mark.parametrize("before, after", [(False, True), (True, False), (True, True)])
def test_the_state_counts_what_was_given_not_what_was_made(roidb, before, after):
    with settings({**SMALL, "TRAIN.USE_PREFETCH": before}):
        net = data_net()
        net.layers[0].set_roidb(roidb)
        for _ in range(3):
            net.forward()
        state = net.layers[0].sampler_state()
        net.forward()
        want = {name: blob.data.copy() for name, blob in net.blobs.items()}
    with settings({**SMALL, "TRAIN.USE_PREFETCH": after}):
        np.random.rand()
        other = data_net()
        other.layers[0].set_roidb(roidb)
        other.forward()
        other.layers[0].set_sampler_state(state)
        other.forward()
    assert all(np.array_equal(want[name], other.blobs[name].data) for name in want)


@pytest.mark.parametrize("prefetch", [False, True])
def test_an_image_that_is_gone_is_named_when_its_minibatch_is_due(roidb, prefetch):
    with settings({**OHEM, "TRAIN.IMS_PER_BATCH": 1, "TRAIN.ASPECT_GROUPING": False, "TRAIN.USE_PREFETCH": prefetch}):
        net = data_net()
        np.random.seed(3)
        net.layers[0].set_roidb(roidb)
        np.random.seed(3)
        third = roidb[np.random.permutation(3)[2]]["image"]
        os.remove(third)
        net.forward()
        net.forward()
        with pytest.raises(UserError, match=re.escape("image %s cannot be read" % third)):
            net.forward()


@pytest.mark.parametrize("changes, rois", [(SMALL, [8, 8]), (OHEM, [82, 41])])
def test_data_layer_in_a_net(roidb, changes, rois):
    """3 images in pairs: the second minibatch of the epoch has the one that is left."""
    with settings(changes):
        net = data_net()
        net.layers[0].set_roidb(roidb)
        for count, images in zip(rois, (2, 1)):
            net.forward()
            assert net.blobs["data"].shape[:2] == (images, 3)
            assert {name: tuple(net.blobs[name].shape) for name in ("rois", "labels") + BOX_ARRAYS} == {
                "rois": (count, 5), "labels": (count,), **dict.fromkeys(BOX_ARRAYS, (count, 12))}


def test_ground_truth_among_the_hard_is_counted(roidb):
    """The data layer tells which RoIs are ground truth, the mining layer which it chose."""
    with settings({**OHEM, "TRAIN.IMS_PER_BATCH": 1, "TRAIN.BATCH_SIZE": 50, "TRAIN.OHEM_USE_NMS": False}):
        net = data_net()
        data_layer = net.layers[0]
        data_layer.set_roidb(roidb)
        start = data_layer.sampler_state()
        net.forward()
        blobs = {name: net.blobs[name].data.copy() for name in ("rois", "labels") + BOX_ARRAYS}
        count = len(blobs["rois"])
        arrays = {"cls_prob": np.full((count, 21), 1 / 21, np.float32),
                  "bbox_pred": np.zeros((count, 12), np.float32), **blobs}
        mining_net = ohem_net(arrays)
        stats = MiningStats(SimpleNamespace(layers=[data_layer, *mining_net.layers]))
        data_layer.set_sampler_state(start)
        net.forward()
        mining_net.forward(**arrays)
    stats.add_iteration()
    found = stats.take()
    assert found["hard_gt"] == 1 and found["hard_fg"] == (blobs["labels"] > 0).sum()
    assert found["mean_loss_all"] == pytest.approx(found["mean_loss_hard"])
    assert found["mean_loss_all"] > np.log(21)


def test_layers_keep_nothing_of_passes_that_nobody_asks_for(roidb):
    with settings(OHEM):
        net = data_net()
        net.layers[0].set_roidb(roidb)
        net.forward()
        assert net.layers[0].gt_rois is None and OHEMDataLayer.mined is None
        stats = MiningStats(net)                # of a net that does not mine
        net.forward()
    stats.add_iteration()
    assert net.layers[0].gt_rois is None and stats.take() == {}


@pytest.mark.parametrize("text", ["'num_classes': 3", "{'num_classes': 3}", '{\\"num_classes\\": 3}', "num_classes: 3"])
def test_param_str_in_all_its_forms(text):
    with settings(SMALL):
        assert data_net(param_str=text).blobs["bbox_targets"].shape[1] == 12


def test_param_str_of_older_pycaffe():
    layer = OHEMDataLayer.__new__(OHEMDataLayer)
    layer.param_str_ = "'num_classes': 3"
    bottom, top = ([caffe.Blob(1) for _ in range(n)] for n in (7, 5))
    layer.setup(bottom, top)
    assert top[2].shape == (1, 12)


@pytest.mark.parametrize("text", ["", "'classes': 3", "{"])
def test_param_str_without_class_count_is_the_users_error(text):
    with settings(SMALL), pytest.raises(UserError, match="param_str must be like 'num_classes': 21"):
        data_net(param_str=text)


@pytest.mark.parametrize("value", ["0", "'many'", "2.5"])
def test_a_class_count_without_a_class_is_refused(value):
    with settings(SMALL), pytest.raises(UserError, match=f"num_classes in param_str is {value}; expected 2 or more"):
        data_net(param_str=f"'num_classes': {value}")


@pytest.mark.parametrize("box_regression", [True, False])
def test_tops_that_do_not_fit_the_settings_are_refused(box_regression):
    with settings({**SMALL, "TRAIN.BBOX_REG": box_regression}):
        with pytest.raises(UserError, match="RoIDataLayer has %d tops, expected %d" % ((3, 6) if box_regression else (6, 3))):
            data_net(not box_regression)
