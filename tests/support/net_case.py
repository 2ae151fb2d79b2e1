"""One net run forward and backward: the same under our caffe and under C++ Caffe.

Runs under both, and C++ Caffe's Python may be old: keep to the syntax of Python 3.6.  A case is a dict:
text     the prototxt
phase    0 TRAIN, 1 TEST
inputs   {name of an Input's top: how its numbers are drawn}: ["normal"], ["integers", low, high] (high excluded),
         ["uniform", low, high] or ["values", [numbers]]
passes   number of forward passes before the one backward pass
With force_backward the outputs get random diffs; without it only losses give diffs.
seed     of the inputs, the parameters and the diffs of the outputs

    python net_case.py CASES.json RESULTS.pickle        # a list of cases -> what `outcome` gives for each, in order
"""
import json
import os
import pickle
import sys
import tempfile

import numpy as np


def run(caffe, case):
    """{"data NAME" | "diff NAME" | "param LAYER I": array}; raises what caffe raises."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", encoding="utf-8") as f:
        f.write(case["text"])
        f.flush()
        net = caffe.Net(f.name, caffe.TEST if case["phase"] else caffe.TRAIN)
    rng = np.random.RandomState(case["seed"])
    fill_parameters(net, rng)
    for name in sorted(case["inputs"]):
        net.blobs[name].data[...] = draw(rng, case["inputs"][name], net.blobs[name].data.shape)
    for _ in range(case["passes"]):
        net.forward()
    found = {"data " + name: blob.data.copy() for name, blob in net.blobs.items()}
    for name in net.outputs if "force_backward" in case["text"] else ():
        if net.blobs[name].data.ndim:
            net.blobs[name].diff[...] = rng.uniform(-1, 1, net.blobs[name].diff.shape)
    net.backward()
    if "force_backward" in case["text"]:        # else C++ Caffe leaves other numbers in diffs that it does not need
        found.update(("diff " + name, net.blobs[name].diff.copy()) for name in case["inputs"])
    found.update(("param %s %d" % (name, i), blob.diff.copy())
                 for name in net.params for i, blob in enumerate(net.params[name]))
    return found


def draw(rng, how, shape):
    """Numbers of an input."""
    kind = how[0]
    if kind == "values":
        return np.reshape(how[1], shape)
    if kind == "integers":
        return rng.randint(how[1], how[2], shape)
    return rng.uniform(how[1], how[2], shape) if kind == "uniform" else rng.normal(0, 1, shape)


def fill_parameters(net, rng):
    """Random parameters; those of BatchNorm as after training."""
    for name in net.params:
        blobs = net.params[name]
        if net.layers[list(net._layer_names).index(name)].type == "BatchNorm":
            blobs[0].data[...] = rng.uniform(-1, 1, blobs[0].data.shape)
            blobs[1].data[...] = rng.uniform(0.5, 2, blobs[1].data.shape)
            blobs[2].data[...] = 2
        else:
            for blob in blobs:
                blob.data[...] = rng.uniform(-0.6, 0.6, blob.data.shape)


def outcome(caffe, case):
    """What `run` gives, or the error's text."""
    try:
        return run(caffe, case)
    except Exception as e:
        return "%s: %s" % (type(e).__name__, e)


def outcome_in_child(caffe, case):
    """The same in a child process: C++ Caffe ends the process at a mistake, and says why on stderr."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as result:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            pickle.dump(outcome(caffe, case), result, 2)
            result.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            result.seek(0)
            return pickle.load(result)
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").splitlines()
        return "aborted: " + " ".join([line for line in lines if line[:1] == "F"] or lines[-1:])


if __name__ == "__main__":
    import caffe
    with open(sys.argv[1], encoding="utf-8") as f:
        cases = json.load(f)
    with open(sys.argv[2], "wb") as f:
        pickle.dump([outcome_in_child(caffe, case) for case in cases], f, 2)
