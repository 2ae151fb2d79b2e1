"""Random nets of all layer types that our caffe and C++ Caffe both have, as cases of net_case.py.

A net grows layer by layer.  Our caffe builds it after each layer and says which shapes the tops have; a layer that it
refuses is dropped, or now and then ends the net, to see whether C++ Caffe refuses it too.
Not here: layers that draw random numbers (Dropout in TRAIN, STOCHASTIC pooling), BatchNorm without use_global_stats,
Python layers, and what C++ Caffe gets wrong by its own rules: layers in place whose numbers backward needs, MAX pooling
over windows without pixels (it writes outside its memory).
OPS takes further entries: a data layer is a function with nothing to read.
"""
import numpy as np

from . import random_layers  # noqa: F401  (it fills OPS)
from .net_growth import NOT_FORCED, OPS, Growth


def random_net(seed, kind=None, layers=4):
    """A case whose last layer is of type `kind` (any: None) if a place for it was found."""
    growth = Growth(np.random.RandomState(seed))
    if kind in NOT_FORCED:
        growth.force = False
    for _ in range(growth.rng.randint(0, layers)):
        growth.grow(growth.choice(sorted(OPS)))
    for _ in range(5):
        if growth.refused or growth.grow(kind or growth.choice(sorted(OPS))):
            break
    if not growth.text:
        growth.grow("AbsVal")
    if not growth.force and not growth.refused:
        growth.end_in_losses()
    return growth.case(seed)
