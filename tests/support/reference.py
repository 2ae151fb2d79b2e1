"""Where the recorded reference vectors lie, when this checkout has them beside it."""
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


def shared(*parts):
    """Path below ../shared; skips the calling test, with the reason, where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip("reference data ../shared/%s is not on this machine" % "/".join(parts))
    return path


def lib_case(name):
    """One npz of ../shared/reference/lib, as an NpzFile."""
    return np.load(shared("reference", "lib", name), allow_pickle=False)
