"""The GPU kernels against naive loops, in the cases of the CPU kernels, and that they compile for GPUs.

Without a GPU they run under Triton's interpreter, which shows their numbers, not their speed.
"""
import math
import os
import subprocess
import sys
from pathlib import Path

import caffe
import numpy as np
import pytest
import torch
from caffe.kernels.roi import psroi_pooling
from support import naive_psroi, naive_roi
from support.triton_kernels import DEVICE

from caffe.kernels.roi import roi_pooling_triton  # isort: skip  (after the choice of the interpreter)


def on_device(array):
    return torch.from_numpy(np.ascontiguousarray(array)).to(DEVICE)


def equal(tensor, array):
    np.testing.assert_array_equal(tensor.float().cpu().numpy() if tensor.dtype == torch.bfloat16
                                  else tensor.cpu().numpy(), array)


# ---- RoI max pooling

def agree(features, rois, pooled_h, pooled_w, scale):
    """Kernel and loops agree on forward with and without argmax, and on backward; returns the top."""
    rois = rois.astype(features.dtype)
    want, want_argmax = naive_roi.naive_forward(features, rois, pooled_h, pooled_w, scale)
    args = on_device(features), on_device(rois), pooled_h, pooled_w, scale
    top, argmax = roi_pooling_triton.forward(*args, with_argmax=True)
    equal(top, want)
    equal(argmax, want_argmax)
    only_top, none = roi_pooling_triton.forward(*args, with_argmax=False)
    equal(only_top, want)
    assert none is None
    top_diff = np.random.default_rng(3).standard_normal(want.shape).astype(features.dtype)
    diff = roi_pooling_triton.backward(on_device(top_diff), args[1], argmax, features.shape, scale)
    equal(diff, naive_roi.naive_backward(top_diff, rois, want_argmax, features.shape))
    return want


@pytest.mark.parametrize("dtype, channels", [(np.float32, 1), (np.float32, 70), (np.float64, 3)])
def test_max_pooling_agrees_with_loops(dtype, channels):
    rng = np.random.default_rng(channels)
    features = rng.standard_normal((2, channels, 4, 5)).astype(dtype)
    agree(features, naive_roi.random_rois(rng, 6, 2, 5 * 16, 4 * 16), 3, 2, 1 / 16)


def test_max_pooling_in_blocks_of_channels(monkeypatch):
    monkeypatch.setattr(roi_pooling_triton, "_CHANNELS", 4)
    rng = np.random.default_rng(1)
    features = rng.standard_normal((1, 6, 3, 4)).astype(np.float32)
    agree(features, naive_roi.random_rois(rng, 3, 1, 4, 3), 2, 2, 1)


@pytest.mark.parametrize("scale", [1 / 16, 0.3])
def test_max_pooling_of_small_maps_into_many_bins(scale):
    rng = np.random.default_rng(5)
    features = rng.standard_normal((1, 2, 4, 3)).astype(np.float32)
    agree(features, naive_roi.random_rois(rng, 5, 1, 3 / scale, 4 / scale), 5, 4, scale)


def test_max_pooling_ties_go_to_the_first_cell():
    features = np.random.default_rng(0).integers(0, 2, (1, 5, 4, 4)).astype(np.float32)
    agree(features, np.array([[0, 0, 0, 3, 3], [0, 1, 1, 3, 2]]), 2, 2, 1)


@pytest.mark.parametrize("dtype, reaching_over", [(np.float32, [57]), (np.float64, [58])])
def test_max_pooling_bin_edges_have_the_rounding_of_their_number_type(dtype, reaching_over):
    features = np.arange(64, dtype=dtype).reshape(1, 1, 1, 64)
    sizes = np.arange(57, 59)
    rois = np.zeros((len(sizes), 5))
    rois[:, 3] = sizes - 1
    top = agree(features, rois, 1, 7, 1)
    assert sizes[top[:, 0, 0, -1] == sizes].tolist() == reaching_over


def test_max_pooling_outside_the_image_and_inverted():
    features = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4) - 20
    agree(features, np.array([[0, 2, 1, 2, 1], [0, 100, 100, 120, 120], [0, -50, -50, -40, -40], [0, 3, 2, 1, 0]]),
          2, 2, 1)


def test_max_pooling_passes_over_nan_as_the_cpu_kernel():
    features = np.array([[math.nan, 1, 3, math.nan]], np.float32).reshape(1, 1, 1, 4)
    agree(features, np.array([[0, 0, 0, 3, 0], [0, 1, 0, 2, 0]]), 1, 1, 1)


def test_max_pooling_of_no_rois():
    features, rois = torch.randn(2, 8, 5, 6, device=DEVICE), torch.zeros(0, 5, device=DEVICE)
    top, argmax = roi_pooling_triton.forward(features, rois, 3, 3, 0.5, True)
    assert top.shape == argmax.shape == (0, 8, 3, 3)
    diff = roi_pooling_triton.backward(top, rois, argmax, features.shape, 0.5)
    assert diff.shape == features.shape and not diff.any()


def test_max_pooling_in_bfloat16_sums_in_float32():
    rng = np.random.default_rng(4)
    features = on_device(rng.standard_normal((1, 3, 3, 3)).astype(np.float32)).bfloat16()
    rois = naive_roi.random_rois(rng, 6, 1, 3, 3).astype(np.float32)
    want, where = naive_roi.naive_forward(features.float().cpu().numpy(), rois, 2, 2, 1)
    top, argmax = roi_pooling_triton.forward(features, on_device(rois), 2, 2, 1, True)
    assert top.dtype == torch.bfloat16
    equal(top, want)
    equal(argmax, where)
    top_diff = on_device(rng.standard_normal(want.shape).astype(np.float32)).bfloat16()
    diff = roi_pooling_triton.backward(top_diff, on_device(rois), argmax, features.shape, 1)
    sums = naive_roi.naive_backward(top_diff.float().cpu().numpy(), rois, where, features.shape)
    equal(diff, torch.from_numpy(sums).bfloat16().float().numpy())


BAD = [[2, 0, 0, 3, 3], [-1, 0, 0, 3, 3], [0, math.nan, 0, 3, 3], [0, 0, 0, math.inf, 3], [0, 0, 0, 1e9, 3]]


def test_max_pooling_of_a_bad_roi_is_nan():
    rois = torch.tensor([[0., 0, 0, 3, 3], *BAD, [1, 0, 0, 3, 3]], device=DEVICE)
    features = torch.ones(2, 2, 4, 4, device=DEVICE)
    top, argmax = roi_pooling_triton.forward(features, rois, 2, 2, 1, True)
    assert top[1:-1].isnan().all() and (top[[0, -1]] == 1).all() and (argmax[1:-1] == -1).all()
    assert roi_pooling_triton.backward(top, rois, argmax, features.shape, 1).isfinite().all()


# ---- position-sensitive average pooling, through its front as on a GPU

@pytest.fixture
def gpu_front(monkeypatch):
    monkeypatch.setattr(psroi_pooling, "on_gpu", lambda tensor: True)


@pytest.mark.parametrize("output_dim, group, scale, dtype", [(1, 1, 0.0625, np.float32), (5, 2, 0.3, np.float32),
                                                             (2, 3, 0.125, np.float64)])
def test_psroi_agrees_with_loops(gpu_front, output_dim, group, scale, dtype):
    rng = np.random.default_rng(group)
    features = rng.standard_normal((2, output_dim * group ** 2, 3, 4)).astype(dtype)
    rois = naive_psroi.random_rois(rng, 6, 2, 4 / scale, 3 / scale).astype(dtype)
    want = naive_psroi.naive_forward(features, rois, output_dim, group, scale)
    equal(psroi_pooling.psroi_pooling_forward(on_device(features), on_device(rois), output_dim, group, scale), want)
    top_diff = rng.standard_normal(want.shape).astype(dtype)
    diff = psroi_pooling.psroi_pooling_backward(on_device(top_diff), on_device(rois), features.shape, scale)
    equal(diff, naive_psroi.naive_backward(top_diff, rois, features.shape, scale))


def test_psroi_of_no_rois_bad_rois_and_bfloat16(gpu_front):
    features = torch.ones(2, 8, 4, 4, device=DEVICE)
    none = psroi_pooling.psroi_pooling_forward(features, torch.zeros(0, 5, device=DEVICE), 2, 2, 1)
    assert none.shape == (0, 2, 2, 2)
    assert not psroi_pooling.psroi_pooling_backward(none, torch.zeros(0, 5, device=DEVICE), features.shape, 1).any()
    rois = torch.tensor([[0., 0, 0, 3, 3], *BAD[:-1], [1, 0, 0, 3, 3]], device=DEVICE)
    top = psroi_pooling.psroi_pooling_forward(features.bfloat16(), rois, 2, 2, 1)
    assert top.dtype == torch.bfloat16 and top[1:-1].isnan().all() and (top[[0, -1]] == 1).all()
    assert psroi_pooling.psroi_pooling_backward(top, rois, features.shape, 1).isfinite().all()


# ---- compiled

COMPILE = """
import sys
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from caffe.kernels.roi import psroi_pooling_triton, roi_pooling_triton
from caffe.kernels.roi.bins_triton import EXACT
from caffe.kernels.update import fused_triton
OPTIONS = {**EXACT, "num_warps": 1}
SIZES = "num channels height width count depth".split()
INTS = "argmax where".split()

def binary(kernel, number, sums, capability, rois="*fp32", **constants):
    kind = {**dict.fromkeys(SIZES, "i32"), **dict.fromkeys(INTS, "*i32"), **dict.fromkeys(constants, "constexpr"),
            "sums": sums, "diff": sums, "rois": rois}
    source = ASTSource(kernel, {name: kind.get(name, number) for name in kernel.arg_names},
                       {(kernel.arg_names.index(name),): value for name, value in constants.items()})
    return compile(source, target=GPUTarget("cuda", capability, 32), options=dict(OPTIONS)).asm["cubin"]

for capability, number, sums in ((75, "*fp32", "*fp32"), (90, "*bf16", "*fp32")):
    bins = dict(SCALE=0.0625, POOLED_H=7, POOLED_W=7, BLOCK=128)
    for kernel, constants in ((roi_pooling_triton._forward, dict(bins, COLUMNS=8, KEEP=True)),
                              (roi_pooling_triton._forward, dict(bins, COLUMNS=8, KEEP=False, argmax=None)),
                              (roi_pooling_triton._backward, bins)):
        assert binary(kernel, number, sums, capability, **constants)
    for kernel, constants in ((psroi_pooling_triton._forward, {}), (psroi_pooling_triton._backward, dict(CHUNK=256))):
        assert binary(kernel, "*fp32", "*fp32", capability, SCALE=0.0625, GROUP=7, BLOCK=32, **constants)
    doubles = ["*fp64", "*fp64", capability, "*fp64"]
    assert binary(roi_pooling_triton._forward, *doubles, **dict(bins, COLUMNS=8, KEEP=True))
    assert binary(psroi_pooling_triton._backward, *doubles, SCALE=0.0625, GROUP=7, BLOCK=32, CHUNK=256)
update = ["table", "*i64"], ["multipliers", "*fp32"], ["chunks", "*i32"]
floats = dict.fromkeys(("rate", "weight_decay", "momentum", "iter_size"), "fp32")
for nesterov, decay in ((False, 1), (True, 2)):
    constants = dict(DECAY=decay, NESTEROV=nesterov, STEP=1024, CHUNK=8192, FIELDS=9)
    kinds = {**dict(update), **floats, **dict.fromkeys(constants, "constexpr")}
    source = ASTSource(fused_triton._update, kinds, {(fused_triton._update.arg_names.index(name),): value
                                                     for name, value in constants.items()})
    assert compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]
"""


def test_kernels_compile_for_gpus(tmp_path):
    """Down to machine code of the oldest and of a new architecture; needs no GPU, as Triton brings its assembler."""
    source = tmp_path / "compile_kernels.py"
    source.write_text(COMPILE)
    env = dict(os.environ, PYTHONPATH=str(Path(caffe.__file__).parents[1]), TRITON_CACHE_DIR=str(tmp_path / "cache"))
    env.pop("TRITON_INTERPRET", None)
    subprocess.run([sys.executable, source], env=env, check=True)
