"""3 x 3 convolutions of stride 1 with products of bfloat16: Winograd's F(2 x 2, 3 x 3).

16 products in place of 36, points 0, 1, -1 and infinity; ../conv/winograd.py tells the mathematics.  What is rounded to
bfloat16, once, from float32, are the transforms; sums and results stay float32.  Errors are at most half as large again
as those of the direct convolution of rounded factors (forward on VGG16's activations: 0.18 to 0.25 % of a layer's
standard deviation against 0.20 to 0.26 %); of F(4 x 4, 3 x 3) they would be three times as large.
"""
import torch

from ..conv.winograd import Grid, fits_winograd, nhwc
from . import winograd_cpu
from .cpu import OUTPUTS, ROWS, takes

_GG = torch.kron(*2 * [torch.tensor([[1, 0, 0], [.5, .5, .5], [.5, -.5, .5], [0, 0, 1]])])    # (16, 9)
_PLACES = 16        # of a tile
_TILES = 56         # of one block, a multiple of ROWS
_CHUNK = 1024       # tiles of a product for weight diffs


def fits(x, weight, d):
    """Whether this way takes x (N, C, H, W) and weight (O, C, h, w), and gains by it, forward and backward."""
    return takes(x) and fits_winograd(x, weight, d) and not any(c % OUTPUTS for c in weight.shape[:2])


def forward(x, weight, bias, d):
    """x (N, C, H, W), weight (O, C, 3, 3), bias (O) or None -> (N, O, H + 2 pad - 2, W + 2 pad - 2), channels last."""
    return _filter(x, weight, torch.zeros(len(weight)) if bias is None else bias, d.pad, False)


def backward(diff, x, weight, d, wanted):
    """[x diff (channels last), weight diff] from that of the top (N, O, H', W'); None where `wanted` has False."""
    return [_input_diff(diff, weight, d.pad) if wanted[0] else None,
            _weight_diff(diff, x, d.pad) if wanted[1] else None]


def _input_diff(diff, weight, pad):
    return _filter(diff, weight, torch.zeros(weight.shape[1]), [2 - p for p in pad], True)


def _weight_diff(diff, x, pad):
    """(O, C, 3, 3).  The sums over _CHUNK tiles are rounded to bfloat16 too, by PyTorch."""
    grid, diff, x = Grid(x.shape, pad, 2), nhwc(diff), nhwc(x)
    total = torch.zeros(_PLACES, diff.shape[3], x.shape[3])
    for first in range(0, grid.tiles, _CHUNK):
        count = min(_CHUNK, grid.tiles - first)
        tiles, diffs = _tiles(x, 4, pad, grid, first, count), _tiles(diff, 2, (0, 0), grid, first, count)
        total += torch.bmm(diffs.transpose(1, 2), tiles)        # (O, T) (T, C) for each of the 16
    return torch.mm(_GG.t(), total.view(_PLACES, -1)).t().reshape(diff.shape[3], x.shape[3], 3, 3)


def _tiles(image, size, pad, grid, first, count):
    """image (N, H, W, C) -> its tiles first .. first + count (16, count, C), of size x size pixels; in bfloat16."""
    tiles = torch.empty(_PLACES, count, image.shape[3], dtype=torch.bfloat16)
    winograd_cpu.to_tiles(image.numpy(), size, *pad, grid.down, grid.across, first, tiles.view(torch.uint16).numpy(),
                          torch.get_num_threads())
    return tiles


def _filter(x, weight, bias, pad, backward):
    """x (N, C, H, W), weight (O, C, 3, 3), bias (O) -> (N, O, H', W'), channels last; backward: C and O swapped."""
    grid, x, threads = Grid(x.shape, pad, 2), nhwc(x), torch.get_num_threads()
    share = -(-grid.tiles // (threads * ROWS)) * ROWS      # of a thread, where an image is small
    tiles = min(_TILES, share)
    # PyTorch's memory, which begins on a cache line: the kernel's loads are whole lines.
    filters = torch.empty(len(bias) // OUTPUTS, _PLACES, x.shape[3] // 2, OUTPUTS, 2, dtype=torch.uint16)
    room = torch.empty(threads, _PLACES, tiles, x.shape[3], dtype=torch.uint16)
    products, y = torch.empty(threads, _PLACES, tiles, OUTPUTS), torch.empty(*grid.out_shape, len(bias))
    weight = weight.detach().reshape(*weight.shape[:2], 9).contiguous()
    winograd_cpu.spread(weight.numpy(), backward, filters.numpy(), threads)
    winograd_cpu.filter_tiles(x.numpy(), *pad, filters.numpy(), bias.detach().numpy(), grid.down, grid.across,
                          room.numpy(), products.numpy(), y.numpy())
    return y.permute(0, 3, 1, 2)
