"""Convolutions of images with few channels, the first of a net, in bf16 on a CPU that multiplies pairs of it.

What a filter sees of an image (kernel_h x kernel_w x C numbers, rounded to bfloat16) is laid out in a row and meets all
filters at once; sums and results are float32.  (Kernels that go channel by channel have too little to do: those of
PyTorch take 1.5 times as long for conv1_1 of VGG16.)
"""
import torch
import torch.nn.functional as F

from . import winograd_cpu as bf16_cpu

_FEW = 8


def fits(x, weight, dilation, groups):
    """Whether the convolution of x (N, C, H, W) with weight (O, C, h, w), in float32, can go this way."""
    return (x.device.type == "cpu" and x.dim() == 4 and x.dtype == weight.dtype == torch.float32 and groups == 1
            and set(dilation) == {1} and 0 < x.shape[1] <= _FEW and len(weight) % bf16_cpu.OUTPUTS == 0)


def convolve(x, weight, bias, stride, pad):
    """x (N, C, H, W), weight (O, C, h, w), bias (O) or None -> (N, O, H', W'), channels last."""
    outputs, _channels, kernel_h, kernel_w = weight.shape
    bias = torch.zeros(outputs) if bias is None else bias.detach()
    image = F.pad(x.detach().bfloat16().permute(0, 2, 3, 1), (0, 0, pad[1], pad[1], pad[0], pad[0])).contiguous()
    filters = _in_pairs(weight.detach().permute(2, 3, 1, 0).reshape(-1, outputs).bfloat16())
    height, width = [(image.shape[i + 1] - weight.shape[i + 2]) // stride[i] + 1 for i in range(2)]
    y, threads, rows = torch.empty(len(x), height, width, outputs), torch.get_num_threads(), bf16_cpu.ROWS
    windows = torch.zeros(threads, rows, 2 * filters.shape[1], dtype=torch.uint16)
    bf16_cpu.filter_windows(_bits(image), kernel_h, kernel_w, stride, _bits(filters), bias.numpy(), windows.numpy(),
                            torch.empty(threads, rows, bf16_cpu.OUTPUTS).numpy(), y.numpy())
    return y.permute(0, 3, 1, 2)


def _in_pairs(filters):
    """(inputs, O) -> (O / 32, inputs / 2, 32, 2), with a row of zeros where inputs is odd."""
    inputs, outputs = filters.shape
    filters = F.pad(filters, (0, 0, 0, inputs % 2))
    return filters.view(-1, 2, outputs // bf16_cpu.OUTPUTS, bf16_cpu.OUTPUTS).permute(2, 0, 3, 1).contiguous()


def _bits(x):
    return x.view(torch.uint16).numpy()
