"""A net as a PyTorch state_dict, and as the source of the module that it fits."""
import io
import keyword
import os
import re

import torch

from ..common import CaffeError
from ..util.files import write_atomically
from .steps import function_for, net_steps
from .torch_ops import HELPERS, OPS

SOURCE = '''"""{name}: written from a Caffe net; needs torch only.

    net = Net()
    net.load_state_dict(torch.load("{pth}", weights_only=True))
    outputs = net.eval()({inputs})         # {{{outputs}}}

Inputs: {shapes}; a free first axis{free}.
"""
import torch
import torch.nn.functional as F
from torch import nn

METADATA = {metadata!r}
{helpers}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
{modules}

    def forward(self, {inputs}):
{lines}
        return {{{results}}}
'''


def to_torch(net, path, metadata=None):
    """Write `net`, which is in TEST, as `path` (.pth, a state_dict) and beside it a .py with the class Net it fits.
    metadata: {key: text}, which the .py holds as METADATA.

    Entries are called <layer>.weight and <layer>.bias; in names every character that Python does not allow becomes _.
    Returns the path of the .py.  Raises CaffeError naming the first layer without a counterpart, before anything is
    written.
    """
    source_path = os.path.splitext(path)[0] + ".py"
    if source_path == str(path):
        raise CaffeError("%s: the state_dict needs another ending than .py, which its module gets; try .pth" % path)
    steps, outputs = net_steps(net)
    pieces = [function_for(OPS, step.layer, "PyTorch")(step.layer, step.shapes) for step in steps]
    names = _Names()
    modules = {step.layer.name: names("module", step.layer.name) for step in steps}
    state = {"%s.%s" % (modules[step.layer.name], key): torch.as_tensor(value).contiguous().cpu()
             for step, piece in zip(steps, pieces) for key, value in piece.state.items()}
    source = _source(net, path, steps, pieces, modules, names, outputs, metadata or {})
    stream = io.BytesIO()
    torch.save(state, stream)
    write_atomically(path, [stream.getvalue()])
    write_atomically(source_path, [source.encode()])
    return source_path


class _Names:
    """Python names for Caffe's: fire2/concat -> fire2_concat; two that come out equal are told apart by _."""

    def __init__(self):
        self._given = {}

    def __call__(self, kind, name):
        if (kind, name) not in self._given:
            python = re.sub(r"\W", "_", name)
            python = python if python.isidentifier() and not keyword.iskeyword(python) else "x_" + python
            taken = {given for (k, _), given in self._given.items() if k == kind} | _RESERVED
            while python in taken:
                python += "_"
            self._given[kind, name] = python
        return self._given[kind, name]


# what the source uses itself, and what nn.Module has already
_RESERVED = {"torch", "F", "nn", "self", *HELPERS, *dir(torch.nn.Module())}


def _source(net, path, steps, pieces, modules, names, outputs, metadata):
    def value(name):
        return names("value", name)
    inputs = [value(name) for name in net.inputs]
    lines = []
    for step, piece in zip(steps, pieces):
        bottoms = [value(b) for b in step.bottoms]
        call = piece.call.format(*bottoms, all=", ".join(bottoms), self="self." + modules[step.layer.name])
        lines.append("%s = %s" % (value(step.tops[0]), call))
    made = ["self.%s = %s" % (modules[step.layer.name], piece.module)
            for step, piece in zip(steps, pieces) if piece.module]
    helpers = dict.fromkeys(piece.helper for piece in pieces if piece.helper)
    images = [name for name in net.inputs if len(net.blobs[name].shape) == 4]
    return SOURCE.format(
        metadata=metadata, name=net.name or "net", pth=os.path.basename(path), inputs=", ".join(inputs),
        outputs=", ".join(outputs), shapes=", ".join("%s %s" % (n, net.blobs[n].shape) for n in net.inputs),
        free=", height and width of images too" if images else "",
        helpers="".join("\n" + HELPERS[name] for name in helpers),
        modules="\n".join("        " + line for line in made or ["pass"]),
        lines="\n".join("        " + line for line in lines),
        results=", ".join("%r: %s" % (name, value(v)) for name, v in outputs.items()))
