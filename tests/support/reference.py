"""Recorded vectors of the original: those in tests/reference, and those that go with photographs, next to a checkout."""
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "tests" / "reference"
SHARED = ROOT.parent / "shared"
# What lies outside, because it holds photographs, or numbers that only mean something with them.
WITH_PHOTOGRAPHS = ("c2_roidb", "c2_stats", "c2_targets40", "c3_blobs", "c4_allrois", "c4_sampled", "c6_ohem", "c6_plain",
                    "c7_detect", "c7_voc_eval", "c8_rpn_minibatch")


def shipped(*parts: str) -> Path:
    """Path below tests/reference; an AssertionError where it is absent, as every checkout has it."""
    path = SHIPPED.joinpath(*parts)
    assert path.exists(), f"{path} is missing: it is part of the project"
    return path


def shared(*parts: str) -> Path:
    """Path below ../shared, of what holds photographs or weights; skips the calling test where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"photographs and their vectors are not on this machine: ../shared/{'/'.join(parts)}")
    return path


def lib_case(name: str):
    """One npz of recorded results of the original library, as an NpzFile."""
    with_photographs = name.removesuffix(".npz") in WITH_PHOTOGRAPHS
    path = shared("reference", "lib", name) if with_photographs else shipped("lib", name)
    return np.load(path, allow_pickle=False)
