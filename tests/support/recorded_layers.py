"""Nets whose results by C++ Caffe 1.0 are recorded in tests/reference/caffe_1_0_layers.npz.

Runs under C++ Caffe, whose Python may be old: keep to the syntax of Python 3.6.

    python recorded_layers.py FILE.npz      # with the C++ Caffe's Python: writes the results of all cases
"""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from net_case import run  # noqa: E402

NORMAL = ["normal"]
CONT = ["values", [1, 0, 1, 1, 1, 0, 0, 1]]         # (T, N) = (4, 2); the first step continues the last pass
NO_CONT = ["values", [0] * 8]
RECURRENT = "recurrent_param { num_output: 3 } "
EXPOSED = "recurrent_param { num_output: 3 expose_hidden: true } "
STATE, UNIT_CONT = "1 2 3", ["values", [1, 0.5]]
LABELS = ["values", [2, 0, 1, 2]]
H = ["uniform", 0, 1]
WEIGHTED = "loss_weight: 1 loss_weight: 0 "
SELECT = ["values", [1, 0, -0.5, 0]]
WIDE, STEPS = "2 3 7 9", "4 2 5"

# name: (type, settings, [(name, shape, numbers) of the bottoms], number of tops, forward passes)
LAYERS = {
    "LSTM": ("LSTM", RECURRENT, [("x", STEPS, NORMAL), ("cont", "4 2", CONT)], 1, 2),
    "LSTM, new sequences": ("LSTM", RECURRENT, [("x", STEPS, NORMAL), ("cont", "4 2", NO_CONT)], 1, 2),
    "LSTM, static input": ("LSTM", RECURRENT, [("x", "4 2 5 2", NORMAL), ("cont", "4 2", CONT), ("s", "2 4 1", NORMAL)], 1, 2),
    "LSTM, states": ("LSTM", EXPOSED, [("x", STEPS, NORMAL), ("cont", "4 2", CONT), ("h_0", STATE, NORMAL), ("c_0", STATE, NORMAL)], 3, 2),
    "LSTM, static input and states": ("LSTM", EXPOSED, [("x", STEPS, NORMAL), ("cont", "4 2", CONT), ("s", "2 4", NORMAL), ("h_0", STATE, NORMAL), ("c_0", STATE, NORMAL)], 3, 1),
    "RNN": ("RNN", RECURRENT, [("x", STEPS, NORMAL), ("cont", "4 2", CONT)], 1, 2),
    "RNN, static input": ("RNN", RECURRENT, [("x", STEPS, NORMAL), ("cont", "4 2", CONT), ("s", "2 4", NORMAL)], 1, 2),
    "RNN, states": ("RNN", EXPOSED, [("x", STEPS, NORMAL), ("cont", "4 2", CONT), ("h_0", STATE, NORMAL)], 2, 1),
    "RNN, static input and states": ("RNN", EXPOSED, [("x", STEPS, NORMAL), ("cont", "4 2", CONT), ("s", "2 4", NORMAL), ("h_0", STATE, NORMAL)], 2, 1),
    "LSTMUnit": ("LSTMUnit", "", [("c", STATE, NORMAL), ("gates", "1 2 12", NORMAL), ("cont", "1 2", UNIT_CONT)], 2, 1),
    "SPP": ("SPP", "spp_param { pyramid_height: 3 }", [("x", WIDE, NORMAL)], 1, 1),
    "SPP, average": ("SPP", "spp_param { pyramid_height: 2 pool: AVE }", [("x", WIDE, NORMAL)], 1, 1),
    "SPP, one level": ("SPP", "spp_param { pyramid_height: 1 }", [("x", WIDE, NORMAL)], 1, 1),
    "MVN, two axes": ("MVN", "", [("x", "4 3", NORMAL)], 1, 1),
    "MVN, two axes across channels": ("MVN", "mvn_param { across_channels: true }", [("x", "4 3", NORMAL)], 1, 1),
    "MVN, three axes": ("MVN", "", [("x", "2 3 4", NORMAL)], 1, 1),
    "Im2col, one axis": ("Im2col", "convolution_param { kernel_size: 3 pad: 1 stride: 2 }", [("x", "2 3 7", NORMAL)], 1, 1),
    "Im2col, three axes": ("Im2col", "convolution_param { kernel_size: 2 kernel_size: 3 kernel_size: 1 pad: 1 dilation: 2 }", [("x", "1 2 4 5 3", NORMAL)], 1, 1),
    "Im2col, axis 2": ("Im2col", "convolution_param { axis: 2 kernel_size: 2 }", [("x", "2 2 2 3 4", NORMAL)], 1, 1),
    "Pooling, windows of no pixels": ("Pooling", "pooling_param { pool: AVE kernel_size: 2 stride: 4 }", [("x", "1 2 4 4", NORMAL)], 1, 1),
    "Pooling, windows outside": ("Pooling", "pooling_param { pool: AVE kernel_h: 1 kernel_w: 2 stride_h: 5 stride_w: 1 }", [("x", "1 2 4 4", NORMAL)], 1, 1),
    "Flatten of no axis": ("Flatten", "flatten_param { axis: 1 end_axis: 0 }", [("x", "2 3 4", NORMAL)], 1, 1),
    "Flatten of no axis, from behind": ("Flatten", "flatten_param { axis: -1 end_axis: 1 }", [("x", "2 3 4", NORMAL)], 1, 1),
}

# The same after a layer that learns: C++ Caffe ends the process where force_backward reaches these bottoms.
BELOW = ('layer { name: "below" type: "Power" bottom: "x0" top: "b" } '
         'layer { name: "x" type: "Scale" bottom: "b" top: "x" scale_param { axis: 0 num_axes: -1 } } ')
LEARNT = {
    "InfogainLoss": ("InfogainLoss", "", [("x", "4 3", NORMAL), ("label", "4", LABELS), ("H", "3 3", H)], 1, 1),
    "InfogainLoss, ignored label": ("InfogainLoss", WEIGHTED + "loss_param { ignore_label: 0 }", [("x", "4 3", NORMAL), ("label", "4", LABELS), ("H", "1 1 3 3", H)], 2, 1),
    "InfogainLoss, axis": ("InfogainLoss", "infogain_loss_param { axis: -1 } loss_param { normalization: BATCH_SIZE }", [("x", "2 2 3", NORMAL), ("label", "2 2 1", LABELS), ("H", "3 3", H)], 1, 1),
    "InfogainLoss, full": ("InfogainLoss", WEIGHTED + "loss_param { ignore_label: 1 normalization: FULL }", [("x", "2 3 2", NORMAL), ("label", "2 1 2", LABELS), ("H", "3 3", H)], 2, 1),
    "InfogainLoss, no normalization": ("InfogainLoss", "loss_param { normalization: NONE }", [("x", "4 3", NORMAL), ("label", "4", LABELS), ("H", "3 3", H)], 1, 1),
    "Filter": ("Filter", "loss_weight: 1", [("x", "4 3", NORMAL), ("select", "4", SELECT)], 1, 2),
    "Filter, two": ("Filter", "loss_weight: 1 loss_weight: 0", [("x", "4 3 2", NORMAL), ("y", "4", NORMAL), ("select", "4 1 1", SELECT)], 2, 2),
}


def cases():
    """{name: the case as net_case.py has it}."""
    found = {}
    for table in (LAYERS, LEARNT):
        for name, (kind, settings, bottoms, tops, passes) in table.items():
            text = "force_backward: true " if table is LAYERS else ""
            inputs = {}
            for bottom, shape, numbers in bottoms:
                made = bottom + "0" if table is LEARNT and bottom == "x" else bottom
                inputs[made] = numbers
                text += input_layer(made, shape) + (BELOW if made == "x0" else "")
            text += layer(kind, [bottom for bottom, _, _ in bottoms], tops, settings)
            found[name] = {"text": text, "phase": 1, "inputs": inputs, "passes": passes, "seed": 7}
    return found


def input_layer(name, shape):
    dims = " ".join("dim: " + dim for dim in shape.split())
    return 'layer { name: "%s" type: "Input" top: "%s" input_param { shape { %s } } } ' % (name, name, dims)


def layer(kind, bottoms, tops, settings):
    names = ['bottom: "%s"' % name for name in bottoms] + ['top: "top%d"' % i for i in range(tops)]
    return 'layer { name: "l" type: "%s" %s %s }' % (kind, " ".join(names), settings)


if __name__ == "__main__":
    import caffe
    np.savez_compressed(sys.argv[1], **{"%s|%s" % (name, key): array for name, case in sorted(cases().items())
                                        for key, array in run(caffe, case).items()})
