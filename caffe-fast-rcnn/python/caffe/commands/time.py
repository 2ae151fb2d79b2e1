"""caffe time: measures the time of each layer's forward and backward."""
from ..common import log
from ..timer import Timer
from .model import MODEL_FLAGS, load_net, phase_flag, use_device

USAGE = "-model net.prototxt"
FLAGS = [*MODEL_FLAGS, phase_flag("TRAIN")]


def run(flags, _arguments):
    """Time -iterations passes, after one warm-up pass."""
    use_device(flags.gpu)
    net = load_net(flags)
    log("caffe.cpp:366", "Performing Forward")
    log("caffe.cpp:371", "Initial loss: %.6g" % float(net.forward_from_to()))
    log("caffe.cpp:372", "Performing Backward")
    net.backward_from_to()
    log("caffe.cpp:380", "*** Benchmark begins ***")
    log("caffe.cpp:381", "Testing for %d iterations." % flags.iterations)
    timer = Timer()
    timer.start()
    forward, backward = _time_passes(net, flags.iterations)
    _report(net, forward, backward, timer.ms, flags.iterations)


def _time_passes(net, iterations):
    """Milliseconds of each layer's forward, and of its backward, summed over the passes."""
    forward, backward = [0.0] * len(net.layers), [0.0] * len(net.layers)
    for iteration in range(iterations):
        before = sum(forward) + sum(backward)
        net.begin_pass()
        for i in range(len(net.layers)):
            forward[i] += _milliseconds(net.forward_from_to, i)
        for i in reversed(range(len(net.layers))):
            backward[i] += _milliseconds(net.backward_from_to, i)
        took = sum(forward) + sum(backward) - before
        log("caffe.cpp:409", "Iteration: %d forward-backward time: %.6g ms." % (iteration + 1, took))
    return forward, backward


def _milliseconds(run_layers, i):
    """The time of layer `i`, including its work on the GPU."""
    timer = Timer()
    timer.start()
    run_layers(i, i)
    return timer.ms


def _report(net, forward, backward, total, iterations):
    log("caffe.cpp:412", "Average time per layer: ")
    for layer, there, back in zip(net.layers, forward, backward):
        log("caffe.cpp:415", "%10s\tforward: %.6g ms." % (layer.name, there / iterations))
        log("caffe.cpp:418", "%10s\tbackward: %.6g ms." % (layer.name, back / iterations))
    there, back = (sum(layers) / iterations for layers in (forward, backward))
    log("caffe.cpp:423", "Average Forward pass: %.6g ms." % there)
    log("caffe.cpp:425", "Average Backward pass: %.6g ms." % back)
    log("caffe.cpp:427", "Average Forward-Backward: %.6g ms." % (there + back))
    log("caffe.cpp:429", "Total Time: %.6g ms." % total)
    log("caffe.cpp:430", "*** Benchmark ends ***")
