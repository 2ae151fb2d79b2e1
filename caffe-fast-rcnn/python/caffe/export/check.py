"""Does an exported file compute what the net computes?"""
import importlib.util
import os

import numpy as np
import torch

from ..common import CaffeError
from .to_onnx import import_onnx


def largest_differences(net, path, inputs):
    """{output: (largest |difference|, largest |value|)} between `net` and the file at `path`, on inputs {name: array}.

    path: .onnx, run by onnxruntime on the CPU, or the state_dict of to_torch, loaded into the module beside it.
    """
    for name, array in inputs.items():
        net.blobs[name].reshape(*array.shape)
    expected = {name: np.array(array) for name, array in net.forward(**inputs).items()}
    got = (_run_onnx if str(path).endswith(".onnx") else _run_torch)(path, {name: inputs[name] for name in net.inputs})
    out = {}
    for name, array in expected.items():
        if got[name].shape != array.shape:
            raise CaffeError("%s: output %s has shape %s, in the net %s" % (path, name, got[name].shape, array.shape))
        out[name] = float(np.abs(got[name] - array).max(initial=0)), float(np.abs(array).max(initial=0))
    return out


def _run_onnx(path, inputs):
    """Outputs {name: array}."""
    session = import_onnx("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def _run_torch(path, inputs):
    """Outputs {name: array}; inputs in the order of the module's arguments."""
    source = os.path.splitext(path)[0] + ".py"
    spec = importlib.util.spec_from_file_location("exported_net", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.Net()
    net.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        outputs = net.eval()(*(torch.from_numpy(array) for array in inputs.values()))
    return {name: value.numpy() for name, value in outputs.items()}
