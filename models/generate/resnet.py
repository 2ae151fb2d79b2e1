"""ResNet-50 as py-R-FCN trains it: fixed batch statistics, conv1 and res2 frozen, dilated res5."""
from caffe import NetSpec
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Top

from .layers import FROZEN


def resnet50(n: NetSpec, image: Top) -> Top:
    """Up to res4, the map of the RPN, 16 pixels to a cell."""
    top = conv_bn(n, "conv1", image, 64, 7, stride=2, lr=0)
    n.pool1 = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=3, stride=2)
    top = bottlenecks(n, 2, n.pool1, 64, count=3, lr=0)
    top = bottlenecks(n, 3, top, 128, count=4, stride=2)
    return bottlenecks(n, 4, top, 256, count=6, stride=2)


def res5(n: NetSpec, bottom: Top) -> Top:
    """The last group, for the score maps: dilated, so that the stride stays 16."""
    return bottlenecks(n, 5, bottom, 512, count=3, dilation=2)


def bottlenecks(n, number, bottom, channels, count, stride=1, dilation=1, lr=1):
    """A group of bottlenecks; the first has the stride and a convolution for its shortcut."""
    top = bottom
    for i in range(count):
        name = f"res{number}{'abcdef'[i]}"
        first = i == 0
        shortcut = top
        if first:
            shortcut = conv_bn(n, f"{name}_branch1", top, 4 * channels, 1, stride, lr=lr,
                               relu=False, bias_term=False)
        top = bottleneck(n, name, top, shortcut, channels, stride if first else 1, dilation, lr)
    return top


def bottleneck(n, name, bottom, shortcut, channels, stride, dilation, lr):
    """1x1, 3x3 and 1x1 to 4 * channels, added to the shortcut."""
    branch = f"{name}_branch2"
    top = conv_bn(n, f"{branch}a", bottom, channels, 1, stride, lr=lr, bias_term=False)
    top = conv_bn(n, f"{branch}b", top, channels, 3, dilation=dilation, lr=lr, bias_term=False)
    top = conv_bn(n, f"{branch}c", top, 4 * channels, 1, lr=lr, relu=False, bias_term=False)
    n[name] = L.Eltwise(shortcut, top)
    n[f"{name}_relu"] = L.ReLU(n[name], in_place=True)
    return n[f"{name}_relu"]


def conv_bn(n, name, bottom, num_output, kernel, stride=1, dilation=1, lr=1, relu=True, **settings):
    """Convolution, normalisation by ImageNet's statistics, scale and ReLU.

    name: conv1, or res2a_branch1, whose other layers are then bn2a_branch1 and scale2a_branch1.
    """
    suffix = name[3:] if name.startswith("res") else f"_{name}"
    if dilation > 1:
        settings["dilation"] = dilation
    blobs = 1 if settings.get("bias_term") is False else 2
    top = n[name] = L.Convolution(
        bottom, num_output=num_output, kernel_size=kernel, pad=dilation * (kernel // 2),
        stride=stride, param=[{"lr_mult": lr}] * blobs, **settings)
    top = n[f"bn{suffix}"] = L.BatchNorm(
        top, in_place=True, use_global_stats=True, param=[FROZEN] * 3)
    top = n[f"scale{suffix}"] = L.Scale(
        top, in_place=True, bias_term=True, param=[FROZEN] * 2)
    if relu:
        top = n[f"{name}_relu"] = L.ReLU(top, in_place=True)
    return top
