"""Trunks: from an image to the map that RoIs are pooled from.

A trunk is a function (n, image) -> top: it adds its layers to the NetSpec and returns the last top.
Layers have the names of the ImageNet models that initialise them.
"""
from caffe import NetSpec
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Top

from .layers import multipliers

# ---- stages


def conv_relu(n: NetSpec, name: str, bottom: Top, num_output: int, kernel: int, lr: float = 1,
              relu: str | None = None, **settings) -> Top:
    """Add a convolution and its in-place ReLU; lr 0 freezes the convolution."""
    n[name] = L.Convolution(
        bottom, num_output=num_output, kernel_size=kernel, param=multipliers(lr), **settings)
    relu = relu or name.replace("conv", "relu")
    n[relu] = L.ReLU(n[name], in_place=True)
    return n[relu]


def max_pool(n: NetSpec, name: str, bottom: Top, kernel: int, **settings) -> Top:
    """Add a max pooling of stride 2."""
    n[name] = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=kernel, stride=2, **settings)
    return n[name]


def norm(n: NetSpec, name: str, bottom: Top, **settings) -> Top:
    """Add a local response normalisation."""
    n[name] = L.LRN(bottom, beta=0.75, **settings)
    return n[name]


# ---- nets of ImageNet models

def vgg16(n, image):
    """Up to conv5_3; conv1 and conv2 are frozen."""
    top = image
    blocks = ((64, 2, 0), (128, 2, 0), (256, 3, 1), (512, 3, 1), (512, 3, 1))
    for number, (num_output, convs, lr) in enumerate(blocks, start=1):
        for i in range(convs):
            top = conv_relu(n, f"conv{number}_{i + 1}", top, num_output, 3, lr, pad=1)
        if number < len(blocks):
            top = max_pool(n, f"pool{number}", top, 2)
    return top


def vgg_cnn_m_1024(n, image):
    lrn = {"local_size": 5, "alpha": 0.0005, "k": 2}
    top = conv_relu(n, "conv1", image, 96, 7, lr=0, stride=2)
    top = norm(n, "norm1", top, **lrn)
    top = max_pool(n, "pool1", top, 3)
    top = conv_relu(n, "conv2", top, 256, 5, stride=2, pad=1)
    top = norm(n, "norm2", top, **lrn)
    top = max_pool(n, "pool2", top, 3)
    for name in ("conv3", "conv4", "conv5"):
        top = conv_relu(n, name, top, 512, 3, pad=1)
    return top


def zf(n, image):
    lrn = {"local_size": 3, "alpha": 0.00005, "norm_region": P.LRN.WITHIN_CHANNEL}
    top = conv_relu(n, "conv1", image, 96, 7, stride=2, pad=3)
    top = norm(n, "norm1", top, **lrn)
    top = max_pool(n, "pool1", top, 3, pad=1)
    top = conv_relu(n, "conv2", top, 256, 5, stride=2, pad=2)
    top = norm(n, "norm2", top, **lrn)
    top = max_pool(n, "pool2", top, 3, pad=1)
    for name, num_output in (("conv3", 384), ("conv4", 384), ("conv5", 256)):
        top = conv_relu(n, name, top, num_output, 3, pad=1)
    return top


def squeezenet(n, image):
    """Up to fire9; only fire8 and fire9 are trained."""
    top = conv_relu(n, "conv1", image, 96, 7, lr=0, relu="relu_conv1", stride=2)
    top = max_pool(n, "pool1", top, 3)
    for number, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64), start=2):
        top = fire(n, number, top, squeeze, 4 * squeeze, lr=int(number >= 8))
        if number in (4, 8):
            top = max_pool(n, f"pool{number}", top, 3)
    return top


def fire(n, number, bottom, squeeze, expand, lr):
    """SqueezeNet's module: 1x1 to `squeeze` channels, then 1x1 and 3x3 to `expand` each."""
    def unit(name, bottom, num_output, kernel, **settings):
        return conv_relu(n, f"fire{number}/{name}", bottom, num_output, kernel, lr,
                         relu=f"fire{number}/relu_{name}", **settings)

    squeezed = unit("conv1x1_1", bottom, squeeze, 1)
    small = unit("conv1x1_2", squeezed, expand, 1)
    large = unit("conv3x3_2", squeezed, expand, 3, pad=1)
    name = f"fire{number}/concat"
    n[name] = L.Concat(small, large)
    return n[name]


# ---- a net of our own

def digitnet(n, image):
    """Small and of stride 4, for digits 20 pixels high.

    conv1 sees grey levels, about 64 times what msra expects: filled 64 times smaller and stepped
    64^2 times slower, it trains exactly as if the image were divided by 64.
    """
    msra = {"type": "msra"}
    top = conv_relu(n, "conv1", image, 24, 5, lr=0.00025, stride=2, pad=2,
                    weight_filler={"type": "gaussian", "std": 0.0025})
    top = conv_relu(n, "conv2", top, 32, 3, stride=2, pad=1, weight_filler=msra)
    return conv_relu(n, "conv3", top, 48, 3, pad=1, weight_filler=msra)
