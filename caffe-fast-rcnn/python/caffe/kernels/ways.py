"""The ways (algorithms) of one operation, tried in order.

A way is a module with `fits`, which returns whether it supports the arguments, `forward` and, if the operation has one,
`backward`.  The last way in a table supports all arguments.  `fits` checks everything that the choice depends on.
"""
from importlib import import_module
from importlib.util import find_spec


def first_that_fits(ways, *args):
    """The first of `ways` that supports `args`."""
    return next(way for way in ways if way.fits(*args))


def avx512_bf16_ways(job):
    """The ways of `job` ("convolution", "linear_of_regions") in the folder avx512_bf16; () if the folder is absent."""
    found = find_spec(".avx512_bf16", __package__)
    if found is None or found.origin is None:       # absent, or without modules
        return ()
    return import_module(found.name).WAYS[job]
