"""The layers of the nets of random_nets.py: each function adds one of its types to a net that grows."""
import numpy as np

from .net_growth import op

FILLER = 'weight_filler { type: "xavier" }'


@op("AbsVal", "BNLL", "Sigmoid", "TanH", "ReLU", "ELU", "PReLU", "Swish", "Power", "Exp", "Log", "Threshold")
def neuron(g, kind):
    settings = {
        "ReLU": ("relu", dict(negative_slope=[0.1, 0.5])), "ELU": ("elu", dict(alpha=[0.5, 2])),
        "PReLU": ("prelu", dict(channel_shared=["true", "false"])), "Swish": ("swish", dict(beta=[0.5, 2])),
        "Power": ("power", dict(power=[1, 2, 3, 0], scale=[0.5, -1, 0], shift=[0, 1])),
        "Exp": ("exp", dict(base=[2, 0.5, -1], scale=[0.3], shift=[-1, 0.5])),
        "Log": ("log", dict(base=[2, -1], scale=[0.1], shift=[4])), "Threshold": ("threshold", dict(threshold=[0.3])),
    }.get(kind)
    text = "%s_param { %s }" % (settings[0], g.fields(**settings[1])) if settings else ""
    if kind == "Log" and "shift" not in text:
        text = "log_param { shift: 5 scale: 0.3 }"
    g.add(kind, [g.blob(2 if kind == "PReLU" else 1)], 1, text, in_place=g.rng.rand() < 0.3)


@op("Softmax", "ArgMax")
def along_an_axis(g, kind):
    x = g.blob()
    if kind == "ArgMax":
        g.add(kind, [x], 1, "argmax_param { %s }" % g.fields(axis=[g.axis(x)], top_k=[1, 2], out_max_val=["true"]))
    else:
        g.add(kind, [x], 1, "softmax_param { axis: %d }" % g.axis(x), in_place=g.rng.rand() < 0.2)


@op("Dropout")
def dropout(g, kind):
    g.phase = 1 if g.text == "" else g.phase
    ratio = 0.4 if g.phase else 0
    g.add(kind, [g.blob()], 1, "dropout_param { dropout_ratio: %s }" % ratio, in_place=g.rng.rand() < 0.3)


@op("Accuracy")
def accuracy(g, kind):
    x = g.blob(2)
    axis = g.axis(x)
    shape = g.shapes[x]
    label = g.input(shape[:axis % len(shape)] + shape[axis % len(shape) + 1:] or (1,), "integers", 0, shape[axis])
    g.add(kind, [x, label], g.choice([1, 1, 2]),
          "accuracy_param { axis: %d %s }" % (axis, g.fields(top_k=[1, 2], ignore_label=[0])))


@op("SoftmaxWithLoss", "InfogainLoss")
def softmax_loss(g, kind):
    x = g.blob(2)
    axis, shape = g.axis(x), g.shapes[x]
    classes = shape[axis]
    label = g.input(shape[:axis % len(shape)] + shape[axis % len(shape) + 1:] or (1,), "integers", 0, classes)
    text = "loss_param { %s }" % g.fields(ignore_label=[0, 1], normalization=["FULL", "VALID", "BATCH_SIZE", "NONE"])
    tops = g.choice([1, 2]) if kind == "InfogainLoss" else 1
    weight = "loss_weight: %s " % g.choice([1, 0.5, 2]) if tops == 1 else "loss_weight: 1 loss_weight: 0 "
    if kind == "SoftmaxWithLoss":
        g.add(kind, [x, label], tops, weight + text + " softmax_param { axis: %d }" % axis)
        return
    h = g.input((classes, classes), "uniform", 0, 1)
    g.add(kind, [x, label, h], tops, weight + text + " infogain_loss_param { axis: %d }" % axis)


@op("HingeLoss", "MultinomialLogisticLoss")
def label_loss(g, kind):
    x = g.blob(2)
    shape = g.shapes[x]
    label = g.input(shape[:1], "integers", 0, int(np.prod(shape[1:])))
    if kind == "MultinomialLogisticLoss":
        x = g.add("Sigmoid", [x])[0]
    g.add(kind, [x, label], 1, "hinge_loss_param { norm: %s }" % g.choice(["L1", "L2"]) if kind == "HingeLoss" else "")


@op("EuclideanLoss", "ContrastiveLoss", "SigmoidCrossEntropyLoss")
def pair_loss(g, kind):
    x = g.blob(2, 2) if kind == "ContrastiveLoss" else g.blob()
    bottoms, text = [x, g.like(x)], "loss_weight: 0.5"
    if kind == "ContrastiveLoss":
        bottoms.append(g.input((g.shapes[x][0], *g.choice([(), (1, 1, 1)])), "integers", 0, 2))
        bottoms[:2] = [x, g.like(x)]
        text = "contrastive_loss_param { %s }" % g.fields(margin=[0.5, 3], legacy_version=["true"])
        for i in range(2):      # C++ Caffe wants four axes
            bottoms[i] = g.add("Reshape", [bottoms[i]], 1, "reshape_param { shape { dim: 0 dim: 0 dim: 1 dim: 1 } }")[0]
    if kind == "SigmoidCrossEntropyLoss":
        bottoms[1] = g.input(g.shapes[x], *g.choice([("uniform", 0, 1), ("integers", -1, 2)]))
        text += " loss_param { %s }" % g.fields(ignore_label=[-1], normalization=["FULL", "VALID", "BATCH_SIZE", "NONE"])
    g.add(kind, bottoms, 1, text)


@op("Convolution", "Deconvolution", "Im2col")
def convolution(g, kind):
    axes = g.choice([1, 2, 2, 2, 3])
    x = g.images() if axes == 2 else g.blob(axes + 2, axes + 2)
    channels = g.shapes[x][-axes - 1]
    group = g.choice([n for n in (1, 2, 3) if channels % n == 0])
    text = g.choice(["kernel_size: %d" % g.rng.randint(1, 4)] + (["kernel_h: 1 kernel_w: 3"] if axes == 2 else []))
    text += " " + g.fields(stride=[1, 2, 3], pad=[0, 1, 2], dilation=[1, 2])
    if kind == "Im2col":
        g.add(kind, [x], 1, "convolution_param { %s axis: %d }" % (text, -axes - 1))
        return
    more = g.fields(bias_term=["false", "true"], force_nd_im2col=["true"])
    bottoms = [x, g.like(x)] if g.rng.rand() < 0.1 else [x]
    g.add(kind, bottoms, len(bottoms), "convolution_param { num_output: %d group: %d axis: %d %s %s %s }"
          % (group * g.rng.randint(1, 3), group, -axes - 1, text, more, FILLER))


@op("Pooling")
def pooling(g, kind):
    method = g.choice(["MAX", "AVE"])
    height, width = g.rng.randint(1, 5, 2)
    height = width if g.rng.rand() < 0.5 else height
    text = "kernel_size: %d" % width if height == width else "kernel_h: %d kernel_w: %d" % (height, width)
    strides = [n for n in (1, 2, 3) if method == "AVE" or n <= min(height, width)]
    text += " " + g.fields(stride=strides, pad=[0, 1, 2])
    text = "global_pooling: true" if g.rng.rand() < 0.1 else text
    g.add(kind, [g.images()], g.choice([1, 1, 2]), "pooling_param { pool: %s %s }" % (method, text))


@op("SPP")
def spp(g, kind):
    g.add(kind, [g.images()], 1, "spp_param { pyramid_height: %d pool: %s }" % (g.choice([1, 2, 2, 3]), g.choice(["MAX", "AVE"])))


@op("LRN", "MVN")
def normalization(g, kind):
    if kind == "LRN":
        g.add(kind, [g.images()], 1, "lrn_param { %s }" % g.fields(
            local_size=[1, 3, 5], alpha=[0.5], beta=[0.3], k=[2], norm_region=["WITHIN_CHANNEL"]))
    else:
        g.add(kind, [g.blob(1, 5)], 1, "mvn_param { eps: 0.01 %s }" % g.fields(
            normalize_variance=["false"], across_channels=["true"]))


@op("BatchNorm")
def batch_norm(g, kind):
    g.add(kind, [g.blob()], 1, "batch_norm_param { use_global_stats: true %s }" % g.fields(eps=[0.01]),
          in_place=g.rng.rand() < 0.3)


@op("Scale", "Bias")
def scale_bias(g, kind):
    x = g.blob()
    shape, axis = g.shapes[x], g.axis(x)
    first = axis % len(shape)
    count = int(g.rng.randint(0, len(shape) - first + 1))
    more = g.fields(bias_term=["true"]) if kind == "Scale" else ""
    stem = "scale_param" if kind == "Scale" else "bias_param"
    if g.rng.rand() < 0.4:
        other = g.fresh(shape[first:first + count] or (1,)) if count else g.fresh((1,))
        g.add(kind, [x, other], 1, "%s { axis: %d %s }" % (stem, axis, more), in_place=g.rng.rand() < 0.2)
    else:
        g.add(kind, [x], 1, "%s { axis: %d num_axes: %d %s }" % (stem, axis, g.choice([count, -1]), more), g.rng.rand() < 0.2)


@op("InnerProduct")
def inner_product(g, kind):
    x = g.blob()
    g.add(kind, [x], 1, "inner_product_param { num_output: %d axis: %d %s %s }" % (
        g.rng.randint(1, 5), g.axis(x), FILLER, g.fields(bias_term=["false"], transpose=["true"])))


@op("shared weights")
def shared_weights(g, kind):
    """Two layers with the same weights; the later one's may have another shape of the same size."""
    x = g.blob(2)
    text = 'param { name: "w%d" share_mode: PERMISSIVE } inner_product_param { num_output: 3 bias_term: false %s %s }'
    name = g.number
    for y, transpose in ((x, ""), (g.like(x), g.fields(transpose=["true"]))):
        g.add("InnerProduct", [y], 1, text % (name, FILLER, transpose))


@op("Embed")
def embed(g, kind):
    index = g.input(g.dims(1, 3), "integers", 0, 5)
    g.add(kind, [index], 1, "embed_param { input_dim: 5 num_output: 3 %s %s }" % (FILLER, g.fields(bias_term=["false"])))


@op("BatchReindex")
def batch_reindex(g, kind):
    x = g.blob()
    g.add(kind, [x, g.input(g.dims(1, 1), "integers", 0, g.shapes[x][0])])


@op("Concat", "Slice", "Tile")
def joined(g, kind):
    x = g.blob()
    axis = g.axis(x)
    if kind == "Concat":
        g.add(kind, [x, *(g.like(x) for _ in range(g.rng.randint(0, 3)))], 1, "concat_param { axis: %d }" % axis)
    elif kind == "Tile":
        g.add(kind, [x], 1, "tile_param { axis: %d tiles: %d }" % (axis, g.rng.randint(1, 4)))
    else:
        size = g.shapes[x][axis]
        points = sorted(g.rng.permutation(range(1, size))[:g.rng.randint(0, 3)].tolist()) if size > 1 else []
        tops = len(points) + 1 if points else g.choice([n for n in (1, 2, 3) if size % n == 0])
        g.add(kind, [x], tops, "slice_param { axis: %d %s }" % (axis, " ".join("slice_point: %d" % p for p in points)))


@op("Crop")
def crop(g, kind):
    x = g.blob(2)
    shape = g.shapes[x]
    axis = int(g.rng.randint(0, len(shape)))
    like = shape[:axis] + tuple(int(g.rng.randint(1, n + 1)) for n in shape[axis:])
    offsets = [int(g.rng.randint(0, n - m + 1)) for n, m in zip(shape[axis:], like[axis:])]
    text = " ".join("offset: %d" % o for o in (offsets if g.rng.rand() < 0.6 else [0]))
    g.add(kind, [x, g.input(like)], 1, "crop_param { axis: %d %s }" % (g.choice([axis, axis - len(shape)]), text))


@op("Eltwise")
def eltwise(g, kind):
    x = g.blob()
    bottoms = [x, *(g.like(x) for _ in range(g.rng.randint(1, 3)))]
    operation = g.choice(["SUM", "PROD", "MAX"])
    text = g.fields(stable_prod_grad=["false"])
    if operation == "SUM" and g.rng.rand() < 0.5:
        text += " ".join(" coeff: %s" % g.choice([1, -1, 0.5]) for _ in bottoms)
    g.add(kind, bottoms, 1, "eltwise_param { operation: %s %s }" % (operation, text))


@op("Reduction")
def reduction(g, kind):
    x = g.blob()
    g.add(kind, [x], 1, g.fields(loss_weight=[1]) + " reduction_param { operation: %s axis: %d %s }" % (
        g.choice(["SUM", "ASUM", "SUMSQ", "MEAN"]), g.axis(x), g.fields(coeff=[0.5, -2])))


@op("Reshape", "Flatten")
def reshape(g, kind):
    x = g.blob()
    if kind == "Flatten":
        g.add(kind, [x], 1, "flatten_param { %s }" % g.fields(axis=[g.axis(x)], end_axis=[g.axis(x)]))
        return
    dims = [int(g.choice([0, 1, 2, 3])) for _ in range(g.rng.randint(0, 4))]
    dims.insert(g.rng.randint(0, len(dims) + 1), -1)
    g.add(kind, [x], 1, "reshape_param { %s shape { %s } }" % (
        g.fields(axis=[g.axis(x)], num_axes=[-1, 0, 1, 2]), " ".join("dim: %d" % d for d in dims)))


@op("Split", "Silence")
def split(g, kind):
    g.add(kind, [g.blob()], 0 if kind == "Silence" else 2)


@op("Filter")
def filter_(g, kind):
    x = g.blob()
    selector = g.input(g.shapes[x][:1] + g.choice([(), (1, 1)]), "integers", 0, 2)
    g.add(kind, [x, selector])


@op("DummyData", "Parameter")
def source(g, kind):
    shape = "shape { %s }" % " ".join("dim: %d" % d for d in g.dims(1, 4))
    g.add(kind, [], 1, "parameter_param { %s }" % shape if kind == "Parameter" else
          'dummy_data_param { %s data_filler { type: "constant" value: 0.7 } }' % shape)


@op("LSTM", "RNN")
def recurrent(g, kind):
    x = g.blob(3)
    steps, streams = g.shapes[x][:2]
    bottoms = [x, g.input((steps, streams), "integers", 0, 2)]
    if g.rng.rand() < 0.4:
        bottoms.append(g.fresh((streams, *g.dims(1, 2))))
    size, exposed = int(g.rng.randint(1, 4)), g.rng.rand() < 0.4
    states = (2 if kind == "LSTM" else 1) if exposed else 0
    bottoms += [g.fresh((1, streams, size)) for _ in range(states)]
    g.add(kind, bottoms, 1 + states, "recurrent_param { num_output: %d %s %s }" % (
        size, FILLER, "expose_hidden: true" if exposed else ""))


@op("LSTMUnit")
def lstm_unit(g, kind):
    streams, size = g.rng.randint(1, 4, 2)
    bottoms = [g.fresh((1, streams, size)), g.fresh((1, streams, 4 * size)), g.input((1, streams), "integers", 0, 2)]
    g.add(kind, bottoms, 2)
