"""Replay of a golden case, through pycaffe's public interface alone, so that it also runs on a C++ Caffe.

A case is an NpzFile. A net has `prototxt`, `phase`, `rtol`, `in:<blob>`, `param:<layer>:<i>`, and as expected values
`data:<blob>`, `diff:<blob>` and `pdiff:<layer>:<i>` after a backward pass from `top_diff:<blob>`. A solver has `net`,
`solver`, `steps`, `in:*`, `w<k>:<layer>:<i>` (the weights after k steps) and `loss`.
"""
from pathlib import Path

import caffe
import numpy as np

SOLVER_RTOL = 1e-4
OWN_FIELDS = 'train_net: "{net}" display: 0 snapshot: 0 snapshot_prefix: "{prefix}" average_loss: 1 '


def differences_of_net(case, folder: Path) -> list[str]:
    """A line for each array that differs from the recorded one after forward and backward."""
    rtol = float(case["rtol"])
    phase = caffe.TRAIN if str(case["phase"]) == "TRAIN" else caffe.TEST
    net = caffe.Net(_write(folder / "net.prototxt", case["prototxt"]), phase)
    for (layer, i), values in _entries(case, "param"):
        net.params[layer][int(i)].data[...] = values
    for (blob,), values in _entries(case, "in"):
        net.blobs[blob].data[...] = values
    net.forward()
    lines = [_difference(f"data {blob}", net.blobs[blob].data, values, rtol)
             for (blob,), values in _entries(case, "data") if blob in net.blobs]
    if _entries(case, "diff"):
        lines += _differences_of_backward(net, case, rtol)
    return [line for line in lines if line]


def _differences_of_backward(net, case, rtol):
    fed = {blob for (blob,), _ in _entries(case, "top_diff")}
    for (blob,), values in _entries(case, "top_diff"):
        net.blobs[blob].diff[...] = values
    net.backward()
    lines = [_difference(f"diff {blob}", net.blobs[blob].diff, values, rtol)
             for (blob,), values in _entries(case, "diff") if blob in net.blobs and blob not in fed]
    lines += [_difference(f"diff of {layer}[{i}]", net.params[layer][int(i)].diff, values, rtol)
              for (layer, i), values in _entries(case, "pdiff")]
    return lines


def differences_of_solver(case, folder: Path) -> list[str]:
    """A line for each loss and each parameter that differs from the recorded one after a step."""
    own = OWN_FIELDS.format(net=_write(folder / "net.prototxt", case["net"]), prefix=folder / "snapshot")
    text = str(case["solver"])
    if "max_iter" not in text:
        own += "max_iter: 1000 "
    solver = caffe.get_solver(_write(folder / "solver.prototxt", own + text))
    net = solver.net
    for (layer, i), values in _entries(case, "w0"):
        net.params[layer][int(i)].data[...] = values
    for (blob,), values in _entries(case, "in"):
        net.blobs[blob].data[...] = values
    lines = []
    for step in range(int(case["steps"])):
        solver.step(1)
        lines.append(_difference(f"loss of step {step}", net.blobs["loss"].data, case["loss"][step], SOLVER_RTOL))
        lines += [_difference(f"{layer}[{i}] after step {step + 1}", net.params[layer][int(i)].data, values, SOLVER_RTOL)
                  for (layer, i), values in _entries(case, f"w{step + 1}")]
    return [line for line in lines if line]


def _entries(case, kind):
    """[(words of the key after the kind, array)] of the case's keys `kind:...`."""
    return [(key.split(":")[1:], case[key]) for key in case.files if key.startswith(kind + ":")]


def _write(path, text):
    path.write_text(str(text))
    return str(path)


def _difference(name, got, expected, rtol):
    """A line where the arrays differ by more than rtol of themselves and of their largest value; else ''."""
    got, expected = (np.asarray(array, np.float64).ravel() for array in (got, expected))
    if got.shape != expected.shape:
        return f"{name}: {got.size} numbers, expected {expected.size}"
    largest = np.abs(expected).max(initial=0)
    if np.allclose(got, expected, rtol=rtol, atol=rtol * max(1e-2, largest)):
        return ""
    return f"{name}: differs by {np.abs(got - expected).max():.3g}, the largest value is {largest:.3g}"
