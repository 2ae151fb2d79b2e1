"""Shared by all nets: names of blobs, multipliers, fillers, inputs."""
from collections.abc import Sequence

from caffe import NetSpec
from caffe import layers as L
from caffe.net_spec import Top
from caffe.proto.caffe_pb2 import NetParameter

# What a minibatch of RoIs consists of.
BLOBS = ("rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights")
FROZEN = {"lr_mult": 0, "decay_mult": 0}
IMAGE = (1, 3, 224, 224)        # of test nets, until the first image is fed
TAKES_IMAGE = "Takes data (1, 3, H, W) and im_info (1, 3), an image's height, width and scale."


def multipliers(lr: float) -> list[dict]:
    """`param` of a layer with weights and bias; lr: of the weights, 0 freezes both."""
    return [{"lr_mult": lr}, {"lr_mult": 2}] if lr else [FROZEN] * 2


def gaussian(std: float, bias: float) -> dict:
    """Fillers of a layer with weights and bias."""
    return {"weight_filler": {"type": "gaussian", "std": std},
            "bias_filler": {"type": "constant", "value": bias}}


def freeze(n: NetSpec, names: Sequence[str]) -> None:
    """Set the multipliers of the layers with these names to 0, so that their weights do not change."""
    for name in names:
        settings = n[name].fn.params
        if "param" in settings:
            settings["param"] = [{**param, **FROZEN} for param in settings["param"]]


def enter(n: NetSpec, names: Sequence[str], tops: Sequence[Top]) -> None:
    """Add the tops of one layer under these names."""
    for name, top in zip(names, tops, strict=True):
        n[name] = top


def convolution(n: NetSpec, name: str, bottom: Top, num_output: int, kernel: int = 1,
                std: float = 0.01, lr: float = 1, layer: str = "") -> Top:
    """Add a convolution of a head: filled by a gaussian, it keeps the size of its map.

    name: of the top, and of the layer too unless `layer` is given.
    """
    n[name] = L.Convolution(
        bottom, name=layer or name, num_output=num_output, kernel_size=kernel, pad=kernel // 2,
        stride=1, param=multipliers(lr), **gaussian(std, 0))
    return n[name]


def roi_data_layer(layer: str, classes: int) -> dict:
    """Settings of a Python layer of roi_data_layer.layer."""
    param_str = f"'num_classes': {classes}"
    return {"module": "roi_data_layer.layer", "layer": layer, "param_str": param_str}


def reshape(*dims: int) -> dict:
    """Settings of a Reshape layer; 0 keeps a dimension, -1 is inferred from the others."""
    return {"shape": {"dim": list(dims)}}


def net_with_inputs(n: NetSpec, title: str, **shapes: tuple[int, ...]) -> NetParameter:
    """The net with its inputs as fields instead of Input layers, as in published test nets.

    shapes: by the name of each input, which is the top of an Input layer of `n`.
    """
    net = named(n, title)
    layers = [layer for layer in net.layer if layer.type != "Input"]
    del net.layer[:]
    net.layer.extend(layers)
    for name, dims in shapes.items():
        net.input.append(name)
        net.input_shape.add(dim=dims)
    return net


def named(n: NetSpec, title: str) -> NetParameter:
    """The net with its title."""
    net = n.to_proto()
    net.name = title
    return net
