"""RoIs pooled as distinct regions of cells, and their products with weights, against those of all rows."""
import caffe
import numpy as np
import pytest
import torch
from caffe.kernels.roi import linear_by_bin, pooled_regions
from caffe.kernels.roi.linear_of_regions import linear_of_regions
from support.naive_roi import random_rois
from support.nets import net_from_text
from support.regions import pooled


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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
    assert linear_by_bin.fits(regions, weight)
    got = linear_of_regions(regions, weight, bias)
    assert got.dtype == dtype and got.shape == want.shape
    assert float((got - want).abs().max() / want.abs().max()) < error
    assert 0 < sum(multiplied) < 0.7 * 15 * len(rows) * -(-outputs // 512)
    torch.testing.assert_close(linear_of_regions(regions, weight) + bias, got)


@pytest.mark.parametrize("rois, why", [(60, "few RoIs"), (260, "different regions")])
def test_rows_are_multiplied_where_regions_save_little(rois, why, monkeypatch):
    places = np.arange(rois * 4).reshape(rois, 2, 2)
    regions = pooled_regions.PooledRegions(numbers(1, rois * 4, 3), places if why == "different regions" else places * 0)
    weight = numbers(2, 5, 12)
    monkeypatch.setattr(linear_by_bin, "forward", None)
    got = linear_of_regions(regions, weight)
    want = regions.tensor().flatten(1) @ weight.t()
    torch.testing.assert_close(got, want)


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
