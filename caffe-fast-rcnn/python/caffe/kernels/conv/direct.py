"""Convolution by PyTorch's kernels, for all arguments."""
import torch

from ... import common
from ...common import on_gpu
from ..rounding import rounded


def fits(x, weight, d):
    """Always."""
    return True


def forward(x, weight, bias, d):
    """x (N, C, spatial...) -> (N, num_output, spatial...); see convolution.py."""
    left, right, axes = rounded(x), rounded(weight), len(d.stride)
    native = right.dtype != x.dtype
    y = torch.ops.aten.convolution(channels_last(left), right, None if native else bias, d.stride, d.pad, d.dilation,
                                   d.transposed, [0] * axes, d.groups)
    if native:      # of bfloat16 and float32: float32
        y = y.to(x.dtype) if bias is None else y + bias.view(-1, *[1] * axes)
    return y


def backward(diff, x, weight, d, wanted):
    """[x diff, weight diff], None where `wanted` has False."""
    factors = rounded(diff), rounded(x), rounded(weight)
    if factors[0].dtype == x.dtype and not _on_matrix_units(x):     # two calls: weight diffs want another layout
        x_diff = _diffs(factors, d, channels_last, (True, False))[0] if wanted[0] else None
        weight_diff = _diffs(factors, d, torch.Tensor.contiguous, (False, True))[1] if wanted[1] else None
        return [x_diff, weight_diff]
    if not any(wanted):
        return [None, None]
    x_diff, weight_diff = _diffs(factors, d, channels_last, wanted)
    if not on_gpu(x) and wanted[1]:     # on a GPU it is converted as it is added
        weight_diff = weight_diff.to(x.dtype)
    return [x_diff.to(x.dtype) if wanted[0] else None, weight_diff]


def _diffs(factors, d, layout, wanted):
    """[x diff, weight diff] of (diff, x, weight) as factors, in their number type."""
    diff, x, weight = factors
    return torch.ops.aten.convolution_backward(
        layout(diff), layout(x), weight, [diff.shape[1]], d.stride, d.pad, d.dilation, d.transposed,
        [0] * len(d.stride), d.groups, [*wanted, False])[:2]


def _on_matrix_units(x):
    return on_gpu(x) and common.precision() != "float32"


def channels_last(x):
    """x with the channels last in memory, where PyTorch's convolutions are faster so: images on the CPU, and on a GPU
    those that its matrix units multiply (tf32 and bf16).

    Weight diffs in float32 on the CPU are the exception: those are up to ten times faster with the channels first.
    """
    if x.dim() != 4 or (x.device.type != "cpu" and not _on_matrix_units(x)):
        return x
    x, (_num, channels, height, width) = x.contiguous(memory_format=torch.channels_last), x.shape
    # A single image may have any stride along N; PyTorch only takes it for channels last with the one of several.
    return x.as_strided(x.shape, (height * width * channels, 1, width * channels, channels))
