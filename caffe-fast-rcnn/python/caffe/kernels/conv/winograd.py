"""3 x 3 convolutions of stride 1 on the CPU, with fewer products: Winograd's filtering.

float32: F(4 x 4, 3 x 3), a quarter of the products.
A row of 4 outputs of a filter g (3) over d (6) is A' [(G g) * (B' d)] (Lavin and Gray, 2016), exactly; in two
dimensions the same along both axes.  So at each of a tile's 36 places the sum over channels is one matrix product:

    forward       Y = A' [ sum over c of (G w G') * (B' x B) ] A
    x diff        forward of the diff, with the weights turned by 180 degrees and their two channel axes swapped
    weight diff   G' [ sum over tiles of (A dY A') * (B' x B) ] G

The points are 0, 1, -1, 2, -1/2 and infinity: rounding errors are half of those of the usual 0, 1, -1, 2, -2, and about
those of the direct convolution.

bf16, on a CPU that multiplies pairs of bfloat16: F(2 x 2, 3 x 3), 16 products in place of 36, points 0, 1, -1 and
infinity.  What is rounded to bfloat16, once, from float32, are the transforms; sums and results stay float32.  Errors
are at most half as large again as those of the direct convolution of rounded factors (forward on VGG16's activations:
0.18 to 0.25 % of a layer's standard deviation against 0.20 to 0.26 %); of F(4 x 4, 3 x 3) they would be three times
as large.
"""
import numpy as np
import torch

from ..avx512_bf16 import winograd_cpu as bf16_cpu
from . import winograd_cpu

_G = np.array([[1, 0, 0], [-1 / 3, -1 / 3, -1 / 3], [1 / 3, -1 / 3, 1 / 3], [1 / 15, 2 / 15, 4 / 15],
               [-16 / 15, 8 / 15, -4 / 15], [0, 0, 1]])
_GG = torch.tensor(np.kron(_G, _G), dtype=torch.float32)        # (36, 9)
_GG_BF16 = torch.kron(*2 * [torch.tensor([[1, 0, 0], [.5, .5, .5], [.5, -.5, .5], [0, 0, 1]])])    # (16, 9)
_LANES = 16         # channels of one step of the kernels
_TILES = 192        # of one block: enough for the matrix product, few enough for the caches
_TILES_BF16 = 56    # the same, a multiple of bf16_cpu.ROWS
_CHUNK = 1024       # tiles of a product for weight diffs


def fits(x, weight, stride, pad, dilation, groups):
    """Whether the convolution of x (N, C, H, W) with weight (O, C, h, w) can go this way, and gains by it."""
    return (x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and tuple(weight.shape[2:]) == (3, 3)
            and groups == 1 and set(stride) == set(dilation) == {1} and max(pad) <= 2
            and min(weight.shape[:2]) >= 32 and not any(c % _LANES for c in weight.shape[:2])
            and x.shape[2] * x.shape[3] >= 256 and x.shape[0] > 0)


def fits_bf16(x, weight, *geometry):
    """The same for x and weight in float32 and products of bfloat16 pairs, there and back."""
    return fits(x, weight, *geometry) and not any(c % bf16_cpu.OUTPUTS for c in weight.shape[:2])


def convolve(x, weight, bias, pad):
    """x (N, C, H, W), weight (O, C, 3, 3), bias (O) or None -> (N, O, H + 2 pad - 2, W + 2 pad - 2), channels last."""
    bias = torch.zeros(len(weight)) if bias is None else bias
    return _filter(x, _spread(weight, _GG).transpose(1, 2), bias, pad)


def input_diff(diff, weight, pad):
    """diff (N, O, H', W') of the top -> that of x, channels last."""
    return _filter(diff, _spread(weight, _GG.flip(1)), torch.zeros(weight.shape[1]), [2 - p for p in pad])


def weight_diff(diff, x, pad):
    """diff (N, O, H', W') of the top, x (N, C, H, W) -> (O, C, 3, 3)."""
    grid = _Grid(x.shape, pad)
    diff, x, threads = _last(diff), _last(x), torch.get_num_threads()
    total = torch.zeros(36, diff.shape[3], x.shape[3])
    for first, count in grid.blocks():
        tiles, diffs = torch.empty(36, count, x.shape[3]), torch.empty(36, count, diff.shape[3])
        winograd_cpu.to_tiles(x.numpy(), 6, *pad, grid.down, grid.across, first, tiles.numpy(), threads)
        winograd_cpu.to_tiles(diff.numpy(), 4, 0, 0, grid.down, grid.across, first, diffs.numpy(), threads)
        total.baddbmm_(diffs.transpose(1, 2), tiles)            # (O, T) (T, C) for each of the 36
    return torch.mm(_GG.t(), total.view(36, -1)).t().reshape(diff.shape[3], x.shape[3], 3, 3)


def convolve_bf16(x, weight, bias, pad):
    """`convolve` with products of bfloat16."""
    return _filter_bf16(x, weight, torch.zeros(len(weight)) if bias is None else bias, pad, False)


def input_diff_bf16(diff, weight, pad):
    """`input_diff` with products of bfloat16."""
    return _filter_bf16(diff, weight, torch.zeros(weight.shape[1]), [2 - p for p in pad], True)


def weight_diff_bf16(diff, x, pad):
    """`weight_diff` with products of bfloat16; their sums over _CHUNK tiles are rounded to bfloat16 too, by PyTorch."""
    grid, diff, x = _Grid(x.shape, pad, 2), _last(diff), _last(x)
    total = torch.zeros(16, diff.shape[3], x.shape[3])
    for first in range(0, grid.tiles, _CHUNK):
        count = min(_CHUNK, grid.tiles - first)
        tiles, diffs = _tiles_bf16(x, 4, pad, grid, first, count), _tiles_bf16(diff, 2, (0, 0), grid, first, count)
        total += torch.bmm(diffs.transpose(1, 2), tiles)        # (O, T) (T, C) for each of the 16
    return torch.mm(_GG_BF16.t(), total.view(16, -1)).t().reshape(diff.shape[3], x.shape[3], 3, 3)


def _tiles_bf16(image, size, pad, grid, first, count):
    """image (N, H, W, C) -> its tiles first .. first + count (16, count, C), of size x size pixels; in bfloat16."""
    tiles = torch.empty(16, count, image.shape[3], dtype=torch.bfloat16)
    bf16_cpu.to_tiles(image.numpy(), size, *pad, grid.down, grid.across, first, tiles.view(torch.uint16).numpy(),
                      torch.get_num_threads())
    return tiles


def _filter_bf16(x, weight, bias, pad, backward):
    """x (N, C, H, W), weight (O, C, 3, 3), bias (O) -> (N, O, H', W'), channels last; backward: C and O swapped."""
    grid, x, threads = _Grid(x.shape, pad, 2), _last(x), torch.get_num_threads()
    outputs, places, rows = bf16_cpu.OUTPUTS, 16, bf16_cpu.ROWS
    share = -(-grid.tiles // (threads * rows)) * rows      # of a thread, where an image is small
    tiles = min(_TILES_BF16, share)
    # PyTorch's memory, which begins on a cache line: the kernel's loads are whole lines.
    filters = torch.empty(len(bias) // outputs, places, x.shape[3] // 2, outputs, 2, dtype=torch.uint16)
    room = torch.empty(threads, places, tiles, x.shape[3], dtype=torch.uint16)
    products, y = torch.empty(threads, places, tiles, outputs), torch.empty(*grid.out_shape, len(bias))
    weight = weight.detach().reshape(*weight.shape[:2], 9).contiguous()
    bf16_cpu.spread(weight.numpy(), backward, filters.numpy(), threads)
    bf16_cpu.filter_tiles(x.numpy(), *pad, filters.numpy(), bias.detach().numpy(), grid.down, grid.across,
                          room.numpy(), products.numpy(), y.numpy())
    return y.permute(0, 3, 1, 2)


def _filter(x, filters, bias, pad):
    """x (N, C, H, W), filters (36, C, O) as the tiles want them -> (N, O, H', W'), channels last."""
    grid, x, threads = _Grid(x.shape, pad), _last(x), torch.get_num_threads()
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


def _last(x):
    """(N, C, H, W) -> (N, H, W, C), contiguous."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


class _Grid:
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
