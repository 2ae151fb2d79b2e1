"""tools/export.py from outside: a Fast R-CNN net to ONNX and to PyTorch."""
import subprocess
import sys

import caffe
import numpy as np
import pytest


@pytest.fixture
def export(run, prototxt, weights):
    def call(target, out, *more, **changed):
        flags = {"def": prototxt, "net": weights, "to": target, "out": out, **changed}
        return run("export.py", *(part for flag, value in flags.items() for part in ("--" + flag, value)), *more)
    return call


USE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy, torch
from out import Net
net = Net()
net.load_state_dict(torch.load(sys.argv[1] + "/out.pth", weights_only=True))
arrays = numpy.load(sys.argv[1] + "/in.npz")
with torch.no_grad():
    outputs = net.eval()(torch.from_numpy(arrays["data"]), torch.from_numpy(arrays["rois"]))
assert "caffe" not in sys.modules
numpy.savez(sys.argv[1] + "/got.npz", **outputs)
"""


def test_torch_module_stands_alone(export, prototxt, weights, tmp_path):
    result = export("torch", tmp_path / "out.pth")
    assert result.returncode == 0, result.stderr
    assert "cls_prob: largest difference" in result.stdout
    rng = np.random.default_rng(5)
    inputs = {"data": rng.normal(scale=60, size=(1, 3, 90, 130)).astype(np.float32),
              "rois": np.array([[0, 5, 6, 70, 80], [0, 0, 0, 129, 89]], np.float32)}
    np.savez(tmp_path / "in.npz", **inputs)
    subprocess.run([sys.executable, "-c", USE, str(tmp_path)], check=True, cwd=tmp_path)
    assert_same(tmp_path / "got.npz", prototxt, weights, inputs)


def assert_same(got, prototxt, weights, inputs):
    from fast_rcnn.prototxt import adapt_net
    net = caffe.Net(adapt_net(prototxt, 3, str(got.parent)), str(weights), caffe.TEST)
    for name, array in inputs.items():
        net.blobs[name].reshape(*array.shape)
    got = np.load(got)
    for name, array in net.forward(**inputs).items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)


def test_onnx_file(export, tmp_path):
    result = export("onnx", tmp_path / "out.onnx")
    assert result.returncode == 0, result.stderr
    assert "bbox_pred: largest difference" in result.stdout
    import onnx
    graph = onnx.load(tmp_path / "out.onnx").graph
    assert [i.name for i in graph.input] == ["data", "rois"]
    assert sorted(o.name for o in graph.output) == ["bbox_pred", "cls_prob"]
    assert "MaxRoiPool" in [node.op_type for node in graph.node]


def assert_error(result, *words):
    said = result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in said, said
    assert [word for word in words if word not in lines[0]] == [], lines[0]


def test_difference_above_the_tolerance_fails(export, tmp_path):
    assert_error(export("onnx", tmp_path / "out.onnx", "--tolerance", "-1"), "out.onnx", "cls_prob", "--tolerance")


def test_layer_without_counterpart(export, prototxt, tmp_path):
    prototxt.write_text(prototxt.read_text().replace('type: "ReLU"', 'type: "BNLL"', 1))
    assert_error(export("onnx", tmp_path / "out.onnx"), "relu1", "BNLL", "ONNX")


def test_wrong_ending_and_missing_files(export, tmp_path):
    assert_error(export("onnx", tmp_path / "out.pth"), "--out", ".onnx")
    assert_error(export("onnx", tmp_path / "no" / "out.onnx"), "no folder")
    assert_error(export("onnx", tmp_path / "out.onnx", net=tmp_path / "none.caffemodel"), "none.caffemodel")
