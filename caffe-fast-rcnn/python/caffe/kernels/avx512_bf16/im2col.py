"""Convolutions of images with few channels, the first of a net, by im2col: rows of windows times all filters.

What a filter sees of an image (kernel_h x kernel_w x C numbers, rounded to bfloat16) is laid out in a row and meets all
filters at once; sums and results are float32.  (Kernels that go channel by channel have too little to do: those of
PyTorch take 1.5 times as long for conv1_1 of VGG16.)
"""
import torch
import torch.nn.functional as F

from ..conv import direct
from . import im2col_cpu
from .cpu import OUTPUTS, ROWS, takes

_FEW = 8


def fits(x, weight, d):
    """Whether this way takes x (N, C, H, W) and weight (O, C, h, w), both float32."""
    return (takes(x) and x.dim() == 4 and x.dtype == weight.dtype == torch.float32 and not d.transposed
            and d.groups == 1 and set(d.dilation) == {1} and 0 < x.shape[1] <= _FEW and len(weight) % OUTPUTS == 0)


def forward(x, weight, bias, d):
    """x (N, C, H, W), weight (O, C, h, w), bias (O) or None -> (N, O, H', W'), channels last."""
    outputs, _channels, kernel_h, kernel_w = weight.shape
    bias = torch.zeros(outputs) if bias is None else bias.detach()
    image = _padded(x.detach().bfloat16().permute(0, 2, 3, 1), d.pad)
    filters = _in_pairs(weight.detach().permute(2, 3, 1, 0).reshape(-1, outputs).bfloat16())
    height, width = [(image.shape[i + 1] - weight.shape[i + 2]) // d.stride[i] + 1 for i in range(2)]
    y, threads = torch.empty(len(x), height, width, outputs), torch.get_num_threads()
    windows = torch.zeros(threads, ROWS, 2 * filters.shape[1], dtype=torch.uint16)
    im2col_cpu.filter_windows(_bits(image), kernel_h, kernel_w, d.stride, _bits(filters), bias.numpy(),
                              windows.numpy(), torch.empty(threads, ROWS, OUTPUTS).numpy(), y.numpy())
    return y.permute(0, 3, 1, 2)


backward = direct.backward


def _padded(image, pad):
    """(N, H, W, C), zeros around it."""
    return F.pad(image, (0, 0, pad[1], pad[1], pad[0], pad[0])).contiguous()


def _in_pairs(filters):
    """(inputs, O) -> (O / 32, inputs / 2, 32, 2), with a row of zeros where inputs is odd."""
    inputs, outputs = filters.shape
    filters = F.pad(filters, (0, 0, 0, inputs % 2))
    return filters.view(-1, 2, outputs // OUTPUTS, OUTPUTS).permute(2, 0, 3, 1).contiguous()


def _bits(x):
    return x.view(torch.uint16).numpy()
