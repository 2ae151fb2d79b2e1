"""The published nets, whole: their OHEM train nets train, and their test nets load what was trained.

Small images of a small data set, so that it is quick; the weights have their true sizes. The ImageNet convolutions of
VGG16 are used where this checkout has them beside it.
"""
import caffe
import numpy as np
import pytest
from caffe.util.weight_files import read_weights
from fast_rcnn.prototxt import read_net
from support.reference import ROOT, SHARED

CONV = SHARED / "data" / "imagenet_models" / "VGG16_conv.caffemodel"
# Parameters of the original's nets for 21 classes, counted from layer sizes: shared ones once.
COUNTS = {"VGG16": 14714688 + (25088 * 4096 + 4096) + (4096 * 4096 + 4096) + 105 * (4096 + 1),
          "VGG_CNN_M_1024": (96 * 3 * 49 + 96) + (256 * 96 * 25 + 256) + (512 * 256 * 9 + 512) + 2 * (512 * 512 * 9 + 512)
          + (18432 * 4096 + 4096) + (4096 * 1024 + 1024) + 105 * (1024 + 1)}


def model(net, name):
    return ROOT / "models" / "pascal_voc" / net / "fast_rcnn_ohem" / (name + ".prototxt")


@pytest.mark.parametrize("net", COUNTS)
def test_two_steps_snapshot_and_the_test_net_loads_it(train, exp_dir, net):
    weights = {"weights": CONV} if net == "VGG16" and CONV.exists() else {}
    result = train(solver=model(net, "solver"), **weights)
    assert result.returncode == 0, result.stderr[-2000:]
    if weights:
        assert "Copying source layer conv5_3" in result.stderr
        assert "Layer fc6 is not in" in result.stderr and "(weight_filler gaussian, bias_filler constant 0.1)" in result.stderr
    snapshot, = (ROOT / "output" / exp_dir).glob("*/*_iter_2.caffemodel")
    stored = {name: sum(a.size for a in arrays) for name, _, arrays in read_weights(str(snapshot))}
    outputs = 5 * 3     # the small data set has 3 classes with the background: cls_score 3, bbox_pred 12
    fc7 = 1024 if net == "VGG_CNN_M_1024" else 4096
    assert sum(stored.values()) == COUNTS[net] - (105 - outputs) * (fc7 + 1)
    assert not any(name.endswith("_readonly") for name in stored)
    adapted, = (ROOT / "output" / exp_dir).glob("*/train.prototxt")
    assert read_net(str(adapted)).layer[0].python_param.param_str == "'num_classes': 3"
    detect(net, snapshot)


def detect(net, snapshot):
    """The test net gives a distribution over the classes for each RoI."""
    from fast_rcnn.prototxt import set_num_classes
    test = read_net(str(model(net, "test")))
    set_num_classes(test, 3)
    test = caffe.Net(test, str(snapshot), caffe.TEST)
    rois = np.float32([[0, 5, 5, 60, 70], [0, 30, 10, 100, 80]])
    test.blobs["data"].reshape(1, 3, 90, 120)
    test.blobs["rois"].reshape(2, 5)
    out = test.forward(data=np.random.RandomState(0).randn(1, 3, 90, 120).astype(np.float32) * 50, rois=rois)
    assert out["bbox_pred"].shape == (2, 12)
    np.testing.assert_allclose(out["cls_prob"].sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("net", COUNTS)
def test_the_train_net_has_the_originals_21_classes_and_multipliers(net):
    train_net = caffe.Net(str(model(net, "test")), caffe.TEST)
    assert sum(b.count for b in train_net.learnable_params) == COUNTS[net]
