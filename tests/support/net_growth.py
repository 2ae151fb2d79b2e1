"""How a random net of random_nets.py grows, layer by layer."""
import caffe
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from .recorded_layers import input_layer

MOST_NUMBERS = 3000         # of a blob
OPS = {}
# force_backward makes C++ Caffe end the process: it asks these layers for diffs that they do not have
NOT_FORCED = ("Accuracy", "ArgMax", "BatchReindex", "Embed", "Filter", "InfogainLoss", "Threshold")
# ... and these pass diffs on whatever propagate_down says: they share them with their bottom, or do not look
LEAKS = ("Concat", "Flatten", "MVN", "Reshape", "Slice", "Split")
# These write in place without harm, on tops whose numbers the layer below does not need in backward.
IN_PLACE = ("ReLU", "ELU", "Sigmoid", "TanH", "Exp", "PReLU", "Dropout", "Scale", "Bias", "BatchNorm", "Softmax")
MAY_BE_OVERWRITTEN = ("Convolution", "Deconvolution", "InnerProduct", "Bias", "Scale", "BatchNorm", "Embed", "Tile", "Input")


def op(*types):
    """Enter a function of a Growth that adds a layer of one of `types`; it gets the type's name."""
    def enter(function):
        OPS.update((kind, function) for kind in types)
        return function
    return enter


class Growth:
    """A net that grows."""

    def __init__(self, rng):
        self.rng, self.phase, self.force = rng, int(rng.randint(2)), bool(rng.rand() < 0.7)
        self.text, self.inputs, self.shapes, self.kinds = "", {}, {}, []
        self.refused = None
        self.number = 0
        self.makers, self.read = {}, set()          # {blob: type of its layer}, blobs that a layer reads

    def case(self, seed):
        return {"text": self._whole(self.text), "phase": self.phase, "inputs": self.inputs, "seed": seed,
                "passes": int(self.rng.randint(1, 3)), "kinds": self.kinds, "refused": self.refused}

    def _whole(self, text):
        return ("force_backward: true " if self.force else "") + text

    # ---- growing

    def grow(self, kind):
        """Add a layer of type `kind`; whether it is in the net now."""
        if self.force and kind in NOT_FORCED:
            return False
        before = self.text, dict(self.inputs), dict(self.shapes), self.number, dict(self.makers), set(self.read)
        OPS[kind](self, kind)
        if self.text == before[0]:
            return False
        text = self._whole(self.text)
        try:
            net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), self.phase)
            self.shapes = {name: net.blobs[name].shape for name in net.blobs if "_split_" not in name}
            if max(blob.count for blob in net.blobs.values()) <= MOST_NUMBERS:
                self.kinds.append(kind)
                return True
        except caffe.CaffeError as e:
            if self.rng.rand() < 0.15:
                self.refused = str(e)
                self.kinds.append(kind)
                return True
        self.text, self.inputs, self.shapes, self.number, self.makers, self.read = before
        return False

    def end_in_losses(self):
        """A loss for everything that no layer reads, so that all parameters learn."""
        for name in sorted(set(self.shapes) - self.read):
            if self.shapes[name] and self.makers[name] != "Input":
                self.add("Reduction", [name], 1, "loss_weight: 1 reduction_param { operation: SUMSQ coeff: 0.5 }")

    def add(self, kind, bottoms, tops=1, settings="", in_place=False):
        """The layer's text; returns the names of its tops."""
        self.number += 1
        in_place = (in_place and kind in IN_PLACE and self.makers[bottoms[0]] in MAY_BE_OVERWRITTEN
                    and bottoms[0] not in self.read)
        names = bottoms[:1] if in_place else ["b%d_%d" % (self.number, i) for i in range(tops)]
        lines = " ".join(['bottom: "%s"' % name for name in bottoms] + ['top: "%s"' % name for name in names])
        if len(bottoms) == 1 and kind not in NOT_FORCED + LEAKS and self.rng.rand() < 0.03:
            lines += " propagate_down: false"
        if kind in ("Convolution", "InnerProduct", "Deconvolution") and self.rng.rand() < 0.1:
            lines += " param { lr_mult: 0 }"
        self.text += 'layer { name: "l%d" type: "%s" %s %s }\n' % (self.number, kind, lines, settings)
        self.read.update(bottoms)
        self.read.difference_update(names)
        self.makers.update((top, kind) for top in names)
        return names

    # ---- for ops

    def choice(self, values):
        return values[self.rng.randint(len(values))]

    def dims(self, least, most, size=6):
        """A shape of least to most axes."""
        return tuple(int(n) for n in self.rng.randint(1, size, self.rng.randint(least, most + 1)))

    def input(self, shape, *how):
        """A new input; how: as net_case.py has it."""
        self.number += 1
        name = "in%d" % self.number
        self.inputs[name] = list(how or ["normal"])
        self.text += input_layer(name, " ".join(str(n) for n in shape)) + "\n"
        self.shapes[name], self.makers[name] = tuple(shape), "Input"
        return name

    def blob(self, least=1, most=5):
        """A blob of least to most axes: one of the net, or a new input, perhaps below a layer that learns."""
        found = [name for name, shape in self.shapes.items() if least <= len(shape) <= most
                 and self.inputs.get(name, ["normal"]) == ["normal"] and 0 not in shape]
        if found and self.rng.rand() < 0.8:
            return self.choice(sorted(found))
        return self.fresh(self.dims(least, max(least, min(most, 4))))

    def images(self):
        """A blob of four axes."""
        if self.rng.rand() < 0.6:
            found = sorted(name for name, shape in self.shapes.items() if len(shape) == 4 and min(shape[2:]) > 2)
            if found:
                return self.choice(found)
        return self.fresh((*self.rng.randint(1, 4, 2).tolist(), *self.rng.randint(3, 9, 2).tolist()))

    def like(self, name):
        """Another blob of the shape of `name`."""
        found = sorted(other for other, shape in self.shapes.items()
                       if shape == self.shapes[name] and self.inputs.get(other, ["normal"]) == ["normal"])
        return self.choice(found) if self.rng.rand() < 0.5 else self.fresh(self.shapes[name])

    def fresh(self, shape):
        name = self.input(shape)
        if self.force or self.rng.rand() < 0.3:
            return name
        learnt = self.add("Scale", [name], 1, "scale_param { axis: 0 num_axes: -1 }")[0]
        self.shapes[learnt] = tuple(shape)
        return learnt

    def axis(self, name, least=0):
        """An axis of blob `name`, perhaps a negative number for it."""
        axes = len(self.shapes[name])
        axis = int(self.rng.randint(least, axes)) if least < axes else axes
        return self.choice([axis, axis - axes])

    def fields(self, **values):
        """A text of some of the fields, each with one of its values."""
        return " ".join("%s: %s" % (name, self.choice(of)) for name, of in values.items() if self.rng.rand() < 0.5)
