"""The valid ranges of settings, which config.py lists with the defaults."""
import math
import os
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

# What a range is called -> whether a number, which must be finite in any of them, or a text lies in it.
RANGES = {
    "a finite number": lambda v: True,
    "0 to 1": lambda v: 0 <= v <= 1,
    "0 or more and below 1": lambda v: 0 <= v < 1,
    "at most 1": lambda v: v <= 1,
    "more than 0": lambda v: v > 0,
    "0 or more": lambda v: v >= 0,
    "1 or more": lambda v: v >= 1,
    "1 or more, or -1": lambda v: v >= 1 or v == -1,
    "0 to 2147483647": lambda v: 0 <= v < 2 ** 31,      # int32 of a solver prototxt
    "0 to 4294967295": lambda v: 0 <= v < 2 ** 32,      # numpy's seeds
    "text without /": lambda v: "/" not in v,
}


@dataclass(frozen=True)
class Ranged:
    """A default and its range: a key of RANGES that every number must satisfy, or the allowed texts."""

    default: object
    range: str | tuple


def ranged(default, range_: str | tuple) -> Ranged:
    """A default with a range, for config.py; `take_ranges` replaces it by the default."""
    return Ranged(default, range_ if isinstance(range_, tuple) else _known(range_))


def _known(name):
    if name not in RANGES:
        raise KeyError(f"unknown range {name!r}; known: {', '.join(RANGES)}")
    return name


def take_ranges(tree: dict, prefix: str = "") -> dict[str, str | tuple]:
    """{key: range} of a tree of settings; replaces each Ranged in the tree by its default."""
    found = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found.update(take_ranges(value, f"{prefix}{name}."))
        elif isinstance(value, Ranged):
            found[prefix + name] = value.range
            tree[name] = value.default
    return found


def describe(default) -> str:
    """The type of value of a setting with this default, as text."""
    if isinstance(default, np.ndarray):
        return "%d numbers like %s" % (default.size, default.ravel().tolist())
    if isinstance(default, tuple) and default:
        return "a list of %s like %s" % (type(default[0]).__name__, list(default))
    kind = type(default)
    return {bool: "True or False", str: "text", int: "an int", float: "a float"}.get(kind, f"a {kind.__name__}")


def expected(value, default, range_: str | tuple | None) -> str | None:
    """The expected values, as text, of a setting with this default; None if `value` is valid."""
    if isinstance(default, bool):
        return None if isinstance(value, (np.bool_, Integral)) and value in (0, 1) else describe(default)
    if isinstance(default, str):
        return _expected_text(value, default, range_)
    if not isinstance(range_, str):
        return None
    numbers = _numbers(value, default)
    if numbers is None:
        return describe(default)
    fine = all(_is_finite(number) and RANGES[range_](number) for number in numbers)
    return None if fine else range_


def _is_finite(number):
    try:
        return math.isfinite(number)
    except OverflowError:       # an int beyond the floats
        return False


def _expected_text(value, default, range_):
    if not isinstance(value, (str, os.PathLike)) or "\0" in str(value):
        return describe(default)
    if isinstance(range_, tuple):
        return None if value in range_ else " or ".join(map(repr, range_))
    return None if range_ is None or RANGES[range_](str(value)) else range_


def _numbers(value, default):
    """The numbers of a value with the type of `default`; None for another type."""
    several = isinstance(value, (list, tuple, np.ndarray))
    numbers = np.ravel(np.array(value, dtype=object)).tolist() if several else [value]
    kind = Integral if isinstance(np.ravel(default)[0].item(), int) else Real
    if several != isinstance(default, (tuple, np.ndarray)) or not _fits(len(numbers), np.size(default)):
        return None
    return numbers if all(isinstance(n, kind) and not isinstance(n, bool) for n in numbers) else None


def _fits(count, wanted):
    return count == wanted if wanted > 1 else count > 0
