"""The nets: the trunk of each, and the sizes of the layers that the methods add.

Layer names, multipliers and solver values of the VOC nets are those of the original, of
py-faster-rcnn and of py-R-FCN, so that published weights load.
"""
from collections.abc import Callable
from dataclasses import dataclass, field

from .resnet import res5, resnet50
from .trunks import digitnet, squeezenet, vgg16, vgg_cnn_m_1024, zf


@dataclass(frozen=True)
class Fc:
    """fc6 or fc7."""

    num_output: int
    std: float                  # of the gaussian that fills weights which no file has
    lr: float = 1               # lr_mult of the weights


@dataclass(frozen=True)
class Rpn:
    """The region proposal network of Faster R-CNN and R-FCN."""

    channels: int               # of the trunk's last map
    num_output: int             # of the 3x3 convolution, as std and lr
    std: float = 0.01
    lr: float = 1
    scales: tuple[float, ...] = ()      # of anchors, in 16 pixels; (): the layers' own, 8 16 32
    old_names: bool = False     # the alternating nets call the convolution rpn_conv1


@dataclass(frozen=True)
class Rfcn:
    """The score maps of R-FCN."""

    channels: int = 1024        # of conv_new_1, as std and lr
    std: float = 0.01
    lr: float = 1
    group: int = 7              # the maps are pooled to group x group parts
    solver: dict = field(default_factory=dict)      # what differs from the net's other solvers


@dataclass(frozen=True)
class Net:
    """The parts of one net; the files of a method are written if the net has its parts."""

    dataset: str
    name: str
    title: str                  # `name` in the prototxts
    classes: int                # with the background
    trunk: Callable             # (NetSpec, top of the image) -> top of the last map
    solver: dict = field(default_factory=dict)      # its own values; without: published schedules
    stride: int = 16            # pixels from one cell of the trunk's last map to the next
    deeper: Callable | None = None      # further stages that only R-FCN's score maps stand on
    pooled: int = 7             # RoI pooling gives pooled x pooled cells
    roi_pool: tuple[str, str] = ("roi_pool5", "pool5")      # names of the layer and of its top
    fc6: Fc | None = None
    fc7: Fc | None = None
    dropout: dict | None = None         # settings of drop6 and drop7, None: there are none
    rpn: Rpn | None = None
    rfcn: Rfcn | None = None
    pretrained_here: bool = False       # by tools/pretrain_digits.py, for want of an ImageNet model


HALF = {"dropout_ratio": 0.5}

# SqueezeNet's pooled features are about 50 times VGG16's (rms 100 on VOC images).  fc6 filled 50
# times smaller and stepped 50^2 times slower then trains exactly as if the features were divided by
# 50; with VGG16's numbers it diverges.  The RPN is scaled alike.  Its images are half as large as
# VOC's of 600 pixels, and so are its anchors.  An R-FCN score is the mean of group^2 maps, so each
# learns group^2 times slower than a classifier would: with 256 channels filled at 0.0002 and the
# rate of Fast R-CNN, it had learnt nothing after 1000 iterations (1.2 mAP; with these numbers, 14).
SQUEEZENET = Net(
    "pascal_voc", "SqueezeNet", "SqueezeNet", 21, squeezenet, pooled=5, solver={"stepsize": 6000},
    fc6=Fc(512, 0.0001, lr=0.0004), fc7=Fc(512, 0.05),
    rpn=Rpn(512, 256, std=0.0002, lr=0.0004, scales=(4, 8, 16)),
    rfcn=Rfcn(1024, 0.0008, 0.0004, solver={"base_lr": 0.005}))

# The anchors have the size of the digits, 20 to 80 pixels.
DIGITNET = Net(
    "digits", "DigitNet", "DigitNet", 11, digitnet, pooled=6, stride=4,
    solver={"base_lr": 0.01, "stepsize": 1200}, pretrained_here=True,
    fc6=Fc(256, 0.034), fc7=Fc(128, 0.09),
    rpn=Rpn(48, 64, std=0.05, scales=(1.25, 2.5, 5)), rfcn=Rfcn(64, 0.05, group=3))

NETS = (
    Net("pascal_voc", "VGG16", "VGG_ILSVRC_16_layers", 21, vgg16, pooled=7,
        fc6=Fc(4096, 0.005), fc7=Fc(4096, 0.005), dropout=HALF, rpn=Rpn(512, 512)),
    Net("pascal_voc", "VGG_CNN_M_1024", "VGG_CNN_M_1024", 21, vgg_cnn_m_1024, pooled=6,
        fc6=Fc(4096, 0.005), fc7=Fc(1024, 0.005), dropout=HALF, rpn=Rpn(512, 256)),
    Net("pascal_voc", "ZF", "ZF", 21, zf, pooled=6, roi_pool=("roi_pool_conv5", "roi_pool_conv5"),
        fc6=Fc(4096, 0.005), fc7=Fc(4096, 0.005), dropout={**HALF, "scale_train": False},
        rpn=Rpn(256, 256, old_names=True)),
    SQUEEZENET,
    DIGITNET,
    Net("pascal_voc", "ResNet-50", "ResNet-50", 21, resnet50, deeper=res5,
        rpn=Rpn(1024, 512), rfcn=Rfcn()),
)
