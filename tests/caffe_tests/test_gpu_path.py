"""What the runtime does for a GPU, tried without one.

Numbers: every layer takes the way it takes for tensors on a GPU (Triton's kernels under its interpreter).
Waiting: every layer and a solver's step run on PyTorch's "meta" device, whose tensors hold no numbers, so that whatever
would have to wait for a GPU's numbers (.item(), bool(), nonzero(), .cpu()) raises.
"""
import os
import subprocess
import sys
from pathlib import Path

import caffe
import numpy as np
import pytest
import torch
from caffe import common
from caffe.kernels.rounding import keep_rounded, rounded
from caffe.kernels.update.fused import FusedUpdate
from support import triton_kernels  # (before the kernels are imported)
from support.layer_cases import ALL, CASES, IDS, NO_GRADIENT, make_case, run_layer
from support.nets import solver_from_text
from support.ohem_step import assert_same_step, ohem_step
from support.one_layer import TEST, TRAIN
from support.settings import settings
from support.tiny_net import write_tiny_net
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@pytest.fixture
def as_on_gpu(monkeypatch):
    """All tensors, on the CPU as they are, count as lying on a GPU."""
    if not triton_kernels.INTERPRETED:
        pytest.skip("the kernels are compiled here, not interpreted: tests/gpu tries the layers on the GPU itself")
    triton_kernels.count_as_on_gpu(monkeypatch)


class NoMixing(TorchDispatchMode):
    """Refuses what CUDA refuses and "meta" does not: tensors on and off the device in one operation."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor) and x.dim()]
        places = {x.device.type for x in tensors}
        if len(places) > 1 and function not in (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default):
            raise RuntimeError("%s of tensors on %s" % (function, " and ".join(sorted(places))))
        return function(*args, **(kwargs or {}))


class NoKernel:
    """In the place of a Triton kernel: can be launched, does nothing."""

    def __getitem__(self, grid):
        assert all(isinstance(size, int) for size in grid)
        return lambda *args, **constants: None


@pytest.fixture
def meta(monkeypatch):
    """The current device has no numbers."""
    from caffe.kernels.roi import psroi_pooling_triton, roi_pooling_triton
    from caffe.kernels.update import fused_triton
    triton_kernels.count_as_on_gpu(monkeypatch)
    monkeypatch.setattr(fused_triton, "_update", NoKernel())
    for kernels in (psroi_pooling_triton, roi_pooling_triton):
        monkeypatch.setattr(kernels, "_forward", NoKernel())
        monkeypatch.setattr(kernels, "_backward", NoKernel())
    monkeypatch.setattr(common._State, "device", torch.device("meta"))
    monkeypatch.setattr(common, "generator", lambda: None)
    monkeypatch.setattr(common, "native_bf16", lambda: True)        # as on every GPU
    with NoMixing():
        yield


def test_the_cases_are_of_all_layer_types():
    assert set(CASES) | {"Python"} == set(caffe.layer_type_list())


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_the_way_on_a_gpu_has_the_numbers_of_the_cpu(case, request):
    want = run_layer(*case)
    request.getfixturevalue("as_on_gpu")
    for got, expected in zip(run_layer(*case), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


WAITS = "Filter"        # the shape of its tops follows from the selector's numbers


@pytest.mark.parametrize("case", [case for case in ALL if case[0] != WAITS], ids=[i for i in IDS if WAITS not in i])
def test_no_layer_waits_for_numbers(case, meta):
    kind, text, bottoms, tops = case
    for phase, needs_backward in ((TRAIN, True), (TEST, True), (TRAIN, False)):
        layer, bottom, top = make_case(kind, text, bottoms, tops, phase)
        layer.needs_backward = needs_backward
        layer.forward(bottom, top)
        assert all(t.tensor.device.type == "meta" and t.tensor.shape == t.shape for t in top)
        if kind in NO_GRADIENT or not needs_backward:
            continue
        for blob in top:
            blob.diff_tensor = torch.empty(blob.shape, device="meta")
        down = [layer.allow_force_backward(i) for i in range(len(bottom))]
        layer.backward(top, down, bottom)
        assert all(not wanted or b.diff_tensor.shape == b.shape for b, wanted in zip(bottom, down))


def test_a_layer_that_waits_is_caught(meta):
    class Waits(caffe.Layer):
        def function(self, x):
            return x * x.abs().max().item()

    layer = Waits(caffe.proto.caffe_pb2.LayerParameter(name="w"))
    blob = caffe.Blob(2, 3)
    with pytest.raises(RuntimeError, match="meta"):
        layer.forward([blob], [caffe.Blob(2, 3)])


NET = """
layer { name: "in" type: "Input" top: "data" top: "rois" top: "labels" top: "targets" top: "weights"
        input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } shape { dim: 6 dim: 5 } shape { dim: 6 }
                      shape { dim: 6 dim: 8 } shape { dim: 6 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 1 } }
layer { name: "fc6" type: "InnerProduct" bottom: "pool" top: "fc6"
        inner_product_param { num_output: 8 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "drop" type: "Dropout" bottom: "fc6" top: "fc6" }
layer { name: "cls" type: "InnerProduct" bottom: "fc6" top: "cls" inner_product_param { num_output: 2 } }
layer { name: "box" type: "InnerProduct" bottom: "fc6" top: "box" inner_product_param { num_output: 8 } }
layer { name: "loss_cls" type: "SoftmaxWithLoss" bottom: "cls" bottom: "labels" top: "loss_cls" }
layer { name: "loss_box" type: "SmoothL1Loss" bottom: "box" bottom: "targets" bottom: "weights" bottom: "weights"
        top: "loss_box" loss_weight: 1 }
"""


@pytest.mark.parametrize("solver", ["SGD", "Adam", "Nesterov"])
def test_no_training_step_waits_for_numbers(meta, tmp_path, solver):
    text = 'type: "%s" base_lr: 0.1 lr_policy: "fixed" iter_size: 2 clip_gradients: 5 weight_decay: 0.1' % solver
    solver = solver_from_text(NET, text, tmp_path)
    for name in solver.net.inputs:
        blob = solver.net.blobs[name]
        blob.data[...] = np.ones(blob.shape)        # what a data layer does: written on the host, fetched by nobody
    solver.step(3)
    for name in solver.net.inputs:
        solver.net.blobs[name].data[...] = 0
    solver.step(1)
    assert solver.iter == 4


def test_tensors_of_two_devices_are_caught(meta):
    with pytest.raises(RuntimeError, match="aten.add.Tensor of tensors on cpu and meta"):
        torch.zeros(3) + torch.zeros(3, device="meta")


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_solver_that_was_made_for_the_cpu_goes_on_on_the_gpu(tmp_path, kind, request):
    solver = solver_from_text(NET, 'type: "%s" base_lr: 0.1 lr_policy: "fixed"' % kind, tmp_path)
    request.getfixturevalue("meta")
    solver.step(2)
    assert solver.iter == 2


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_no_precision_waits_for_numbers(meta, tmp_path, precision):
    caffe.set_precision(precision)
    try:
        solver_from_text(NET, 'base_lr: 0.1 lr_policy: "fixed"', tmp_path).step(1)
    finally:
        caffe.set_precision("float32")


def test_a_blob_is_fetched_only_to_be_read(meta):
    """On "meta" fetching raises: what was written on the host, or never, can be read there; what a layer made cannot."""
    blob = caffe.Blob(2, 3)
    blob.data[...] = 4
    assert blob.tensor.device.type == "meta" and (blob.data == 4).all()
    blob.reshape(3, 2)
    assert (blob.data == 4).all()
    blob.reshape(7)
    assert not blob.data.any() and not blob.diff.any()
    blob.tensor = torch.ones(7, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        blob.data.sum()


def test_an_ohem_step_on_the_way_of_a_gpu(tmp_path, request):
    prototxt = write_tiny_net(tmp_path) / "fast_rcnn_ohem" / "train.prototxt"
    with settings({"TRAIN.BATCH_SIZE": 8}):
        want = ohem_step(prototxt, 64, 80, 20)
        request.getfixturevalue("as_on_gpu")
        assert_same_step(ohem_step(prototxt, 64, 80, 20), want, tolerance=1e-6)


RATES = 'base_lr: 0.1 momentum: 0.9 lr_policy: "inv" gamma: 0.1 power: 0.5 random_seed: 3 '
SMALL = """
layer { name: "in" type: "DummyData" top: "x" top: "y" dummy_data_param {
        shape { dim: 6 dim: 2 dim: 5 dim: 5 } shape { dim: 6 dim: 3 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" param { lr_mult: 0.5 } param { lr_mult: 0 }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "y" top: "loss" }
"""


@pytest.mark.parametrize("text", ['type: "SGD" weight_decay: 0.05', 'type: "SGD" weight_decay: 0.05 iter_size: 3',
                                  'type: "SGD" weight_decay: 0.05 regularization_type: "L1" clip_gradients: 0.5',
                                  'type: "Nesterov" weight_decay: 0.01 iter_size: 2', 'type: "Nesterov"',
                                  'type: "Adam" momentum2: 0.999'])
def test_updates_on_a_gpu_have_the_numbers_of_the_cpu(text, request, tmp_path):
    def train():
        solver = solver_from_text(SMALL, RATES + text, tmp_path)
        solver.step(4)
        return [array.copy() for blob in solver.net.learnable_params for array in (blob.data, blob.diff)]
    want = train()
    request.getfixturevalue("as_on_gpu")
    for got, expected in zip(train(), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-7)


def test_rounded_weights_follow_every_update_and_write(as_on_gpu, monkeypatch):
    """The bfloat16 copy that products read is made once, is updated with the weights, and never shows old ones.

    The kernels of a convolution and their diffs lie channels last.
    """
    monkeypatch.setattr(common, "native_bf16", lambda: True)
    caffe.set_precision("bf16")
    param = caffe.proto.caffe_pb2.SolverParameter(type="SGD", momentum=0.9, regularization_type="L2")
    try:
        for shape in ((3, 4), (5, 7, 3, 2), (4, 3, 1, 1)):
            weights = torch.randn(shape)
            assert rounded(weights) is not rounded(weights)
            keep_rounded(weights)
            first = rounded(weights)
            assert rounded(weights) is first and torch.equal(first, weights.bfloat16())
            weights.mul_(2)
            assert torch.equal(rounded(weights), weights.bfloat16())
            keep_rounded(weights)
            copy = rounded(weights)
            diff, history, update = torch.randn(shape), torch.zeros(shape), FusedUpdate()
            diff = diff.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else diff
            rows = [(weights, diff, history)]
            assert update.fits(param, rows)
            for _ in range(2):
                step, want = 0.9 * history + 0.5 * diff, weights - (0.9 * history + 0.5 * diff)
                update(param, 0.5, rows, [(1.0, 1.0)])
                torch.testing.assert_close(weights, want)
                torch.testing.assert_close(diff, step)
                assert rounded(weights) is copy and torch.equal(copy, weights.bfloat16())
    finally:
        caffe.set_precision("float32")


WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None        # importing it raises ModuleNotFoundError
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.partition(".")[0] == "triton" else find_spec(name, *rest)
import caffe, torch
from caffe.kernels.roi import psroi_pooling, roi_pooling
from caffe.kernels.update.fused import FusedUpdate
features, rois = torch.randn(1, 8, 6, 6), torch.tensor([[0., 0, 0, 5, 5], [0, 1, 2, 3, 5]])

def run():
    top, argmax = roi_pooling.roi_pooling_forward(features, rois, 2, 2, 1.0)
    maps = psroi_pooling.psroi_pooling_forward(features, rois, 2, 2, 1.0)
    return [top, argmax, roi_pooling.roi_pooling_backward(top, rois, argmax, features.shape, 1.0), maps,
            psroi_pooling.psroi_pooling_backward(maps, rois, features.shape, 1.0)]

want = run()
class OnGpu(torch.Tensor):
    pass
for module in (roi_pooling, psroi_pooling):
    module.on_gpu = lambda tensor: isinstance(tensor, OnGpu)
OnGpu.cpu = lambda self: self.as_subclass(torch.Tensor)
features = features.as_subclass(OnGpu)
as_gpu = [x.as_subclass(OnGpu) for x in want]
got = [*roi_pooling.roi_pooling_forward(features, rois, 2, 2, 1.0),
       roi_pooling.roi_pooling_backward(as_gpu[0], rois, want[1], features.shape, 1.0),
       psroi_pooling.psroi_pooling_forward(features, rois, 2, 2, 1.0),
       psroi_pooling.psroi_pooling_backward(as_gpu[3], rois, features.shape, 1.0)]
assert all(torch.equal(a.as_subclass(torch.Tensor), b) for a, b in zip(got, want, strict=True))
param = caffe.proto.caffe_pb2.SolverParameter(type="SGD", regularization_type="L2")
assert not FusedUpdate().fits(param, [(torch.zeros(2),) * 3])
"""


def test_without_triton_regions_are_pooled_on_the_cpu():
    result = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], text=True, capture_output=True,
                            env={**os.environ, "PYTHONPATH": str(Path(caffe.__file__).parents[1])})
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("Triton is not installed") == 1


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_gpu_without_memory_ends_in_one_line(way, tmp_path, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.54 GiB. GPU 0 has a total capacity of 8 GiB "
                                     "of which 1.5 GiB is free. If reserved but unallocated memory is large try setting X")
    solver = solver_from_text(SMALL, RATES, tmp_path)
    monkeypatch.setattr(solver.net.layers[2], way, full)
    with pytest.raises(caffe.CaffeError, match=r"layer fc \(InnerProduct\): .* %s pass .* Tried to allocate 9.54 GiB"
                                               % way) as e:
        solver.step(1)
    assert "\n" not in str(e.value) and "setting X" not in str(e.value)
