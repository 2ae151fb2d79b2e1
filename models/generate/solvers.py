"""Solvers: the common values, and the values that a net and a method change."""
from collections.abc import Iterator

from caffe.proto import caffe_pb2

from .nets import Net
from .prototxt import prototxt

SOLVER = {"base_lr": 0.001, "lr_policy": "step", "gamma": 0.1, "stepsize": 30000, "display": 20,
          "average_loss": 100, "momentum": 0.9, "weight_decay": 0.0005}
# A minibatch of Fast R-CNN is one image with 64 hard RoIs, two to a step: see fast_rcnn_ohem.yml.
OHEM = {"iter_size": 2}


def solver_text(net: Net, train_net: str, prefix: str, **values) -> str:
    """The solver of a net.

    train_net: path below models/<dataset>/<NET>/.
    prefix: of the snapshots, after the name of the net.
    values: the values that differ from SOLVER and from the net's own.
    """
    # No snapshots by the solver itself: fast_rcnn.train writes them.
    lower = net.name.lower().replace("-", "")
    return prototxt(caffe_pb2.SolverParameter(
        train_net=f"models/{net.dataset}/{net.name}/{train_net}", snapshot=0,
        snapshot_prefix=f"{lower}_{prefix}" if prefix else lower,
        **{**SOLVER, **net.solver, **values}))


def schedules(net: Net, published: tuple[tuple[str, int], ...]) -> Iterator[tuple[str, dict]]:
    """(name of the file, values) of a net's solvers: those published, or one with the net's own."""
    if net.solver:
        yield published[0][0], dict(net.solver)
        return
    for name, stepsize in published:
        yield name, {"stepsize": stepsize}
