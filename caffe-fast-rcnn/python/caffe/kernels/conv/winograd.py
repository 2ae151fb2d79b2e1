"""3 x 3 convolutions of stride 1 on the CPU in float32, with fewer products: Winograd's filtering.

F(4 x 4, 3 x 3): a quarter of the products.
A row of 4 outputs of a filter g (3) over d (6) is A' [(G g) * (B' d)] (Lavin and Gray, 2016), exactly; in two
dimensions the same along both axes.  So at each of a tile's 36 places the sum over channels is one matrix product:

    forward       Y = A' [ sum over c of (G w G') * (B' x B) ] A
    x diff        forward of the diff, with the weights turned by 180 degrees and their two channel axes swapped
    weight diff   G' [ sum over tiles of (A dY A') * (B' x B) ] G

The points are 0, 1, -1, 2, -1/2 and infinity: rounding errors are half of those of the usual 0, 1, -1, 2, -2, and about
those of the direct convolution.
"""
import numpy as np
import torch

from ..rounding import factor_dtype, rounded
from . import winograd_cpu

_G = np.array([[1, 0, 0], [-1 / 3, -1 / 3, -1 / 3], [1 / 3, -1 / 3, 1 / 3], [1 / 15, 2 / 15, 4 / 15],
               [-16 / 15, 8 / 15, -4 / 15], [0, 0, 1]])
_GG = torch.tensor(np.kron(_G, _G), dtype=torch.float32)        # (36, 9)
_LANES = 16         # channels of one step of the kernels
_TILES = 192        # of one block: enough for the matrix product, few enough for the caches


def fits(x, weight, d):
    """Whether this way takes x (N, C, H, W), weight (O, C, h, w), multiplied in float32, and gains by it."""
    return factor_dtype(x) == torch.float32 and fits_winograd(x, weight, d)


def fits_winograd(x, weight, d):
    """Whether it is a 3 x 3 convolution on the CPU, of float32 numbers, that gains by Winograd's filtering."""
    return (x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and tuple(weight.shape[2:]) == (3, 3)
            and not d.transposed and d.groups == 1 and set(d.stride) == set(d.dilation) == {1} and max(d.pad) <= 2
            and min(weight.shape[:2]) >= 32 and not any(c % _LANES for c in weight.shape[:2])
            and x.shape[2] * x.shape[3] >= 256 and x.shape[0] > 0)


def forward(x, weight, bias, d):
    """x (N, C, H, W), weight (O, C, 3, 3), bias (O) or None -> (N, O, H + 2 pad - 2, W + 2 pad - 2), channels last."""
    bias = torch.zeros(len(weight)) if bias is None else bias
    return _filter(rounded(x), _spread(rounded(weight), _GG).transpose(1, 2), bias, d.pad)


def backward(diff, x, weight, d, wanted):
    """[x diff (channels last), weight diff] from that of the top (N, O, H', W'); None where `wanted` has False."""
    diff = rounded(diff)
    return [_input_diff(diff, rounded(weight), d.pad) if wanted[0] else None,
            _weight_diff(diff, rounded(x), d.pad) if wanted[1] else None]


def _input_diff(diff, weight, pad):
    return _filter(diff, _spread(weight, _GG.flip(1)), torch.zeros(weight.shape[1]), [2 - p for p in pad])


def _weight_diff(diff, x, pad):
    """(O, C, 3, 3)."""
    grid = Grid(x.shape, pad)
    diff, x, threads = nhwc(diff), nhwc(x), torch.get_num_threads()
    total = torch.zeros(36, diff.shape[3], x.shape[3])
    for first, count in grid.blocks():
        tiles, diffs = torch.empty(36, count, x.shape[3]), torch.empty(36, count, diff.shape[3])
        winograd_cpu.to_tiles(x.numpy(), 6, *pad, grid.down, grid.across, first, tiles.numpy(), threads)
        winograd_cpu.to_tiles(diff.numpy(), 4, 0, 0, grid.down, grid.across, first, diffs.numpy(), threads)
        total.baddbmm_(diffs.transpose(1, 2), tiles)            # (O, T) (T, C) for each of the 36
    return torch.mm(_GG.t(), total.view(36, -1)).t().reshape(diff.shape[3], x.shape[3], 3, 3)


def _filter(x, filters, bias, pad):
    """x (N, C, H, W), filters (36, C, O) as the tiles want them -> (N, O, H', W'), channels last."""
    grid, x, threads = Grid(x.shape, pad), nhwc(x), torch.get_num_threads()
    y = torch.empty(*grid.out_shape, filters.shape[2])
    for first, count in grid.blocks():
        tiles = torch.empty(36, count, x.shape[3])
        winograd_cpu.to_tiles(x.numpy(), 6, *pad, grid.down, grid.across, first, tiles.numpy(), threads)
        winograd_cpu.from_tiles(tiles.bmm(filters).numpy(), bias.detach().numpy(), grid.down, grid.across, first,
                                y.numpy(), threads)
    return y.permute(0, 3, 1, 2)


def _spread(weight, matrix):
    """(O, C, 3, 3) -> (36, O, C): G w G'."""
    return torch.mm(matrix, weight.detach().reshape(-1, 9).t()).view(36, *weight.shape[:2])


def nhwc(x):
    """(N, C, H, W) -> (N, H, W, C), contiguous."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


class Grid:
    """The tiles of size x size outputs, down x across of an image, in blocks of whole rows."""

    def __init__(self, shape, pad, size=4):
        num, _channels, height, width = shape
        self.out_shape = num, height + 2 * pad[0] - 2, width + 2 * pad[1] - 2
        self.down, self.across = -(-self.out_shape[1] // size), -(-self.out_shape[2] // size)
        self.tiles = num * self.down * self.across
        self.rows, self.step = num * self.down, max(1, round(_TILES / self.across))

    def blocks(self):
        """(first row, number of tiles) of each block."""
        for first in range(0, self.rows, self.step):
            yield first, min(self.step, self.rows - first) * self.across
