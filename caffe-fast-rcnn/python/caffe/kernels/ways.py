"""The ways of one job, tried in order.

A way is a module with `fits`, which says whether it can take these arguments, `forward` and, where the job has one,
`backward`.  A job's table ends with a way that takes all.  Everything that a choice depends on is asked by `fits`.
"""
from importlib import import_module
from importlib.util import find_spec


def first_that_fits(ways, *args):
    """The first of `ways` that takes `args`."""
    return next(way for way in ways if way.fits(*args))


def avx512_bf16_ways(job):
    """The ways of `job` ("convolution", "linear_of_regions") in the folder avx512_bf16; none without that folder."""
    found = find_spec(".avx512_bf16", __package__)
    if found is None or found.origin is None:       # absent, or without modules
        return ()
    return import_module(found.name).WAYS[job]
