"""Numbers that are not finite end a test or a training with the first blob, and the image, that has them."""
import json

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from support.error_line import assert_error
from support.reference import ROOT
from support.weights import write_random_weights


def damage(caffemodel, layer, value=float("nan")):
    """Write `value` into a weight of a layer."""
    net = caffe_pb2.NetParameter.FromString(caffemodel.read_bytes())
    next(entry for entry in net.layer if entry.name == layer).blobs[0].data[1] = value
    caffemodel.write_bytes(net.SerializeToString())


@pytest.fixture
def test_net(run, prototxt, weights, voc_folder, exp_dir):
    return lambda *flags: run("test_net.py", "--gpu", "cpu", "--def", prototxt, "--net", weights, "--imdb",
                              "voc:%s@test" % voc_folder, *flags, "--set", "EXP_DIR", exp_dir, "TEST.SCALES", "[90]")


@pytest.mark.parametrize("layer, value", [("conv1", "nan"), ("conv2", "inf"), ("fc6", "nan"), ("cls_score", "nan"),
                                          ("bbox_pred", "nan")])
def test_a_damaged_weight_stops_a_test(test_net, weights, layer, value):
    damage(weights, layer, float(value))
    result = test_net()
    assert_error(result, "b000.jpg", "layer %s has weights" % layer, "blob %s of layer %s is the first" % (layer, layer))
    assert "Mean AP" not in result.stdout


def test_a_damaged_weight_stops_the_demo(run, prototxt, weights, voc_folder, tmp_path):
    damage(weights, "fc7")
    (tmp_path / "run.json").write_text(json.dumps({"prefix": "net", "classes": ["__background__", "ball", "cup"], "config": {
        "PIXEL_MEANS": [[[1, 2, 3]]], "TEST": {"SCALES": [90], "MAX_SIZE": 200}}}))
    result = run("demo.py", "--cpu", "--def", prototxt, "--model", weights, "--out", tmp_path / "out",
                 voc_folder / "JPEGImages" / "b001.jpg")
    assert_error(result, "b001.jpg", "blob fc7 of layer fc7 is the first that is not finite")


def test_a_damaged_weight_stops_the_training_of_svms(run, prototxt, weights, voc_folder):
    damage(weights, "fc6")
    result = run("train_svms.py", "--gpu", "cpu", "--def", prototxt, "--net", weights, "--imdb",
                 "voc:%s@trainval" % voc_folder, "--set", "TEST.SCALES", "[90]")
    assert_error(result, ".jpg", "blob fc6 of layer fc6")


@pytest.mark.parametrize("flags", [
    ["export.py", "--to", "torch", "--out", "out.pth"],
    ["compress_net.py", "--gpu", "cpu", "--def-svd", "svd.prototxt", "--ranks", "fc6=4"]])
def test_a_damaged_weight_stops_what_makes_another_net_of_it(run, prototxt, weights, tmp_path, flags):
    damage(weights, "fc6")
    before = sorted(tmp_path.iterdir())
    flags = [tmp_path / word if "." in word and word != flags[0] else word for word in flags]
    result = run(*flags, "--def", prototxt, "--net", weights)
    assert_error(result, str(weights), "layer fc6 has weights that are not finite")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("layer, blob", [("conv1", "conv1"), ("rpn_cls_score", "rpn_cls_score"), ("rpn_bbox_pred", "rpn_bbox_pred")])
def test_a_damaged_weight_stops_the_making_of_proposals(run, voc_folder, tmp_path, layer, blob):
    prototxt = ROOT / "models" / "digits" / "DigitNet" / "faster_rcnn_alt_opt" / "rpn_test.pt"
    model = write_random_weights(prototxt, tmp_path / "rpn.caffemodel")
    damage(model, layer)
    result = run("rpn_generate.py", "--gpu", "cpu", "--def", prototxt, "--net", model, "--imdb", "voc:%s@test" % voc_folder,
                 "--out", tmp_path / "p.npz", "--cfg", "experiments/cfgs/DigitNet.yml", "--set", "TEST.SCALES", "[90]")
    assert_error(result, "b000.jpg", "blob %s of layer" % blob)
    assert not (tmp_path / "p.npz").exists()


def test_training_on_a_damaged_weight_names_file_and_layer(train, weights):
    damage(weights, "fc6")
    assert_error(train(method="fast_rcnn", weights=weights), str(weights), "layer fc6 has weights that are not finite")


def test_scoring_detections_that_are_not_numbers_names_image_and_class(run, voc_folder, tmp_path):
    rows = np.array([[1, 1, 5, 5, 30, 30, 0.9], [2, 2, 5, 5, 30, 30, np.nan]], np.float32)
    np.savez(tmp_path / "detections.npz", rows=rows, image_ids=["b000", "b001", "b002"], classes=["__background__", "ball", "cup"])
    result = run("reval.py", tmp_path, "--imdb", "voc:%s@test" % voc_folder)
    assert_error(result, "detections.npz", "class cup", "image b002")


@pytest.mark.parametrize("tool, flag, value", [
    ("test_net.py", "--det_thresh", "nan"), ("test_net.py", "--num_dets", "-1"), ("train_net.py", "--iters", "-5"),
    ("demo.py", "--thresh", "nan"), ("eval_recall.py", "--limit", "-1"), ("export.py", "--num_rois", "0"),
    ("export.py", "--tolerance", "nan"), ("compress_net.py", "--num_rois", "-1"), ("report.py", "--images", "-1")])
def test_a_flag_that_means_nothing_is_refused(run, tool, flag, value):
    result = run(tool, flag, value)
    said = result.stderr.splitlines()[-1]
    assert result.returncode == 2 and "argument %s: expected" % flag in said and value in said, result.stderr
