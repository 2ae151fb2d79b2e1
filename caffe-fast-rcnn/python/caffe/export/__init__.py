"""Nets as files of other programs: ONNX, and a PyTorch state_dict with the module that reads it.

    import caffe.export
    net = caffe.Net("test.prototxt", "trained.caffemodel", caffe.TEST)
    caffe.export.to_onnx(net, "net.onnx")
    caffe.export.to_torch(net, "net.pth")           # and net.py, which needs nothing but torch
    caffe.export.largest_differences(net, "net.onnx", inputs)

Each target is one table, layer type -> function of the layer (onnx_ops.py, torch_ops.py); to teach it a type, write
the function and its entry.
"""
from .check import largest_differences
from .to_onnx import to_onnx
from .to_torch import to_torch

__all__ = ["largest_differences", "to_onnx", "to_torch"]
