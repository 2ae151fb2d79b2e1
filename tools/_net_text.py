"""The parts that tools/make_models.py puts nets together from: prototxt text, trunks, RoI networks.

A net is a trunk (stages from "data" to the feature map the RoIs are pooled from) plus the numbers of its RoI network.
"""
from collections import namedtuple

# trunk: list of stages;  pooled: RoI pooling gives pooled x pooled cells;  dropout: whether drop6 and drop7 follow
# fc6 and fc7;  solver: what differs from SOLVER;  stride: pixels from one cell of the trunk's last map to the next;
# roi_pool: names of the RoI pooling layer and of its top;  scale_train: of the dropout layers, None: Caffe's default
Net = namedtuple("Net", "dataset name title classes trunk pooled fc6 fc7 dropout solver stride roi_pool scale_train",
                 defaults=(16, ("roi_pool5", "pool5"), None))
# num_output;  std: of the gaussian that fills the weights where the weights file has none;  lr: their lr_mult
Fc = namedtuple("Fc", "num_output std lr", defaults=(1,))

SOLVER = {"base_lr": 0.001, "lr_policy": "step", "gamma": 0.1, "stepsize": 30000, "display": 20, "average_loss": 100,
          "momentum": 0.9, "weight_decay": 0.0005}
ENUMS = ("MAX", "AVE", "WITHIN_CHANNEL", "PRE_FIXED")     # the only strings that a prototxt does not quote


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


def pool(name, kernel, stride, pad=None):
    """Max pooling."""
    body = message("pooling_param", pool="MAX", kernel_size=kernel, stride=stride, pad=pad)
    return lambda bottom: (layer(name, "Pooling", [bottom], [name], body), name)


def lrn(name, local_size=5, alpha=0.0005, k=2, region=None):
    """Local response normalisation, with VGG_CNN_M's numbers unless others are given."""
    body = message("lrn_param", local_size=local_size, alpha=alpha, beta=0.75, k=k, norm_region=region)
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
    name, top = net.roi_pool
    return (layer(name + tail, "ROIPooling", [features, rois], [top + tail], *propagate(not readonly, False),
                  message("roi_pooling_param", pooled_w=net.pooled, pooled_h=net.pooled, spatial_scale=1 / net.stride))
            + fc_layers(net, method, top, readonly))


def fc_layers(net, method, bottom, readonly=False):
    """fc6 and fc7 with what follows each."""
    text, tail = "", "_readonly" if readonly else ""
    stop = propagate(False) if readonly else []
    for number, fc in ((6, net.fc6), (7, net.fc7)):
        top = "fc%d" % number
        text += inner_product(method, top, bottom, fc.num_output, gaussian(fc.std, 0.1), readonly, fc.lr)
        text += layer("relu%d%s" % (number, tail), "ReLU", [top + tail], [top + tail], *stop)
        if net.dropout:
            text += layer("drop%d%s" % (number, tail), "Dropout", [top + tail], [top + tail], *stop,
                          message("dropout_param", dropout_ratio=0.5, scale_train=net.scale_train))
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


def title(net):
    return '# Written by tools/make_models.py: change it there.\nname: "%s"\n' % net.title


def settings_text(values):
    return ("# Written by tools/make_models.py: change it there.\n"
            + "".join("%s: %s\n" % (key, value_text(value)) for key, value in values.items()))
