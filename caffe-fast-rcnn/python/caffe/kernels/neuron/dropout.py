"""Dropout's random choice, drawn once for forward and used again by backward."""
import torch

from . import dropout_cpu


def draw(x, keep, generator):
    """The choice for x: a key from which the CPU's kernel computes it, on a GPU a mask of zeros and ones."""
    if x.device.type == "cpu":
        return int(torch.randint(2 ** 63 - 1, (), generator=generator))
    return torch.empty_like(x).bernoulli_(keep, generator=generator)


def drop(x, choice, keep, scale, in_place=False):
    """x where the choice keeps it, times scale; else 0."""
    if isinstance(choice, torch.Tensor):
        return x.mul_(choice).mul_(scale) if in_place else x * choice * scale
    y = x if in_place and x.is_contiguous() else torch.empty(x.shape, dtype=x.dtype)
    dropout_cpu.drop(x.detach().contiguous().view(-1).numpy(), y.view(-1).numpy(), choice, keep, scale,
                     torch.get_num_threads())
    return y
