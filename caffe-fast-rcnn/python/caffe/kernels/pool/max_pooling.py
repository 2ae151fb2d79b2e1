"""Max pooling of images whose channels are last in memory, on the CPU: tensors (N, C, H, W) in and out."""
import torch

from . import max_pooling_cpu


def fits(x):
    """Whether x is such a tensor (where it is not, PyTorch's kernels are the faster ones)."""
    return (x.device.type == "cpu" and x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
            and not x.is_contiguous())


def forward(x, sizes, kernel, stride, pad):
    """x (N, C, H, W) -> (N, C, *sizes); windows are cut at the border, none is empty."""
    y = torch.empty(x.shape[0], *sizes, x.shape[1], dtype=x.dtype)
    max_pooling_cpu.forward(_last(x), kernel, stride, pad, y.numpy(), torch.get_num_threads())
    return y.permute(0, 3, 1, 2)


def backward(diff, x, kernel, stride, pad):
    """The diff of x; the first of equal maxima takes a window's."""
    x_diff = torch.zeros(x.shape[0], *x.shape[2:], x.shape[1], dtype=x.dtype)
    max_pooling_cpu.backward(_last(diff.contiguous(memory_format=torch.channels_last)), _last(x), kernel, stride, pad,
                             x_diff.numpy(), torch.get_num_threads())
    return x_diff.permute(0, 3, 1, 2)


def _last(x):
    return x.detach().permute(0, 2, 3, 1).numpy()
