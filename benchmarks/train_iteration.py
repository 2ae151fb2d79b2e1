"""A training iteration (forward, backward, update; one pass over one image) against the plain PyTorch net.

OHEM: 2000 RoIs, 64 hard ones; plain Fast R-CNN: 128 RoIs.  In bf16 the peer runs under torch.autocast where the machine
multiplies bf16 itself, and in float32 where it does not: there autocast is slower by far.
"""
import numpy as np
import torch
from _inputs import minibatch
from _machine import limit_seconds, native_bf16
from _ours import DTYPES, RATE, in_precisions, plain_params, training_solver
from _plain import PlainNet, training_step
from _report import Row
from _timing import interleaved
from fast_rcnn.config import cfg
from roi_data_layer.ohem import roi_losses, select_hard
from torch.utils.flop_counter import FlopCounterMode

SAMPLED = 128
TARGET = 1.05


def cases(sizes):
    """{case name: function of the settings}: OHEM for each net, plain Fast R-CNN for the small one."""
    chosen = [(net, "ohem", ("float32", "bf16")) for net in sizes.nets] + [(sizes.nets[0], "plain", ("float32",))]
    return {"train/%s/%s" % (net, method): lambda settings, case=(net, method, precisions): _measure(settings, *case)
            for net, method, precisions in chosen}


def _measure(settings, net_name, method, precisions):
    """A row for each precision; where bf16 is not native one peer in float32 serves both."""
    sizes = settings.sizes
    blobs = minibatch(sizes, sizes.rois if method == "ohem" else min(SAMPLED, sizes.rois))
    cfg.TRAIN.BATCH_SIZE = sizes.batch
    solver = training_solver(net_name, "fast_rcnn" + ("_ohem" if method == "ohem" else ""), blobs)
    step = _plain_step(net_name, solver, blobs, sizes.batch if method == "ohem" else None)
    with FlopCounterMode(display=False) as counter:
        step()
    arms = {**in_precisions(lambda: solver.step(1), precisions), "peer": step}
    if "bf16" in precisions and native_bf16():
        arms["peer bf16"] = lambda: step(bf16=True)
    seconds = interleaved(arms, settings.repeats)
    return [Row("train/%s/%s/%s" % (net_name, method, name), seconds[name],
                seconds.get("peer " + name, seconds["peer"]), _peer_is(name),
                limit_seconds(counter.get_total_flops(), _bytes(solver.net), DTYPES[name]), TARGET)
            for name in precisions]


def _plain_step(net_name, solver, blobs, hard):
    """The peer's iteration, from the solver's weights, as a function of bf16; hard: how many RoIs to mine, or None."""
    plain = PlainNet(net_name, plain_params(solver.net))
    tensors = {name: torch.tensor(blob) for name, blob in blobs.items()}
    _require_same(solver.net, plain, tensors["data"])
    optimizer = plain.optimizer(RATE)

    def mine(prob, boxes):
        loss = roi_losses(prob.numpy(), blobs["labels"], boxes.numpy(), blobs["bbox_targets"],
                          blobs["bbox_inside_weights"], blobs["bbox_outside_weights"])
        return torch.from_numpy(select_hard(loss, blobs["rois"], blobs["labels"], hard, cfg.TRAIN.OHEM_NMS_THRESH))

    return lambda bf16=False: training_step(plain, optimizer, tensors, mine if hard else None, bf16)


def _require_same(net, plain, data):
    """Both nets compute the same features, or the comparison means nothing."""
    last = [name for name in net.blobs if name in ("conv5", "conv5_3")][0]
    net.forward()
    with torch.no_grad():
        expected = plain.trunk(data).numpy()
    error = np.abs(net.blobs[last].data - expected).max() / np.abs(expected).max()
    if not error < 1e-3:
        raise RuntimeError("the plain net's features differ from ours by %.2g of the largest" % error)


def _bytes(net):
    """What must be moved at least: blobs written and read once forward and once backward, and the update."""
    activations = sum(blob.count for blob in net.blobs.values())
    learned = sum(blob.count for blobs in net.params.values() for blob in blobs)
    return 4 * (2 * 2 * activations + 5 * learned)      # the update reads weight, diff, history and writes two


def _peer_is(precision_name):
    if precision_name == "float32":
        return "plain PyTorch"
    return "plain PyTorch, autocast" if native_bf16() else "plain PyTorch in float32 (autocast has no bf16 units here)"

