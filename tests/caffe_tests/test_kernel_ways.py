"""The tables of ways: every way has the same functions, the last takes all, and one folder of them may be absent."""
import inspect
import os
import subprocess
import sys
from pathlib import Path

import caffe
import numpy as np
import pytest
import torch
from caffe.kernels.conv import bands, convolution, direct, winograd
from caffe.kernels.conv.descriptor import ConvolutionDescriptor
from caffe.kernels.roi import linear_by_bin, linear_by_row, linear_of_regions
from caffe.kernels.ways import first_that_fits

TABLES = {"convolution": (convolution.WAYS, ["fits", "forward", "backward"]),
          "linear of regions": (linear_of_regions.WAYS, ["fits", "forward"])}


def arguments(function):
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", TABLES)
def test_all_ways_of_a_job_have_the_same_functions(name):
    ways, functions = TABLES[name]
    for way in ways:
        for function in functions:
            assert arguments(getattr(way, function)) == arguments(getattr(ways[-1], function)), (way, function)


def test_general_ways_come_last_and_the_last_takes_all():
    assert convolution.WAYS[-3:] == (winograd, bands, direct)
    assert linear_of_regions.WAYS[-2:] == (linear_by_bin, linear_by_row)
    assert direct.fits(None, None, None) and linear_by_row.fits(None, None)


@pytest.mark.parametrize("change, way", [
    ({}, winograd), ({"x": (1, 32, 8, 8)}, direct), ({"weight": (32, 32, 5, 5)}, direct), ({"stride": (2, 2)}, direct),
    ({"transposed": True}, direct), ({"groups": 2}, direct), ({"dtype": torch.float64}, direct)])
def test_float32_takes_winograd_for_3x3_of_stride_1_and_else_the_direct_way(change, way):
    case = {"x": (1, 32, 20, 20), "weight": (32, 32, 3, 3), "stride": (1, 1), "transposed": False, "groups": 1,
            "dtype": torch.float32, **change}
    d = ConvolutionDescriptor(case["stride"], (1, 1), (1, 1), case["transposed"], case["groups"])
    x, weight = (torch.zeros(case[name], dtype=case["dtype"]) for name in ("x", "weight"))
    assert first_that_fits(convolution.WAYS, x, weight, d) is way


def test_large_images_multiplied_in_bfloat16_go_in_bands(monkeypatch):
    monkeypatch.setattr("caffe.common.native_bf16", lambda: True)
    d = ConvolutionDescriptor((2, 2), (1, 1), (1, 1))
    x, weight = torch.zeros(1, 16, 1024, 1024), torch.zeros(8, 16, 3, 3)
    assert first_that_fits(convolution.WAYS, x, weight, d) is direct
    caffe.set_precision("bf16")
    try:
        assert first_that_fits(convolution.WAYS, x, weight, d) is bands
        assert first_that_fits(convolution.WAYS, x[:, :, :64], weight, d) is direct
    finally:
        caffe.set_precision("float32")


NET = """
force_backward: true
layer { name: "in" type: "Input" top: "data" top: "rois" input_param {
        shape { dim: 1 dim: 3 dim: 40 dim: 48 } shape { dim: 200 dim: 5 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
        num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2" convolution_param {
        num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "ROIPooling" bottom: "conv2" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_w: 3 pooled_h: 3 spatial_scale: 1 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
        inner_product_param { num_output: 32 weight_filler { type: "xavier" } } }
"""
RUN = """
import sys
out, absent, net_file = sys.argv[1:]
if absent == "absent":
    sys.modules["caffe.kernels.avx512_bf16"] = None         # as where the folder was removed
import caffe
import numpy as np
from caffe.kernels.conv import convolution
random = np.random.RandomState(1)
data = random.randn(1, 3, 40, 48).astype(np.float32)
corner = random.randint(0, 30, (200, 2))
rois = np.hstack([np.zeros((200, 1)), corner, corner + random.randint(2, 17, (200, 2))]).astype(np.float32)
caffe.set_precision("bf16")
found = {"ways": len(convolution.WAYS)}
for phase in (caffe.TRAIN, caffe.TEST):
    caffe.set_random_seed(5)
    net = caffe.Net(net_file, phase)
    net.forward(data=data, rois=rois)
    found["fc %d" % phase] = net.blobs["fc"].data
    if phase == caffe.TRAIN:
        net.blobs["conv2"].diff[...] = random.randn(*net.blobs["conv2"].shape)
        net.backward(start="conv2")
        found["diff"] = net.params["conv2"][0].diff
np.savez(out, **found)
"""


def test_without_the_folder_avx512_bf16_the_general_ways_do_its_work(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    env = dict(os.environ, PYTHONPATH=str(Path(caffe.__file__).parents[1]))
    found = {}
    for state in ("present", "absent"):
        subprocess.run([sys.executable, "-c", RUN, tmp_path / state, state, tmp_path / "net.prototxt"], env=env, check=True)
        found[state] = np.load(tmp_path / (state + ".npz"))
    assert found["absent"]["ways"] == 3
    for name in ("fc 0", "fc 1", "diff"):
        here, without = found["present"][name], found["absent"][name]
        assert np.abs(without).max() > 0
        np.testing.assert_allclose(without, here, rtol=0, atol=2 ** -6 * np.abs(here).max(), err_msg=name)
