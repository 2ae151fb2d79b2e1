"""The kernel of fused.py."""
import triton
import triton.language as tl

from .fused import CHUNK, FIELDS

_STEP = 1024            # numbers that a program has in its registers


def update(param, rate, table, multipliers, chunks):
    """Update the parameters of `table` (P, FIELDS); multipliers (P, 2); chunks (programs, 2): parameter and start."""
    decay_type = 0 if not param.weight_decay else 1 if param.regularization_type == "L2" else 2
    _update[(len(chunks),)](table, multipliers, chunks, float(rate), float(param.weight_decay), float(param.momentum),
                            float(max(1, param.iter_size)), DECAY=decay_type, NESTEROV=param.type == "Nesterov",
                            STEP=_STEP, CHUNK=CHUNK, FIELDS=FIELDS)


@triton.jit(do_not_specialize=("rate", "weight_decay", "momentum", "iter_size"))
def _update(table, multipliers, chunks, rate, weight_decay, momentum, iter_size, DECAY: tl.constexpr,
            NESTEROV: tl.constexpr, STEP: tl.constexpr, CHUNK: tl.constexpr, FIELDS: tl.constexpr):
    """CHUNK numbers of one parameter."""
    part = tl.load(chunks + tl.program_id(0) * 2)
    start = tl.load(chunks + tl.program_id(0) * 2 + 1)
    row = table + part * FIELDS
    weights = tl.load(row).to(tl.pointer_type(tl.float32))
    diff = tl.load(row + 1).to(tl.pointer_type(tl.float32))
    history = tl.load(row + 2).to(tl.pointer_type(tl.float32))
    copy_address = tl.load(row + 3)
    copy = copy_address.to(tl.pointer_type(tl.int16))
    count = tl.load(row + 4).to(tl.int32)
    diff_channels, diff_cells = tl.load(row + 5).to(tl.int32), tl.load(row + 6).to(tl.int32)
    copy_channels, copy_cells = tl.load(row + 7).to(tl.int32), tl.load(row + 8).to(tl.int32)
    rate = rate * tl.load(multipliers + part * 2)
    decay = weight_decay * tl.load(multipliers + part * 2 + 1)
    for step in range(0, CHUNK, STEP):
        at = start + step + tl.arange(0, STEP)
        mask = at < count
        diff_at, copy_at = at, at
        if diff_cells > 1:
            diff_at = _channels_last(at, diff_channels, diff_cells)
        if copy_cells > 1:
            copy_at = _channels_last(at, copy_channels, copy_cells)
        w = tl.load(weights + at, mask=mask, other=0)
        g = tl.load(diff + diff_at, mask=mask, other=0) / iter_size
        h = tl.load(history + at, mask=mask, other=0)
        if DECAY == 1:
            g = g + decay * w
        if DECAY == 2:
            g = g + decay * tl.where(w > 0, 1.0, tl.where(w < 0, -1.0, 0.0))
        new = momentum * h + rate * g
        moved = new
        if NESTEROV:
            moved = new * (1 + momentum) - h * momentum
        w = w - moved
        tl.store(history + at, new, mask=mask)
        tl.store(diff + diff_at, moved, mask=mask)
        tl.store(weights + at, w, mask=mask)
        tl.store(copy + copy_at, _bfloat16_bits(w), mask=mask & (copy_address != 0))


@triton.jit
def _channels_last(at, channels, cells):
    """Where number `at` of kernels (num_output, channels, cells) lies in (num_output, cells, channels)."""
    cell = at % cells
    row = at // cells
    return (row // channels * cells + cell) * channels + row % channels


@triton.jit
def _bfloat16_bits(x):
    """float32 numbers -> the bits of the nearest bfloat16, ties to even, int16; nan stays nan."""
    bits = x.to(tl.int32, bitcast=True)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return tl.where(x != x, 0x7FC0, nearest).to(tl.int16)
