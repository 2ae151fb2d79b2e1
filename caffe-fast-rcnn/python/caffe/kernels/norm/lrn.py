"""Local response normalisation across channels: x (N, C, H, W) times s^-beta, s = k + alpha / size * sum of squares."""
import torch

from . import lrn_cpu


def forward(x, size, alpha, beta, k):
    """The normalised x; a top of the CPU has its channels last in memory."""
    if x.device.type == "cpu":
        rows = _rows(x)
        y = torch.empty_like(rows)
        lrn_cpu.forward(rows.numpy(), _window(x, size), alpha / size, beta, k, y.numpy(), torch.get_num_threads())
        return _images(y, x.shape)
    return x * _scale(x, size, alpha, k).pow_(-beta)


def backward(diff, x, size, alpha, beta, k):
    """dx = dy s^-b - 2 a b / n * x * sum over the window of (dy y / s), with y / s = x s^(-b - 1)."""
    if x.device.type == "cpu":
        rows = _rows(x)
        out = torch.empty_like(rows)
        lrn_cpu.backward(_rows(diff).numpy(), rows.numpy(), _window(x, size), alpha / size, beta, k, out.numpy(),
                         torch.get_num_threads())
        return _images(out, x.shape)
    scale = _scale(x, size, alpha, k)
    direct = diff * scale.pow(-beta)
    window = _sum_of_channels(direct * x / scale, size)
    return direct.addcmul_(x, window, value=-2 * alpha * beta / size)


def _window(x, size):
    """The odd number of channels that a window of `size` can reach: the sums are the same."""
    return min(size, max(2 * x.shape[1] - 1, 1))


def _scale(x, size, alpha, k):
    return _sum_of_channels(x * x, size).mul_(alpha / size).add_(k)


def _sum_of_channels(x, size):
    """(N, C, H, W) -> for each channel the sum over the `size` channels around it, those that exist."""
    out = x.clone()
    for d in range(1, min(size // 2 + 1, x.shape[1])):
        out[:, d:] += x[:, :-d]
        out[:, :-d] += x[:, d:]
    return out


def _rows(x):
    """(N, C, H, W) -> (N H W, C), contiguous."""
    return x.detach().permute(0, 2, 3, 1).reshape(x.shape[0] * x.shape[2] * x.shape[3], x.shape[1]).contiguous()


def _images(rows, shape):
    """(N H W, C) -> (N, C, H, W), channels last in memory."""
    return rows.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)
