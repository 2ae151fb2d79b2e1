"""A solver on a small net with what makes sharing gradients hard: shared parameters, a Python layer's own, frozen ones."""
import os
import signal
import time
from pathlib import Path

import caffe
import numpy as np
import torch
from caffe import gradient_buckets

from support.nets import solver_from_text

ITERS = 5


class Numbers(caffe.Layer):
    """x (2, 3) and t (2, 2) of the pass, told by `pass_number`: random, but the same whoever asks."""

    def setup(self, bottom, top):
        top[0].reshape(2, 3)
        top[1].reshape(2, 2)
        self.pass_number = caffe.solver_rank()

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        rng = np.random.default_rng(self.pass_number)
        for blob in top:
            blob.data[...] = rng.normal(size=blob.shape)
        self.pass_number += caffe.solver_count()


class Offset(caffe.Layer):
    """y = x + b, with b a parameter of a Python layer."""

    def setup(self, bottom, top):
        self.blobs.add_blob(*bottom[0].shape[1:])

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].diff.sum(0)
        bottom[0].diff[...] = top[0].diff


def python(name, bottoms, tops):
    return 'layer { name: "%s" type: "Python" %s %s python_param { module: "support.parallel_solver" layer: "%s" } }' % (
        name.lower(), " ".join('bottom: "%s"' % b for b in bottoms), " ".join('top: "%s"' % t for t in tops), name)


def product(name, bottom, outputs, extra=""):
    return """layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s" %s inner_product_param { num_output: %d
              weight_filler { type: "gaussian" std: 0.5 } } }""" % (name, bottom, name, extra, outputs)


SHARED = 'param { name: "w" } param { name: "b" }'
NET = python("Numbers", (), ("x", "t")) + product("frozen", "x", 3, "param { lr_mult: 0 } param { lr_mult: 0 }") + product(
    "first", "frozen", 3, SHARED) + python("Offset", ["first"], ["moved"]) + product("second", "moved", 3, SHARED) + product(
    "last", "second", 2) + 'layer { name: "loss" type: "EuclideanLoss" bottom: "last" bottom: "t" top: "loss" }'
SOLVER = """base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 display: 1 average_loss: 3
            iter_size: %d layer_wise_reduce: %s snapshot: 2"""


def make_solver(folder, iter_size, layer_wise=True):
    """A solver in `folder` (made), the same in every process but for the fillers, which bcast must overrule."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    caffe.set_random_seed(caffe.solver_rank())
    return solver_from_text(NET, SOLVER % (iter_size, str(layer_wise).lower()), folder)


def weights(solver):
    return {"%s:%d" % (name, i): blob.data.copy() for name, blobs in solver.net.params.items() for i, blob in enumerate(blobs)}


def train_rank(folder, iter_size, layer_wise):
    """One rank of a run; leaves rank<k>.npz with its weights, and what was sent early."""
    gradient_buckets.BUCKET_BYTES = 40      # several buckets
    solver = make_solver(Path(folder, "rank%d" % caffe.solver_rank()), int(iter_size), layer_wise == "True")
    nccl = caffe.NCCL(solver, os.environ["UID_OF_RUN"])
    nccl.bcast()
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    sent = count_sent(solver.net)
    solver.step(ITERS)
    np.savez(Path(folder, "rank%d.npz" % caffe.solver_rank()), sent=sent, **weights(solver))


def count_sent(net):
    """A list that grows by a number in each pass: arrays that backward sent before it came to `first`."""
    before, sums = [], []
    send = torch.distributed.all_reduce
    torch.distributed.all_reduce = lambda *args, **kwargs: before.append(1) or send(*args, **kwargs)
    names = list(net.layer_dict)

    def note(layer):
        if names[layer] == "loss":
            before.clear()
        if names[layer] == "first":
            sums.append(len(before))
    net.before_backward(note)
    return sums


def say_who_is_left():
    """Rank 1 is killed; the others say what they notice, and in how many seconds."""
    nccl = caffe.NCCL(None, os.environ["UID_OF_RUN"])
    assert nccl.mean([nccl.rank]) == [1.0] and nccl.gather(nccl.rank) in ([0, 1, 2], None)
    if nccl.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    start = time.monotonic()
    try:
        nccl.mean([1.0])
    except caffe.LostProcess as e:
        print(nccl.rank, e.first_left, e)
        os._exit(7 if time.monotonic() - start < 20 else 8)


def products_after_a_broadcast(folder):
    """As on a GPU in bf16: copies that were rounded before weights arrive are not used after it; prints "fresh"."""
    from caffe import common
    from caffe.kernels import rounding
    rounding.on_gpu = lambda tensor: True
    common.native_bf16 = lambda: True
    caffe.set_precision("bf16")
    solver = make_solver(Path(folder, "rank%d" % caffe.solver_rank()), 1)
    parameters = [blob.tensor for blob in solver.net.learnable_params]
    for tensor in parameters:
        tensor.fill_(1 + caffe.solver_rank())
        rounding.keep_rounded(tensor)
    caffe.NCCL(solver, os.environ["UID_OF_RUN"]).bcast()
    if all((rounding.rounded(tensor) == 1).all() for tensor in parameters):
        print("fresh")
