"""Nets of one layer in which a user writes a blob between forward and backward: the diffs that follow.

Runs under our caffe and under C++ Caffe, whose Python may be old: keep to the syntax of Python 3.6.

    python late_writes.py FILE.npz      # with the C++ Caffe's Python: writes the diffs of all cases
"""
import sys
import tempfile

import numpy as np

X = "2 3 3 4"
NEURONS = {
    "ReLU": "", "ReLU slope": "relu_param { negative_slope: 0.1 }", "ReLU down": "relu_param { negative_slope: -0.5 }",
    "PReLU": "", "ELU": "elu_param { alpha: 0.7 }", "Sigmoid": "", "TanH": "", "AbsVal": "", "BNLL": "",
    "Exp": "exp_param { base: 2 scale: 0.5 shift: 1 }", "Log": "log_param { base: 3 scale: 0.5 shift: 9 }",
    "Power": "power_param { power: 2 scale: 0.5 shift: 1 }", "Swish": "swish_param { beta: 1.5 }",
    "Softmax": "", "Dropout": "",
    "MVN": "", "LRN": "lrn_param { local_size: 3 alpha: 0.3 }", "Bias": "bias_param { filler { value: 0.5 } }",
    "Scale": "scale_param { bias_term: true filler { value: 1.5 } }",
}
WEIGHTS = 'weight_filler { type: "constant" value: 0.3 }'
OTHERS = {
    "Convolution": "convolution_param { num_output: 2 kernel_size: 3 %s }" % WEIGHTS,
    "Deconvolution": "convolution_param { num_output: 2 kernel_size: 3 %s }" % WEIGHTS,
    "InnerProduct": "inner_product_param { num_output: 4 %s }" % WEIGHTS,
    "Pooling max": "pooling_param { pool: MAX kernel_size: 2 stride: 2 }",
    "Pooling ave": "pooling_param { pool: AVE kernel_size: 2 stride: 2 }",
    "Reduction sumsq": "reduction_param { operation: SUMSQ axis: 1 }",
    "Reduction asum": "reduction_param { operation: ASUM axis: 1 }",
    "Tile": "tile_param { tiles: 2 }", "Im2col": "convolution_param { kernel_size: 2 }", "Flatten": "",
    "BatchNorm": "batch_norm_param { use_global_stats: true }",
}
PAIRS = {"Eltwise sum": "eltwise_param { operation: SUM }", "Eltwise prod": "eltwise_param { operation: PROD }",
         "Eltwise max": "eltwise_param { operation: MAX }",
         "Eltwise unstable": "eltwise_param { operation: PROD stable_prod_grad: false }",
         "Concat": "", "EuclideanLoss": "", "Scale by bottom": "scale_param { axis: 0 }"}
LABELLED = {"SoftmaxWithLoss": "", "SoftmaxWithLoss ignored": "loss_param { ignore_label: 2 }",
            "MultinomialLogisticLoss": "", "HingeLoss": "", "HingeLoss squared": "hinge_loss_param { norm: L2 }"}
IN_PLACE = ("ReLU", "ReLU slope", "PReLU", "Sigmoid", "TanH", "ELU", "Exp", "Scale", "Softmax", "Dropout")


def cases():
    """{name: (prototxt of the layer, bottom shapes, labels, name of the blob to write)}."""
    found = {}
    for kind, settings in list(NEURONS.items()) + list(OTHERS.items()):
        writes = ["x", "y"] + (["w"] if kind in ("PReLU", "Scale", "Convolution", "Deconvolution", "InnerProduct") else [])
        for write in writes:
            found["%s, %s" % (kind, write)] = (layer(kind, ["x"], "y", settings), [X], None, write)
        if kind in IN_PLACE:
            found["%s in place" % kind] = (layer(kind, ["x"], "x", settings), [X], None, "x")
    for kind, settings in PAIRS.items():
        for write in ("x", "x1", "y"):
            if kind != "EuclideanLoss" or write != "y":
                found["%s, %s" % (kind, write)] = (layer(kind, ["x", "x1"], "y", settings), [X, X], None, write)
    for kind, settings in LABELLED.items():
        for write in ("x", "label"):
            found["%s, %s" % (kind, write)] = (layer(kind, ["x", "label"], "y", settings), ["4 3"], 3, write)
    crossed = layer("SigmoidCrossEntropyLoss", ["x", "x1"], "y", "")
    found.update({"SigmoidCrossEntropyLoss, %s" % write: (crossed, ["4 3", "4 3"], None, write) for write in ("x", "x1")})
    pairs = layer("ContrastiveLoss", ["x", "x1", "label"], "y", "")
    found.update({"ContrastiveLoss, %s" % write: (pairs, ["4 3", "4 3"], 2, write) for write in ("x", "x1", "label")})
    return found


def layer(kind, bottoms, tops, settings):
    tops = [tops] if isinstance(tops, str) else tops
    names = " ".join('bottom: "%s"' % name for name in bottoms) + " " + " ".join('top: "%s"' % name for name in tops)
    return 'layer { name: "l" type: "%s" %s %s }' % (kind.split()[0], names, settings)


def run(caffe, case, hold):
    """[diffs of the bottoms and parameters] of a case; hold: keep views of all blobs from the start."""
    text, shapes, labels, write = case
    inputs = ['layer { name: "%s" type: "Input" top: "%s" input_param { shape { %s } } }'
              % (name, name, " ".join("dim: " + dim for dim in shape.split()))
              for name, shape in zip(("x", "x1"), shapes)]
    if labels:
        inputs.append('layer { name: "label" type: "Input" top: "label" input_param { shape { dim: %s } } }'
                      % shapes[0].split()[0])
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", encoding="utf-8") as f:
        f.write("force_backward: true\n" + "\n".join(inputs) + "\n" + text)
        f.flush()
        net = caffe.Net(f.name, caffe.TEST)
    rng = np.random.RandomState(3)
    views = [blob.data for blob in net.blobs.values()] if hold else None
    positive = "Multinomial" in text
    for name in net.inputs:
        net.blobs[name].data[...] = numbers(rng, net.blobs[name].data.shape, labels if name == "label" else None, positive)
    if "BatchNorm" in text:
        for blob, value in zip(net.params["l"], (0.2, 1.5, 1.0)):
            blob.data[...] = value
    net.forward()
    written = net.params["l"][0] if write == "w" else net.blobs[write]
    written.data[...] = numbers(rng, written.data.shape, labels if write == "label" else None, positive)
    if "Loss" not in text:
        top = net.blobs["y" if "y" in net.blobs else "x"]
        top.diff[...] = numbers(rng, top.diff.shape, None, False)
    net.backward()
    diffs = [net.blobs[name].diff.copy() for name in net.inputs if name != "label"]
    del views
    return diffs + [blob.diff.copy() for blob in net.params.get("l", [])]


def numbers(rng, shape, labels, positive):
    if labels:
        return rng.randint(0, labels, shape)
    return rng.uniform(0.1, 0.9, shape) if positive else rng.normal(0, 1, shape)


if __name__ == "__main__":
    import caffe
    np.savez_compressed(sys.argv[1], **{"%s|%d" % (name, i): diff for name, case in cases().items()
                                        for i, diff in enumerate(run(caffe, case, False))})
