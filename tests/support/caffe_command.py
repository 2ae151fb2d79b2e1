"""The command `caffe` run in this process, and small nets for it."""
import os
import signal

import caffe
import pytest
from caffe.commands import main

DATA = """layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 } data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }"""
NET = 'name: "Small" ' + DATA + """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
SOLVER = """net: "%s" test_iter: 2 test_interval: 4 base_lr: 0.1 lr_policy: "step" gamma: 0.1 stepsize: 4 display: 2 max_iter: 8
snapshot_prefix: "%s" """


class Signal(caffe.Layer):
    """Sends its process the signal param_str in its third pass."""

    passes = 0

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        Signal.passes += 1
        if Signal.passes == 3:
            os.kill(os.getpid(), getattr(signal, self.param_str))


def signal_layer(name):
    """A layer that sends the signal in the third pass from now on."""
    Signal.passes = 0
    return """layer { name: "signal" type: "Python" top: "signal" include { phase: TRAIN }
              python_param { module: "support.caffe_command" layer: "Signal" param_str: "%s" } }""" % name


def write_solver(folder, net=NET, more=""):
    """A solver prototxt in `folder`, for `net`; snapshots go to folder/s_iter_<n>."""
    (folder / "net.prototxt").write_text(net)
    path = folder / "solver.prototxt"
    path.write_text(SOLVER % (folder / "net.prototxt", folder / "s") + more)
    return path


@pytest.fixture
def run_caffe(capfd):
    """run_caffe(*arguments) -> (exit code, stdout, stderr) of the command `caffe`."""
    def run(*arguments):
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        return (code, *capfd.readouterr())
    return run
