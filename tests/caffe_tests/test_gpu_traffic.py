"""What one OHEM iteration of VGG16 moves through a GPU's memory, and in how many operations, counted without a GPU.

The net runs on PyTorch's "meta" device, whose tensors have no numbers.  Every operation counts with the tensors it reads
and writes; our kernels count with what they are given.  docs/gpu.md has the table of it, with measured times.
"""
from collections import Counter

import caffe
import pytest
import torch
from caffe import common, host_side
from caffe.kernels.conv import direct
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support import triton_kernels  # (before the kernels are imported)
from support.reference import ROOT
from support.settings import settings
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

HEIGHT, WIDTH, ROIS, HARD = 600, 1000, 2000, 64
SHAPES = {"data": (1, 3, HEIGHT, WIDTH), "rois": (ROIS, 5), "labels": (ROIS,), "bbox_targets": (ROIS, 84),
          "bbox_inside_weights": (ROIS, 84), "bbox_outside_weights": (ROIS, 84)}
VIEWS = {"view", "detach", "as_strided", "slice", "t", "permute", "transpose", "unsqueeze", "expand", "select", "alias",
         "_unsafe_view", "_reshape_alias", "split", "empty", "empty_like", "new_empty", "empty_strided"}


class Traffic(TorchDispatchMode):
    """bytes: {operation: read and written}; operations: how many ran."""

    def __init__(self):
        super().__init__()
        self.bytes, self.operations = Counter(), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.__name__.partition(".")[0]
        if name not in VIEWS:
            self.add(name, tree_leaves((args, kwargs, result)))
        return result

    def add(self, name, items):
        tensors = [x for x in items if isinstance(x, torch.Tensor) and x.device.type == "meta"]
        if tensors:
            self.bytes[name] += sum(x.numel() * x.element_size() for x in tensors)
            self.operations += 1


class CountedKernel:
    """In the place of one of our kernels: reads or writes each tensor it is given once."""

    def __init__(self, name, traffic, times=1):
        self.name, self.traffic, self.times = name, traffic, times

    def __getitem__(self, grid):
        return lambda *args, **constants: [self.traffic.add(self.name, args) for _ in range(self.times)]


@pytest.fixture
def traffic(monkeypatch):
    """The counter, on a current device without numbers."""
    from caffe.kernels.roi import roi_pooling_triton
    from caffe.kernels.update import fused, fused_triton
    counter = Traffic()
    triton_kernels.count_as_on_gpu(monkeypatch)
    monkeypatch.setattr(roi_pooling_triton, "_forward", CountedKernel("our roi_pooling", counter))
    monkeypatch.setattr(roi_pooling_triton, "_backward", CountedKernel("our roi_pooling", counter))
    monkeypatch.setattr(fused_triton, "_update", CountedKernel("table", counter))
    count_update = fused.FusedUpdate.__call__

    def update(self, param, rate, tensors, multipliers):
        count_update(self, param, rate, tensors, multipliers)
        copies = [getattr(row[0], "rounded_copy", (0, None))[1] for row in tensors]
        counter.add("our update", [x for row in tensors for x in (*row, *row)] + copies)
    monkeypatch.setattr(fused.FusedUpdate, "__call__", update)
    # cuDNN's images stay channels last; those of the meta device do not, and would be copied.
    monkeypatch.setattr(direct, "channels_last", lambda x: x)
    monkeypatch.setattr(host_side, "_copy", lambda front, tensor: front.uniform_())     # what the mining layer reads
    monkeypatch.setattr(common._State, "device", torch.device("meta"))
    monkeypatch.setattr(common, "generator", lambda: None)
    monkeypatch.setattr(common, "native_bf16", lambda: True)        # as on every GPU
    caffe.set_precision("bf16")
    yield counter
    caffe.set_precision("float32")


def _vgg16_solver():
    path = ROOT / "models" / "pascal_voc" / "VGG16" / "fast_rcnn_ohem" / "train.prototxt"
    net = text_format.Parse(path.read_text(encoding="utf-8"), caffe_pb2.NetParameter())
    layers = [layer for layer in net.layer if layer.name != "data"]
    del net.layer[:]
    for name, shape in SHAPES.items():
        net.layer.add(name=name, type="Input", top=[name]).input_param.shape.add(dim=shape)
    net.layer.extend(layers)
    for layer in net.layer:     # constants: the meta device draws no random numbers
        for part in (layer.convolution_param, layer.inner_product_param):
            part.ClearField("weight_filler")
    return caffe.SGDSolver(caffe_pb2.SolverParameter(net_param=net, base_lr=0.001, lr_policy="fixed", momentum=0.9,
                                                     weight_decay=0.0005))


def test_an_ohem_iteration_of_vgg16_in_bf16(traffic):
    """Bounds a little above what it takes, so that neither copies nor small operations creep back."""
    with settings({"TRAIN.BATCH_SIZE": HARD}):
        solver = _vgg16_solver()
        for name in SHAPES:
            solver.net.blobs[name].data[...] = 0
        solver.step(2)      # the first makes what is kept: rounded weights, the update's tables
        with traffic:
            traffic.bytes.clear()
            traffic.operations = 0
            solver.step(1)
    total = sum(traffic.bytes.values()) / 1e9
    largest = ", ".join(f"{name} {moved / 1e9:.2f}" for name, moved in traffic.bytes.most_common(8))
    print(f"{total:.1f} GB in {traffic.operations} operations; GB: {largest}")
    assert total < 13.2 and traffic.operations < 290, f"{total:.1f} GB in {traffic.operations} operations; GB: {largest}"


def test_what_is_counted(traffic):
    with traffic:
        x = torch.zeros(10, 10, device="meta")
        y = x + x
        y.view(100).mul_(2)
    assert traffic.operations == 3 and traffic.bytes == {"zeros": 400, "add": 1200, "mul_": 800}
