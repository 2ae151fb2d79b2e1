#!/usr/bin/env python
"""Write every prototxt below models/: one description of each net, and what each method adds to it.

    python tools/make_models.py         # writes models/<dataset>/<NET>/<method>/{train,test,solver}.prototxt

To add a net, add a `Net` to NETS and run this script.  Layer names, multipliers and solver values of the VOC nets are
those of the original and of py-faster-rcnn, so that published weights load.
"""
from pathlib import Path

import _faster_rcnn_models
import _rfcn_models
from _net_text import (
    BLOBS,
    SOLVER,
    Fc,
    Net,
    chain,
    conv,
    fire,
    gaussian,
    inner_product,
    layer,
    losses,
    lrn,
    message,
    mining,
    pool,
    python_layer,
    roi_body,
    roi_network,
    settings_text,
    title,
)

MODELS = Path(__file__).resolve().parent.parent / "models"
METHODS = ("fast_rcnn", "fast_rcnn_ohem")
LONG_SCHEDULES = (("200k", 40000), ("240k", 160000))    # (iterations, stepsize): the paper's for VOC 2012, for COCO


# ---- the three files

def train_text(net, method):
    trunk, features = chain(net.trunk)
    tail = "_hard" if method == "fast_rcnn_ohem" else ""
    return (title(net) + python_layer(net, "data", "RoIDataLayer", [], ["data"] + BLOBS) + trunk
            + (mining(net, features) if tail else "")
            + roi_network(net, method, features, "rois" + tail) + losses(tail))


def test_text(net):
    """Takes an image (1, 3, H, W) and rois (R, 5), gives cls_prob (R, K) and bbox_pred (R, 4K)."""
    trunk, features = chain(net.trunk)
    inputs = ('input: "data"\ninput_shape { dim: 1 dim: 3 dim: 224 dim: 224 }\n'
              'input: "rois"\ninput_shape { dim: 1 dim: 5 }\n')
    return (title(net) + inputs + trunk + roi_network(net, "fast_rcnn", features)
            + layer("cls_prob", "Softmax", ["cls_score"], ["cls_prob"]))


def classifier_text(title, stages, fcs):
    """A net for one image (1, 3, 224, 224): the stages, then layers fcs [(name, num_output)] to prob."""
    text, bottom = chain(stages)
    for number, (name, num_output) in enumerate(fcs, start=6):
        text += layer(name, "InnerProduct", [bottom], [name], message("inner_product_param", num_output=num_output))
        if (name, num_output) != fcs[-1]:
            text += layer("relu%d" % number, "ReLU", [name], [name])
            text += layer("drop%d" % number, "Dropout", [name], [name], message("dropout_param", dropout_ratio=0.5))
        bottom = name
    return ('# Written by tools/make_models.py: change it there.\nname: "%s"\n' % title
            + 'input: "data"\ninput_shape { dim: 1 dim: 3 dim: 224 dim: 224 }\n'
            + text + layer("prob", "Softmax", [bottom], ["prob"]))


def solver_text(net, method, **changes):
    values = {"train_net": "models/%s/%s/%s/train.prototxt" % (net.dataset, net.name, method), **SOLVER, **net.solver,
              **changes}
    if method == "fast_rcnn_ohem":
        values["iter_size"] = 2      # one image of 64 hard RoIs at a time, two to a step: see fast_rcnn_ohem.yml
    # no snapshots by the solver itself: fast_rcnn.train writes them, under this prefix
    values.update(snapshot=0, snapshot_prefix="%s_fast_rcnn" % net.name.lower())
    return settings_text(values)


# ---- first weights of a net that no ImageNet model exists for

def pretraining_texts(net, images=64, side=48, classes=10):
    """{name: text}: the net as a classifier of one RoI an image, which tools/pretrain_digits.py trains."""
    trunk, features = chain(net.trunk)
    inputs = layer("input", "Input", [], ["data", "rois", "labels"], message("input_param", shape=[
        {"dim": [images, 3, side, side]}, {"dim": [images, 5]}, {"dim": [images]}]))
    train = (title(net) + inputs + trunk + roi_body(net, "fast_rcnn", features)
             + inner_product("fast_rcnn", "digit_score", "fc7", classes, gaussian(0.01, 0), readonly=False)
             + layer("loss", "SoftmaxWithLoss", ["digit_score", "labels"], ["loss"])
             + layer("accuracy", "Accuracy", ["digit_score", "labels"], ["accuracy"]))
    values = {"train_net": "models/%s/%s/classifier/train.prototxt" % (net.dataset, net.name), **SOLVER,
              "base_lr": 0.01, "stepsize": 700, "display": 100, "snapshot": 0, "snapshot_prefix": "digitnet"}
    return {"train": train, "solver": settings_text(values)}


# ---- the nets

def vgg16_block(number, num_output, convs, lr):
    return [conv("conv%d_%d" % (number, i + 1), num_output, 3, pad=1, lr=lr) for i in range(convs)]


VGG16 = (vgg16_block(1, 64, 2, lr=0) + [pool("pool1", 2, 2)] + vgg16_block(2, 128, 2, lr=0) + [pool("pool2", 2, 2)]
         + vgg16_block(3, 256, 3, lr=1) + [pool("pool3", 2, 2)] + vgg16_block(4, 512, 3, lr=1) + [pool("pool4", 2, 2)]
         + vgg16_block(5, 512, 3, lr=1))

VGG_CNN_M_1024 = [conv("conv1", 96, 7, stride=2, lr=0), lrn("norm1"), pool("pool1", 3, 2),
                  conv("conv2", 256, 5, stride=2, pad=1), lrn("norm2"), pool("pool2", 3, 2),
                  conv("conv3", 512, 3, pad=1), conv("conv4", 512, 3, pad=1), conv("conv5", 512, 3, pad=1)]

ZF_LRN = {"local_size": 3, "alpha": 0.00005, "k": None, "region": "WITHIN_CHANNEL"}
ZF = [conv("conv1", 96, 7, stride=2, pad=3), lrn("norm1", **ZF_LRN), pool("pool1", 3, 2, pad=1),
      conv("conv2", 256, 5, stride=2, pad=2), lrn("norm2", **ZF_LRN), pool("pool2", 3, 2, pad=1),
      conv("conv3", 384, 3, pad=1), conv("conv4", 384, 3, pad=1), conv("conv5", 256, 3, pad=1)]

SQUEEZENET = [conv("conv1", 96, 7, stride=2, lr=0, relu="relu_conv1"), pool("pool1", 3, 2),
              fire(2, 16, 64, lr=0), fire(3, 16, 64, lr=0), fire(4, 32, 128, lr=0), pool("pool4", 3, 2),
              fire(5, 32, 128, lr=0), fire(6, 48, 192, lr=0), fire(7, 48, 192, lr=0),
              fire(8, 64, 256), pool("pool8", 3, 2), fire(9, 64, 256)]

# Small and of stride 4, for digits 20 pixels high.  conv1 sees grey levels, about 64 times what msra expects: filled 64
# times smaller and stepped 64^2 times slower, it trains exactly as if the image were divided by 64.
MSRA = {"type": "msra"}
DIGITNET = [conv("conv1", 24, 5, stride=2, pad=2, lr=0.00025, bias_lr=2, filler={"type": "gaussian", "std": 0.0025}),
            conv("conv2", 32, 3, stride=2, pad=1, filler=MSRA), conv("conv3", 48, 3, pad=1, filler=MSRA)]

# SqueezeNet's pooled features are about 50 times VGG16's (rms 100 on VOC images).  fc6 filled 50 times smaller and
# stepped 50^2 times slower then trains exactly as if the features were divided by 50; with VGG16's numbers it diverges.
NETS = [
    Net("pascal_voc", "VGG16", "VGG_ILSVRC_16_layers", 21, VGG16, pooled=7, fc6=Fc(4096, 0.005), fc7=Fc(4096, 0.005),
        dropout=True, solver={}),
    Net("pascal_voc", "VGG_CNN_M_1024", "VGG_CNN_M_1024", 21, VGG_CNN_M_1024, pooled=6, fc6=Fc(4096, 0.005),
        fc7=Fc(1024, 0.005), dropout=True, solver={}),
    Net("pascal_voc", "ZF", "ZF", 21, ZF, pooled=6, fc6=Fc(4096, 0.005), fc7=Fc(4096, 0.005), dropout=True, solver={},
        roi_pool=("roi_pool_conv5", "roi_pool_conv5"), scale_train=False),
    Net("pascal_voc", "SqueezeNet", "SqueezeNet", 21, SQUEEZENET, pooled=5, fc6=Fc(512, 0.0001, lr=0.0004),
        fc7=Fc(512, 0.05), dropout=False, solver={"stepsize": 6000}),
    Net("digits", "DigitNet", "DigitNet", 11, DIGITNET, pooled=6, fc6=Fc(256, 0.034), fc7=Fc(128, 0.09),
        dropout=False, solver={"base_lr": 0.01, "stepsize": 1200}, stride=4),
]


def files(net):
    """{path relative to models/: text} of one net."""
    texts = {}
    for method in METHODS:
        for name, text in (("train", train_text(net, method)), ("test", test_text(net)),
                           ("solver", solver_text(net, method))):
            texts["%s/%s/%s/%s.prototxt" % (net.dataset, net.name, method, name)] = text
        for length, stepsize in () if net.solver else LONG_SCHEDULES:
            texts["%s/%s/%s/solver_%s.prototxt" % (net.dataset, net.name, method, length)] = solver_text(
                net, method, stepsize=stepsize)
    if net.name == "DigitNet":
        for name, text in pretraining_texts(net).items():
            texts["%s/%s/classifier/%s.prototxt" % (net.dataset, net.name, name)] = text
    return texts


def all_files():
    """{path relative to models/: text} of everything there."""
    texts = {path: text for net in NETS for path, text in files(net).items()}
    for net in NETS:
        for path, text in _faster_rcnn_models.files(net).items():
            texts["%s/%s/%s" % (net.dataset, net.name, path)] = text
    for net in [_rfcn_models.RESNET50] + [net for net in NETS if net.name in _rfcn_models.HEADS]:
        for path, text in _rfcn_models.files(net).items():
            texts["%s/%s/%s" % (net.dataset, net.name, path)] = text
    texts["imagenet/VGG16/deploy.prototxt"] = classifier_text(
        "VGG_ILSVRC_16_layers", VGG16 + [pool("pool5", 2, 2)], [("fc6", 4096), ("fc7", 4096), ("fc8", 1000)])
    return texts


def main():
    for path, text in all_files().items():
        (MODELS / path).parent.mkdir(parents=True, exist_ok=True)
        (MODELS / path).write_text(text)
        print("wrote models/" + path)


if __name__ == "__main__":
    main()
