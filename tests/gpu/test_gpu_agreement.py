"""On a CUDA device (make test-gpu): every layer, whole OHEM steps and the tools do what they do on the CPU."""
import shutil
import subprocess
import sys
import uuid

import caffe
import numpy as np
import pytest
import torch
from caffe import common
from support.layer_cases import ALL, IDS, make_case, run_layer
from support.ohem_step import assert_same_step, ohem_step
from support.one_layer import TRAIN, make_layer
from support.reference import ROOT
from support.settings import settings
from support.tiny_net import write_tiny_net
from support.voc_folder import make_voc_folder

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device, and this PyTorch (%s) finds none: make test-gpu on a machine that has one"
                % torch.__version__, allow_module_level=True)


CLASSES = ["ball", "cup"]
IMAGES = {"a%d" % i: (120, 90 + i, [("ball", (10, 12, 40, 45)), ("cup", (60, 20, 88, 70))]) for i in range(4)}


@pytest.fixture
def gpu():
    """use(True) switches to the GPU, use(False) to the CPU, where it ends."""
    yield lambda on: caffe.set_mode_gpu() if on else caffe.set_mode_cpu()
    caffe.set_precision("float32")
    caffe.set_mode_cpu()


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_layer(case, gpu):
    want = run_layer(*case)
    gpu(True)
    for got, expected in zip(run_layer(*case), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["ROIPooling", "PSROIPooling"])
def test_pooling_of_regions_is_the_same_to_the_last_bit(kind, gpu):
    case = next(case for case in ALL if case[0] == kind)
    want = run_layer(*case)
    gpu(True)
    for got, expected in zip(run_layer(*case), want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_dropout_drops_and_scales(gpu):
    gpu(True)
    caffe.set_random_seed(3)
    layer, bottom, top = make_layer('type: "Dropout" dropout_param { dropout_ratio: 0.25 }', [np.ones((100, 100))], 1,
                                    TRAIN)
    layer.forward(bottom, top)
    values = top[0].data
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.75)} and abs((values == 0).mean() - 0.25) < 0.02


def test_no_layer_synchronises(gpu):
    """PyTorch's own check, which raises where the program would wait for the GPU."""
    gpu(True)
    for kind, text, bottoms, tops in ALL:
        layer, bottom, top = make_case(kind, text, bottoms, tops, TRAIN)
        assert all(blob.tensor.is_cuda for blob in bottom + layer.blobs)    # sent before, as in a running net
        layer.forward(bottom, top)                                      # compiles kernels
        torch.cuda.set_sync_debug_mode("error")
        try:
            layer.forward(bottom, top)
        except RuntimeError as e:
            pytest.fail("%s: %s" % (kind, e))
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_blob_goes_to_the_gpu_and_back(gpu):
    gpu(True)
    blob = caffe.Blob(2, 3)
    blob.data[...] = np.arange(6).reshape(2, 3)
    assert blob.tensor.is_cuda and blob.tensor.tolist() == [[0, 1, 2], [3, 4, 5]]
    blob.data[...] += 1                                                 # while the first may still be under way
    blob.tensor = blob.tensor * 2
    assert blob.data.tolist() == [[2, 4, 6], [8, 10, 12]]
    gpu(False)
    blob.data[0, 0] = 7
    assert blob.tensor.device.type == "cpu" and blob.tensor[0, 0] == 7


def test_ohem_step_of_a_tiny_net(gpu, tmp_path):
    _same_ohem_step(write_tiny_net(tmp_path) / "fast_rcnn_ohem" / "train.prototxt", 96, 128, 60, 8, gpu)


@pytest.mark.parametrize("net, tolerance", [("VGG_CNN_M_1024", 1e-3), ("VGG16", 3e-3)])
def test_ohem_step_of_a_true_net(gpu, net, tolerance):
    """VGG16's changes in float32 on the CPU are 1.3e-3 from those in float64, so two devices may differ by twice that."""
    path = ROOT / "models" / "pascal_voc" / net / "fast_rcnn_ohem" / "train.prototxt"
    _same_ohem_step(path, 600, 800, 2000, 64, gpu, tolerance)


def _same_ohem_step(prototxt, height, width, rois, batch, gpu, tolerance=1e-3):
    with settings({"TRAIN.BATCH_SIZE": batch}):
        want = ohem_step(prototxt, height, width, rois)
        gpu(True)
        assert_same_step(ohem_step(prototxt, height, width, rois), want, tolerance)


@pytest.mark.parametrize("precision, tolerance", [("tf32", 0.05), ("bf16", 0.2)])
def test_losses_in_low_precision(gpu, tmp_path, precision, tolerance):
    prototxt = write_tiny_net(tmp_path) / "fast_rcnn_ohem" / "train.prototxt"
    with settings({"TRAIN.BATCH_SIZE": 8}):
        want = ohem_step(prototxt, 96, 128, 60)["losses"]
        gpu(True)
        caffe.set_precision(precision)
        got = ohem_step(prototxt, 96, 128, 60)["losses"]
    np.testing.assert_allclose([got[k] for k in want], list(want.values()), rtol=tolerance)


def test_deterministic_steps_are_equal_to_the_last_bit(gpu, tmp_path):
    prototxt = write_tiny_net(tmp_path) / "fast_rcnn_ohem" / "train.prototxt"
    gpu(True)
    caffe.set_deterministic()
    try:
        with settings({"TRAIN.BATCH_SIZE": 8}):
            first, second = (ohem_step(prototxt, 96, 128, 60)["changes"] for _ in range(2))
    finally:
        caffe.set_deterministic(False)
    assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_random_state_continues(gpu):
    gpu(True)
    caffe.set_random_seed(5)
    state = common.random_state()
    drawn = [torch.rand(4, generator=common.generator(), device=common.device()).tolist() for _ in range(2)]
    common.set_random_state(state)
    assert torch.rand(4, generator=common.generator(), device=common.device()).tolist() == drawn[0]


def test_the_tools_train_and_test_on_gpu_0(tmp_path):
    """--gpu 0 from the command line: a training run with OHEM that is resumed, then a test run."""
    folder, exp_dir = make_voc_folder(tmp_path / "things", IMAGES, "trainval", CLASSES), "test_" + uuid.uuid4().hex[:8]
    method = write_tiny_net(tmp_path / "models") / "fast_rcnn_ohem"
    common_flags = ["--gpu", "0", "--imdb", "voc:%s@trainval" % folder, "--cfg", "experiments/cfgs/fast_rcnn_ohem.yml"]
    changes = ["--set", "EXP_DIR", exp_dir, "TRAIN.SCALES", "[90]", "TEST.SCALES", "[90]"]
    try:
        for more in (["--iters", "2"], ["--iters", "4", "--resume", "auto"]):
            _run("train_net.py", "--solver", method / "solver.prototxt", *more, *common_flags, *changes)
        model = ROOT / "output" / exp_dir / "things_trainval" / "tinynet_fast_rcnn_iter_4.caffemodel"
        said = _run("test_net.py", "--def", method / "test.prototxt", "--net", model, *common_flags, *changes)
        assert "Mean AP" in said
    finally:
        shutil.rmtree(ROOT / "output" / exp_dir, ignore_errors=True)


def _run(tool, *args):
    result = subprocess.run([sys.executable, "tools/" + tool, *map(str, args)], cwd=ROOT, text=True, capture_output=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
