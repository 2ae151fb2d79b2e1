"""The kernel of fused.py.  Every operation rounds by itself, as in update_rules.py."""
import triton
import triton.language as tl

from .fused import CHUNK, FIELDS

_STEP = 1024            # numbers that a program has in its registers


def update(param, rate, table, multipliers, parts, starts):
    """Update the parameters whose addresses `table` (P, FIELDS) holds; multipliers (P, 2); parts, starts (chunks)."""
    decay_type = 0 if not param.weight_decay else 1 if param.regularization_type == "L2" else 2
    _update[(len(parts),)](table, multipliers, parts, starts, float(rate), float(param.weight_decay),
                           float(param.momentum), float(max(1, param.iter_size)), DECAY=decay_type,
                           NESTEROV=param.type == "Nesterov", STEP=_STEP, CHUNK=CHUNK, FIELDS=FIELDS)


@triton.jit(do_not_specialize=("rate", "weight_decay", "momentum", "iter_size"))
def _update(table, multipliers, parts, starts, rate, weight_decay, momentum, iter_size, DECAY: tl.constexpr,
            NESTEROV: tl.constexpr, STEP: tl.constexpr, CHUNK: tl.constexpr, FIELDS: tl.constexpr):
    """CHUNK numbers of one parameter."""
    part = tl.load(parts + tl.program_id(0))
    row = table + part * FIELDS
    start = tl.load(starts + tl.program_id(0))
    weights = tl.load(row).to(tl.pointer_type(tl.float32))
    diff = tl.load(row + 1).to(tl.pointer_type(tl.float32))
    history = tl.load(row + 2).to(tl.pointer_type(tl.float32))
    copy_address = tl.load(row + 3)
    copy = copy_address.to(tl.pointer_type(tl.int16))
    count = tl.load(row + 4)
    rate = rate * tl.load(multipliers + part * 2)
    decay = weight_decay * tl.load(multipliers + part * 2 + 1)
    for step in range(0, CHUNK, STEP):
        at = start + step + tl.arange(0, STEP)
        mask = at < count
        w = tl.load(weights + at, mask=mask, other=0)
        g = tl.load(diff + at, mask=mask, other=0) / iter_size
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
        tl.store(diff + at, moved, mask=mask)
        tl.store(weights + at, w, mask=mask)
        tl.store(copy + at, _bfloat16_bits(w), mask=mask & (copy_address != 0))


@triton.jit
def _bfloat16_bits(x):
    """float32 numbers -> the bits of the nearest bfloat16, ties to even, int16; nan stays nan."""
    bits = x.to(tl.int32, bitcast=True)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return tl.where(x != x, 0x7FC0, nearest).to(tl.int16)
