"""What would not fit into the machine's memory, and other mistakes in a prototxt, are one line that names the layer."""
import os
import subprocess
import sys

import caffe
import pytest
from caffe import CaffeError
from support.nets import net_from_text
from support.reference import ROOT


def data(*dims, name="d"):
    shape = " ".join(f"dim: {d}" for d in dims)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {shape} }} }} }}'


def inner_product(filler):
    return layer("InnerProduct", f"inner_product_param {{ num_output: 3 weight_filler {{ {filler} }} }}")


def layer(kind, settings="", bottoms="d"):
    bottom = " ".join(f'bottom: "{name}"' for name in bottoms)
    return f'layer {{ name: "x" type: "{kind}" {bottom} top: "y" {settings} }}'


IMAGE, ROIS = data(1, 3, 8, 8), data(100, 5, name="r")
TOO_LARGE = {
    "blob": (data(10 ** 6, 10 ** 6), "d"), "int64": (data(2 ** 40, 2 ** 40), "d"), "empty": (data(2 ** 63 - 1, 0), "d"),
    "num_output": (data(2, 300) + layer("InnerProduct", "inner_product_param { num_output: 2147483648 }"), "x"),
    "kernel": (IMAGE + layer("Convolution", "convolution_param { num_output: 2 kernel_size: 1000000 }"), "x"),
    "deconvolution": (IMAGE + layer("Deconvolution", "convolution_param { num_output: 2 kernel_size: 3 stride: 999999 }"),
                      "x"),
    "embed": (data(2) + layer("Embed", "embed_param { input_dim: 2147483648 num_output: 2147483648 }"), "x"),
    "tile": (data(200, 3) + layer("Tile", "tile_param { tiles: 2147483647 }"), "x"),
    "rois": (IMAGE + ROIS + layer("ROIPooling", "roi_pooling_param { pooled_w: 65536 pooled_h: 65536 spatial_scale: 1 }",
                                  "dr"), "x"),
    "padded": (IMAGE + layer("Pooling", "pooling_param { kernel_size: 200001 pad: 200000 stride: 1000000 }"), "x"),
    "strided": (IMAGE + layer("Pooling", "pooling_param { kernel_size: 2 stride: 1000000 }"), "x"),
    "im2col": (IMAGE + layer("Im2col", "convolution_param { kernel_size: 3 pad: 200000 stride: 1000000 }"), "x"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_more_than_the_machine_has(name):
    text, where = TOO_LARGE[name]
    with pytest.raises(CaffeError, match=rf"layer {where} \(\w+\): .* would take .* GB, more than .*CAFFE_MEMORY_LIMIT"):
        net_from_text(text)


def test_a_blob_by_itself():
    blob = caffe.Blob(1)
    with pytest.raises(CaffeError, match="would take 4e.03 GB"):
        blob.reshape(10 ** 6, 10 ** 6)
    assert blob.shape == (1,)
    with pytest.raises(CaffeError, match="100 axes; expected at most 32"):
        net_from_text(data(*[1] * 100))


@pytest.mark.parametrize("limit, words", [("8M", "more than CAFFE_MEMORY_LIMIT"), ("8000000", "more than CAFFE_MEMORY_LIMIT"),
                                          ("much", "expected bytes"), ("1G", "")])
def test_the_limit_is_a_variable(tmp_path, limit, words):
    (tmp_path / "net.prototxt").write_text(data(3000, 1000))
    code = "import sys, caffe\ntry:\n    caffe.Net(sys.argv[1], caffe.TEST)\nexcept caffe.CaffeError as e:\n    print(e)"
    path = str(ROOT / "caffe-fast-rcnn" / "python")
    result = subprocess.run([sys.executable, "-c", code, tmp_path / "net.prototxt"], capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": path, "CAFFE_MEMORY_LIMIT": limit}, check=True)
    assert words in result.stdout and bool(words) == bool(result.stdout)


PYTHON = 'layer {{ name: "x" type: "Python" top: "y" {} }}'
MISTAKES = {
    "negative dim": (data(-1, 3), "layer d .*whole numbers"),
    "std": (data(2, 3) + inner_product('type: "gaussian" std: -1'),
            "layer x .*std -1"),
    "std nan": (data(2, 3) + inner_product('type: "gaussian" std: nan'),
                "layer x .*std nan"),
    "uniform": (data(2, 3) + inner_product('type: "uniform" min: 1 max: -1'),
                "layer x .*min 1 and max -1"),
    "no columns": (data(2, 0) + inner_product('type: "xavier"'),
                   r"layer x .*\(3, 0\)"),
    "no python_param": (PYTHON.format(""), "layer x .*python_param"),
    "no module": (PYTHON.format('python_param { module: "" layer: "X" }'), "layer x .*module"),
    "dots": (PYTHON.format('python_param { module: "..x" layer: "X" }'), r"layer x .*\.\.x"),
    "Layer": (PYTHON.format('python_param { module: "caffe" layer: "Layer" }'), "layer x .*caffe.Layer"),
    "required": (data(2, 3) + layer("Clip", "clip_param { }"), r"required fields.*clip_param.min"),
    "no channels": (data(2, 0, 4, 5) + layer("Pooling", "pooling_param { kernel_size: 2 }"), "no channels"),
    "no pixels": (data(2, 6, 7, 0) + layer("Pooling", "pooling_param { kernel_size: 3 pad: 1 }"), "no pixels"),
    "no pixels around": (data(2, 6, 0, 8) + layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }"), "no pixels"),
    "rois without axes": (IMAGE + data(name="r") + layer(
        "ROIPooling", "roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 1 }", "dr"), r"RoIs \(R, 5\)"),
    "table without axes": (data() + data(3, name="r") + layer("BatchReindex", "", "dr"), "layer x .*no axes"),
    "no channels to filter": (data(2, 0, 4, 5) + layer("Convolution", "convolution_param { num_output: 1 kernel_size: 1 }"),
                              "0 channels"),
    "loss without axes": (data() + data(name="r") + layer("HingeLoss", "", "dr"), "layer x .*row"),
    "BatchNorm without axes": (data() + layer("BatchNorm"), "layer x .*no axes"),
    "ArgMax without axes": (data() + layer("ArgMax"), "layer x .*no axes"),
    "window": (IMAGE + layer("Pooling", "pooling_param { kernel_size: 4294967295 pad: 4294967294 }"), r"layer x .*2\^30"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(name):
    text, words = MISTAKES[name]
    with pytest.raises(CaffeError, match=words) as error:
        net_from_text(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind, settings, dims", [("LRN", "", (2, 0, 4, 5)), ("Im2col", "convolution_param { kernel_size: 1 }",
                                                                           (0, 3, 4, 5))])
def test_empty_bottoms_pass(kind, settings, dims):
    net = net_from_text("force_backward: true " + data(*dims) + layer(kind, settings))
    net.forward()
    net.backward()
    assert net.blobs["d"].diff.shape == dims
