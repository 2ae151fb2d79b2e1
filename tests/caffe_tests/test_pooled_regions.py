"""RoIs pooled as distinct regions of cells, and their products with weights, against those of all rows."""
import caffe
import numpy as np
import pytest
import torch
from caffe.kernels.avx512_bf16 import winograd_cpu as bf16_cpu
from caffe.kernels.conv import convolution as products
from caffe.kernels.roi import pooled_regions
from caffe.kernels.roi.roi_pooling import roi_pooling_distinct, roi_pooling_forward
from support.naive_roi import random_rois
from support.nets import net_from_text

multiplies_pairs = pytest.mark.skipif(not (bf16_cpu.COMPILED and torch.cpu._is_avx512_bf16_supported()),
                                      reason="the CPU has no AVX-512 BF16")


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pooled(rois=300, channels=6, pooled_h=3, pooled_w=5, dtype=torch.float32, features=None):
    """(PooledRegions, all rows of it)."""
    features = numbers(1, 2, channels, 9, 12).to(dtype) if features is None else features
    boxes = torch.from_numpy(random_rois(np.random.default_rng(2), rois, 2, 12 * 16, 9 * 16)).to(dtype)
    args = features, boxes, pooled_h, pooled_w, 1 / 16
    regions, repeats = roi_pooling_distinct(*args)
    assert regions.shape[0] < rois
    rows = regions.tensor()
    assert torch.equal(rows[repeats], roi_pooling_forward(*args, with_argmax=False)[0])
    return regions, rows.flatten(1)


@pytest.fixture
def bf16():
    caffe.set_precision("bf16")
    yield
    caffe.set_precision("float32")


def test_every_region_is_there_once():
    image, y, x = torch.meshgrid(*(torch.arange(1., n + 1) for n in (2, 9, 12)), indexing="ij")
    regions, rows = pooled(features=torch.stack([image, y, -y, x, -x], 1))      # maxima that tell the region's edges
    order, first, repeats = regions.bin_by_bin
    cells = rows.view(len(rows), 5, 15)
    assert len(torch.unique(regions.maxima, dim=0)) == len(regions.maxima)
    for b in range(15):
        assert first[b + 1] - first[b] == len(torch.unique(cells[:, :, b], dim=0)) < len(rows)
        assert torch.equal(regions.maxima[order[first[b]:first[b + 1]]][repeats[b]], cells[:, :, b])


@pytest.mark.parametrize("dtype, error", [(torch.float32, 1e-6), (torch.float64, 1e-15)])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("outputs", [1, 40, 520])       # less than a block, several
def test_products_are_those_of_all_rows(outputs, threads, dtype, error, monkeypatch):
    regions, rows = pooled(dtype=dtype)
    weight, bias = numbers(3, outputs, 90).to(dtype), numbers(4, outputs).to(dtype)
    want = rows.double() @ weight.double().t() + bias
    multiplied = []
    multiply = torch.Tensor.mm
    monkeypatch.setattr(torch.Tensor, "mm", lambda a, b: multiplied.append(len(a)) or multiply(a, b))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert pooled_regions.saves_time(regions)
    got = products.linear_of_regions(regions, weight, bias)
    assert got.dtype == dtype and got.shape == want.shape
    assert float((got - want).abs().max() / want.abs().max()) < error
    assert 0 < sum(multiplied) < 0.7 * 15 * len(rows) * -(-outputs // 512)
    torch.testing.assert_close(products.linear_of_regions(regions, weight) + bias, got)


@pytest.mark.parametrize("rois, why", [(60, "few RoIs"), (260, "different regions")])
def test_rows_are_multiplied_where_regions_save_little(rois, why, monkeypatch):
    places = np.arange(rois * 4).reshape(rois, 2, 2)
    regions = pooled_regions.PooledRegions(numbers(1, rois * 4, 3), places if why == "different regions" else places * 0)
    weight = numbers(2, 5, 12)
    monkeypatch.setattr(pooled_regions, "linear", None)
    got = products.linear_of_regions(regions, weight)
    want = regions.tensor().flatten(1) @ weight.t()
    torch.testing.assert_close(got, want)


def rounded_product(rows, weight, bias):
    """Sums in float64 of the rounded factors."""
    return rows.bfloat16().double() @ weight.bfloat16().double().t() + (0 if bias is None else bias.double())


@multiplies_pairs
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rois, channels, pooled_h, pooled_w, outputs", [
    (300, 64, 7, 7, 512), (300, 6, 3, 5, 96), (40, 2, 4, 4, 32), (3, 32, 1, 1, 64), (300, 10, 6, 6, 256)])
def test_pairs_of_bfloat16(rois, channels, pooled_h, pooled_w, outputs, threads, monkeypatch):
    regions, rows = pooled(rois, channels, pooled_h, pooled_w)
    weight, bias = numbers(3, outputs, rows.shape[1]), numbers(4, outputs) if threads == 1 else None
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert pooled_regions.fits_bf16(regions, weight)
    got, want = pooled_regions.linear_bf16(regions, weight, bias), rounded_product(rows, weight, bias)
    assert got.dtype == torch.float32 and got.shape == want.shape
    assert float((got - want).abs().max() / want.abs().max()) < 1e-6


@multiplies_pairs
def test_pairs_of_bfloat16_of_no_rois():
    regions = pooled_regions.PooledRegions(torch.empty(0, 4), np.empty((0, 2, 2), np.int64))
    assert pooled_regions.linear_bf16(regions, numbers(1, 32, 16), None).shape == (0, 32)


@pytest.mark.parametrize("channels, outputs, dtype, turned", [
    (5, 32, torch.float32, False), (6, 40, torch.float32, False), (6, 32, torch.float64, False),
    (6, 32, torch.float32, True)])
def test_what_goes_another_way_in_bf16(channels, outputs, dtype, turned, bf16):
    regions, rows = pooled(channels=channels, dtype=dtype)
    weight = numbers(3, outputs, rows.shape[1]).to(dtype)
    weight = weight.t().contiguous().t() if turned else weight
    assert not pooled_regions.fits_bf16(regions, weight)
    got = products.linear_of_regions(regions, weight)
    want = rows @ weight.t() if dtype == torch.float64 else rounded_product(rows, weight, None)
    assert float((got - want).abs().max() / want.abs().max()) < (1e-14 if dtype == torch.float64 else 2 ** -7)


NET = """
layer { name: "in" type: "Input" top: "features" top: "rois"
        input_param { shape { dim: 2 dim: 6 dim: 9 dim: 12 } shape { dim: 300 dim: 5 } } }
layer { name: "pool" type: "ROIPooling" bottom: "features" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_w: 5 pooled_h: 3 spatial_scale: 0.0625 } }
"""
BEHIND = {
    "fc": """layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "out"
                     inner_product_param { num_output: 64 weight_filler { type: "gaussian" std: 1 } } }""",
    "fc, weights turned": """layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "out"
                     inner_product_param { num_output: 64 transpose: true weight_filler { type: "gaussian" std: 1 } } }""",
    "fc from axis 2 on": """layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "out"
                     inner_product_param { num_output: 64 axis: 2 weight_filler { type: "gaussian" std: 1 } } }""",
    "relu": 'layer { name: "relu" type: "ReLU" bottom: "pool" top: "out" }',
    "relu in place": 'layer { name: "relu" type: "ReLU" bottom: "pool" top: "pool" }',
    "convolution": """layer { name: "conv" type: "Convolution" bottom: "pool" top: "out"
                     convolution_param { num_output: 32 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }""",
}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("behind", BEHIND)
def test_nets_give_what_they_give_with_all_rows(behind, phase, precision, monkeypatch):
    rois = random_rois(np.random.default_rng(2), 300, 2, 12 * 16, 9 * 16).astype(np.float32)

    def run():
        caffe.set_random_seed(3)
        net = net_from_text(NET + BEHIND[behind], phase)
        net.forward(features=numbers(1, 2, 6, 9, 12).numpy(), rois=rois)
        return {name: blob.data.copy() for name, blob in net.blobs.items()}

    caffe.set_precision(precision)
    try:
        got = run()
        monkeypatch.setattr("caffe.layer_types.roi.on_gpu", lambda features: True)      # where every RoI is pooled
        want = run()
    finally:
        caffe.set_precision("float32")
    for name in want:
        error = abs(got[name] - want[name]).max() / abs(want[name]).max()
        assert error < (2 ** -7 if precision == "bf16" and name == "out" else 1e-6), name
