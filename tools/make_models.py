#!/usr/bin/env python
"""Write every prototxt below models/: one description of each net, and what Fast R-CNN and OHEM add to it.

    python tools/make_models.py         # writes models/<dataset>/<NET>/<method>/{train,test,solver}.prototxt

A net is a trunk (stages from "data" to the feature map the RoIs are pooled from) plus the numbers of its RoI
network.  To add one, add a `Net` to NETS and run this script.  Layer names, multipliers and solver values of VGG16
and VGG_CNN_M_1024 are those of the original, so that its published weights load.
"""
from collections import namedtuple
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent / "models"
METHODS = ("fast_rcnn", "fast_rcnn_ohem")

# trunk: list of stages;  pooled: RoI pooling gives pooled x pooled cells;  dropout: whether drop6 and drop7 follow
# fc6 and fc7;  solver: what differs from SOLVER;  stride: pixels from one cell of the trunk's last map to the next
Net = namedtuple("Net", "dataset name title classes trunk pooled fc6 fc7 dropout solver stride", defaults=(16,))
# num_output;  std: of the gaussian that fills the weights where the weights file has none;  lr: their lr_mult
Fc = namedtuple("Fc", "num_output std lr", defaults=(1,))

SOLVER = {"base_lr": 0.001, "lr_policy": "step", "gamma": 0.1, "stepsize": 30000, "display": 20, "average_loss": 100,
          "momentum": 0.9, "weight_decay": 0.0005}
LONG_SCHEDULES = (("200k", 40000), ("240k", 160000))    # (iterations, stepsize): the paper's for VOC 2012, for COCO
ENUMS = ("MAX", "AVE")     # the only strings that a prototxt does not quote


# ---- text

def value_text(value):
    """A prototxt value: strings are quoted, booleans are lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value not in ENUMS:
        return '"%s"' % value
    return str(value)


def message(field, **values):
    """`field { key: value key { ... } }` on one line; a dict is a nested message, a list repeats, None is left out."""
    pairs = [(key, item) for key, value in values.items() for item in (value if isinstance(value, list) else [value])]
    parts = [message(key, **value) if isinstance(value, dict) else "%s: %s" % (key, value_text(value))
             for key, value in pairs if value is not None]
    return "%s { %s }" % (field, " ".join(parts))


def layer(name, type, bottoms, tops, *lines):
    """One layer as text; `lines` are its further fields."""
    fields = ['name: "%s"' % name, 'type: "%s"' % type]
    fields += ['bottom: "%s"' % bottom for bottom in bottoms] + ['top: "%s"' % top for top in tops]
    return "layer {\n%s}\n" % "".join("  %s\n" % field for field in fields + list(lines))


def propagate(*flags):
    """`propagate_down` lines, one for each bottom."""
    return ["propagate_down: %s" % value_text(flag) for flag in flags]


# ---- trunk: a stage maps the name of its bottom to (text, name of its top)

def conv(name, num_output, kernel, stride=None, pad=None, lr=1, bias_lr=None, filler=None, relu=None):
    """Convolution + in-place ReLU; the bias learns twice as fast if nothing else is said; lr 0 freezes both."""
    decay = None if lr else 0
    bias_lr = 2 * lr if bias_lr is None else bias_lr
    params = [message("param", lr_mult=lr, decay_mult=decay), message("param", lr_mult=bias_lr, decay_mult=decay)]
    body = message("convolution_param", num_output=num_output, pad=pad, kernel_size=kernel, stride=stride,
                   weight_filler=filler)
    relu = relu or name.replace("conv", "relu")
    return lambda bottom: (layer(name, "Convolution", [bottom], [name], *params, body)
                           + layer(relu, "ReLU", [name], [name]), name)


def pool(name, kernel, stride):
    """Max pooling."""
    body = message("pooling_param", pool="MAX", kernel_size=kernel, stride=stride)
    return lambda bottom: (layer(name, "Pooling", [bottom], [name], body), name)


def lrn(name):
    """Local response normalisation across channels, with VGG_CNN_M's numbers."""
    body = message("lrn_param", local_size=5, alpha=0.0005, beta=0.75, k=2)
    return lambda bottom: (layer(name, "LRN", [bottom], [name], body), name)


def fire(number, squeeze, expand, lr=1):
    """SqueezeNet's module: 1x1 to `squeeze` channels, then 1x1 and 3x3 to `expand` channels each, side by side."""
    prefix = "fire%d/" % number

    def unit(name, num_output, kernel, pad=None):
        return conv(prefix + name, num_output, kernel, pad=pad, lr=lr, relu=prefix + "relu_" + name)

    def stage(bottom):
        squeezed, top = unit("conv1x1_1", squeeze, 1)(bottom)
        small, small_top = unit("conv1x1_2", expand, 1)(top)
        large, large_top = unit("conv3x3_2", expand, 3, pad=1)(top)
        both = layer(prefix + "concat", "Concat", [small_top, large_top], [prefix + "concat"])
        return squeezed + small + large + both, prefix + "concat"
    return stage


def chain(stages, bottom="data"):
    """Text of the stages one after the other, and the name of the last top."""
    texts = []
    for stage in stages:
        text, bottom = stage(bottom)
        texts.append(text)
    return "".join(texts), bottom


# ---- RoI network

def gaussian(std, bias):
    """Fillers of an InnerProduct layer."""
    return {"weight_filler": {"type": "gaussian", "std": std}, "bias_filler": {"type": "constant", "value": bias}}


def inner_product(method, name, bottom, num_output, fillers, readonly, lr=1):
    """A fully connected layer; under OHEM its trainable and its read-only copy share parameters by name."""
    tail, shared = ("_readonly" if readonly else ""), method == "fast_rcnn_ohem"
    names = (name + "_w", name + "_b") if shared else (None, None)
    if readonly:      # owns the weights, but takes their multipliers from the trainable copy
        params = [message("param", name=n) for n in names]
    else:             # the original's plain nets leave decay_mult at its default, 1
        decay = (1, 0) if shared else (None, None)
        params = [message("param", name=names[0], lr_mult=lr, decay_mult=decay[0]),
                  message("param", name=names[1], lr_mult=2, decay_mult=decay[1])]
    return layer(name + tail, "InnerProduct", [bottom + tail], [name + tail], *(propagate(False) if readonly else []),
                 *params, message("inner_product_param", num_output=num_output, **fillers))


def roi_body(net, method, features, rois="rois", readonly=False):
    """RoI pooling, fc6 and fc7."""
    tail = "_readonly" if readonly else ""
    stop = propagate(False) if readonly else []
    text = layer("roi_pool5" + tail, "ROIPooling", [features, rois], ["pool5" + tail], *propagate(not readonly, False),
                 message("roi_pooling_param", pooled_w=net.pooled, pooled_h=net.pooled, spatial_scale=1 / net.stride))
    bottom = "pool5"
    for number, fc in ((6, net.fc6), (7, net.fc7)):
        top = "fc%d" % number
        text += inner_product(method, top, bottom, fc.num_output, gaussian(fc.std, 0.1), readonly, fc.lr)
        text += layer("relu%d%s" % (number, tail), "ReLU", [top + tail], [top + tail], *stop)
        if net.dropout:
            text += layer("drop%d%s" % (number, tail), "Dropout", [top + tail], [top + tail], *stop,
                          message("dropout_param", dropout_ratio=0.5))
        bottom = top
    return text


def roi_network(net, method, features, rois="rois", readonly=False):
    """roi_body, cls_score and bbox_pred; the read-only copy never runs backward."""
    return (roi_body(net, method, features, rois, readonly)
            + inner_product(method, "cls_score", "fc7", net.classes, gaussian(0.01, 0), readonly)
            + inner_product(method, "bbox_pred", "fc7", 4 * net.classes, gaussian(0.001, 0), readonly))


BLOBS = ["rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights"]


def python_layer(net, name, type, bottoms, tops, *lines):
    """A Python layer of roi_data_layer.layer."""
    body = message("python_param", module="roi_data_layer.layer", layer=type,
                   param_str="'num_classes': %d" % net.classes)
    return layer(name, "Python", bottoms, tops, *lines, body)


def mining(net, features):
    """The read-only RoI network over all RoIs, and the layer that keeps the hard ones."""
    bottoms = ["cls_prob_readonly", "bbox_pred_readonly"] + BLOBS
    return (roi_network(net, "fast_rcnn_ohem", features, readonly=True)
            + layer("cls_prob_readonly", "Softmax", ["cls_score_readonly"], ["cls_prob_readonly"], *propagate(False))
            + python_layer(net, "hard_roi_mining", "OHEMDataLayer", bottoms, [blob + "_hard" for blob in BLOBS],
                           *propagate(*[False] * len(bottoms))))


def losses(tail):
    """Both losses over the RoIs whose blobs' names end in `tail`."""
    labels, *targets = [blob + tail for blob in BLOBS[1:]]
    return (layer("loss_cls", "SoftmaxWithLoss", ["cls_score", labels], ["loss_cls"], *propagate(True, False),
                  "loss_weight: 1")
            + layer("loss_bbox", "SmoothL1Loss", ["bbox_pred"] + targets, ["loss_bbox"],
                    *propagate(True, False, False, False), "loss_weight: 1"))


# ---- the three files

def title(net):
    return '# Written by tools/make_models.py: change it there.\nname: "%s"\n' % net.title


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


def settings_text(values):
    return ("# Written by tools/make_models.py: change it there.\n"
            + "".join("%s: %s\n" % (key, value_text(value)) for key, value in values.items()))


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
    Net("pascal_voc", "SqueezeNet", "SqueezeNet", 21, SQUEEZENET, pooled=5, fc6=Fc(512, 0.0001, lr=0.0004),
        fc7=Fc(512, 0.05), dropout=False, solver={"base_lr": 0.002, "stepsize": 1500}),
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
