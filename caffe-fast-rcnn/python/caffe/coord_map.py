"""Where the pixels of one top of a NetSpec lie in another, and the Crop that lays one over the other.

A map is (axis, a, b): from `axis` on, the coordinate x of the first top is a x + b in the second;
a and b are numbers, or arrays of one number an axis.  axis None: the identity of a layer that works
pixel by pixel.
"""
import numpy as np

from . import net_spec

PASS_THROUGH_LAYERS = ["AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log",
                       "MVN", "PReLU", "Power", "ReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH", "Threshold"]


class UndefinedMapException(Exception):
    """A layer whose tops have no place in its bottoms: InnerProduct, Softmax."""


class AxisMismatchException(Exception):
    """Two maps of layers that work on different axes."""


def conv_params(fn):
    """(axis, stride, kernel extent, pad) of a Convolution, Deconvolution, Pooling or Im2col."""
    params = fn.params.get("convolution_param", fn.params)
    if "kernel_size" not in params:
        raise ValueError(f"coord_map: {fn.type_name} without kernel_size (kernel_h and kernel_w are not read here)")
    size, dilation, pad, stride = (np.array(params.get(name, default), ndmin=1) for name, default in
                                   (("kernel_size", None), ("dilation", 1), ("pad", 0), ("stride", 1)))
    return params.get("axis", 1), stride, (size - 1) * dilation + 1, pad


def crop_params(fn):
    """(axis, offset) of a Crop."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn):
    """The map from a layer's bottom to its top.  Raises UndefinedMapException where there is none."""
    if fn.type_name in PASS_THROUGH_LAYERS:
        return None, 1, 0
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset             # conv_params counts from the channels' axis
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name in ("Convolution", "Pooling", "Im2col") and not fn.params.get("global_pooling"):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    raise UndefinedMapException(f"{fn.type_name} has no coordinate map")


def compose(base_map, next_map):
    """The map that applies `next_map`, then `base_map`.  Raises AxisMismatchException."""
    (axis, a, b), (next_axis, next_a, next_b) = base_map, next_map
    if None not in (axis, next_axis) and axis != next_axis:
        raise AxisMismatchException(f"a map of axis {axis} on one of axis {next_axis}")
    return (next_axis if axis is None else axis), a * next_a, a * next_b + b


def inverse(coord_map):
    """The map the other way round."""
    axis, a, b = coord_map
    return axis, 1 / a, -b / a


def coord_map_from_to(top_from, top_to):
    """The map from one top to another, through an ancestor they share.  Raises RuntimeError where there is none."""
    from_maps = _maps_from_ancestors(top_from)
    for ancestor, to_map in _maps_from_ancestors(top_to).items():
        if ancestor in from_maps:
            return compose(to_map, inverse(from_maps[ancestor]))
    raise RuntimeError("Could not compute map between tops; are they connected by spatial layers?")


def _maps_from_ancestors(top):
    """{ancestor of `top`, itself included: map from it to `top`}, as far as maps are defined; nearest first."""
    maps, waiting = {top: (None, 1, 0)}, [top]
    for reached in waiting:
        try:
            step = coord_map(reached.fn)
        except UndefinedMapException:
            continue
        inputs = reached.fn.inputs[:1] if reached.fn.type_name == "Crop" else reached.fn.inputs
        for bottom in inputs:
            if bottom not in maps:
                maps[bottom] = compose(maps[reached], step)
                waiting.append(bottom)
    return maps


def crop(top_from, top_to):
    """A Crop of `top_from` that lies over `top_to`.  Raises AssertionError where their pixels do not coincide."""
    axis, a, b = coord_map_from_to(top_from, top_to)
    a, b = np.atleast_1d(a), np.atleast_1d(b)
    if not (a == 1).all():
        raise AssertionError(f"scale mismatch on crop (a = {a})")
    if not (b <= 0).all():
        raise AssertionError(f"cannot crop negative offset (b = {b})")
    if not (np.round(b) == b).all():
        raise AssertionError(f"cannot crop noninteger offset (b = {b})")
    return net_spec.layers.Crop(top_from, top_to, crop_param=dict(axis=axis + 1, offset=[int(-x) for x in b]))
