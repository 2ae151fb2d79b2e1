"""Pooled regions times weights as rows, for all arguments."""
from ..linear import linear


def fits(regions, weight):
    """Always."""
    return True


def forward(regions, weight, bias):
    """(R, num_output); see linear_of_regions.py."""
    return linear(regions.tensor().flatten(1), weight, bias)
