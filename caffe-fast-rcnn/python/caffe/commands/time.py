"""caffe time: how long each layer's forward and backward take."""
import time

from ..common import log
from .model import MODEL_FLAGS, load_net, phase_flag, use_device, wait_for_device

USAGE = "-model net.prototxt"
FLAGS = [*MODEL_FLAGS, phase_flag("TRAIN")]


def run(flags, _arguments):
    """Time -iterations passes, after one that is not counted."""
    use_device(flags.gpu)
    net = load_net(flags)
    log("caffe.cpp:366", "Performing Forward")
    log("caffe.cpp:371", "Initial loss: %.6g" % float(net.forward_from_to()))
    log("caffe.cpp:372", "Performing Backward")
    net.backward_from_to()
    log("caffe.cpp:380", "*** Benchmark begins ***")
    log("caffe.cpp:381", "Testing for %d iterations." % flags.iterations)
    start = time.perf_counter()
    forward, backward = _time_passes(net, flags.iterations)
    _report(net, forward, backward, time.perf_counter() - start, flags.iterations)


def _time_passes(net, iterations):
    """Seconds of each layer's forward, and of its backward, summed over the passes."""
    forward, backward = [0.0] * len(net.layers), [0.0] * len(net.layers)
    for iteration in range(iterations):
        before = sum(forward) + sum(backward)
        net.begin_pass()
        for i in range(len(net.layers)):
            forward[i] += _seconds(net.forward_from_to, i)
        for i in reversed(range(len(net.layers))):
            backward[i] += _seconds(net.backward_from_to, i)
        took = sum(forward) + sum(backward) - before
        log("caffe.cpp:409", "Iteration: %d forward-backward time: %.6g ms." % (iteration + 1, 1000 * took))
    return forward, backward


def _seconds(run_layers, i):
    """How long layer `i` takes, the work on the GPU included."""
    wait_for_device()
    start = time.perf_counter()
    run_layers(i, i)
    wait_for_device()
    return time.perf_counter() - start


def _report(net, forward, backward, total, iterations):
    log("caffe.cpp:412", "Average time per layer: ")
    for layer, there, back in zip(net.layers, forward, backward):
        log("caffe.cpp:415", "%10s\tforward: %.6g ms." % (layer.name, 1000 * there / iterations))
        log("caffe.cpp:418", "%10s\tbackward: %.6g ms." % (layer.name, 1000 * back / iterations))
    there, back = (1000 * sum(seconds) / iterations for seconds in (forward, backward))
    log("caffe.cpp:423", "Average Forward pass: %.6g ms." % there)
    log("caffe.cpp:425", "Average Backward pass: %.6g ms." % back)
    log("caffe.cpp:427", "Average Forward-Backward: %.6g ms." % (there + back))
    log("caffe.cpp:429", "Total Time: %.6g ms." % (1000 * total))
    log("caffe.cpp:430", "*** Benchmark ends ***")
