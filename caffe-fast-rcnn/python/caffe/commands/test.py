"""caffe test: the mean of each output of a net with weights, over a number of batches."""
from ..common import CaffeError, log
from .flags import whole_list
from .model import MODEL_FLAGS, WEIGHTS, load_net, phase_flag, use_device

USAGE = "-model net.prototxt -weights net.caffemodel"
FLAGS = [*MODEL_FLAGS, WEIGHTS, phase_flag("TEST")]


def run(flags, _arguments):
    """Print each batch's outputs, then their means."""
    if not flags.weights:
        raise CaffeError("need model weights to score: -weights net.caffemodel")
    use_device(flags.gpu)
    net = load_net(flags)
    for file in whole_list(flags.weights):
        net.copy_from(file)
    log("caffe.cpp:290", "Running for %d iterations." % flags.iterations)
    sums, loss = {}, 0.0
    for batch in range(flags.iterations):
        loss += float(net.forward_from_to())
        for name, number, value in _outputs(net):
            sums[name, number] = sums.get((name, number), 0.0) + value
            log("caffe.cpp:313", "Batch %d, %s = %.6g" % (batch, name, value))
    log("caffe.cpp:318", "Loss: %.6g" % (loss / flags.iterations))
    for (name, _number), total in sums.items():
        _log_mean(name, total / flags.iterations, net.loss_weight(name))


def _outputs(net):
    """(blob name, place in it, value) of every number of the outputs."""
    for name in net.outputs:
        for number, value in enumerate(net.blobs[name].tensor.flatten().tolist()):
            yield name, number, value


def _log_mean(name, mean, weight):
    loss = " (* %g = %.6g loss)" % (weight, weight * mean) if weight else ""
    log("caffe.cpp:330", "%s = %.6g%s" % (name, mean, loss))
