"""Faster R-CNN: an RPN on the trunk of a net, trained end to end or in turns.

Structure, names and solver values are those of py-faster-rcnn, so that its published weights load.
With OHEM, the RoI network is replaced by the two RoI networks of the Fast R-CNN nets.
"""
from caffe import NetSpec
from caffe import layers as L
from caffe.net_spec import Top

from .fast_rcnn import comments, image_and_rois
from .layers import IMAGE, TAKES_IMAGE, freeze, named, net_with_inputs
from .nets import Net
from .prototxt import prototxt
from .roi_network import fc_layers, learning_roi_network, roi_network
from .rpn import (
    image_and_objects,
    proposals,
    rpn_layers,
    rpn_losses,
    sampled_proposals,
    scores_by_anchor,
)
from .solvers import OHEM, schedules, solver_text

END_TO_END = ("faster_rcnn_end2end", "faster_rcnn_end2end_ohem")
ALTERNATING = ("faster_rcnn_alt_opt", "faster_rcnn_alt_opt_ohem")
# (name, stepsize) of end-to-end training: of VOC's 70,000 iterations, and COCO's
SCHEDULES = (("solver", 50000), ("solver_490k", 350000))


def files(net: Net) -> dict[str, str]:
    """{path below models/<dataset>/<NET>/: text} of one net."""
    texts = {}
    for method in END_TO_END:
        texts.update(end_to_end_files(net, method))
    for method in ALTERNATING:
        texts.update(alternating_files(net, method))
    return texts


def end_to_end_files(net: Net, method: str) -> dict[str, str]:
    train = f"{method}/train.prototxt"
    texts = {train: end_to_end_text(net, method.endswith("_ohem")),
             f"{method}/test.prototxt": test_text(net)}
    for name, values in schedules(net, SCHEDULES):
        texts[f"{method}/{name}.prototxt"] = solver_text(
            net, train, "faster_rcnn", **values, iter_size=2)
    return texts


def alternating_files(net: Net, method: str) -> dict[str, str]:
    """The four stages and the test nets; named as in py-faster-rcnn; the names give the schedule."""
    ohem = method.endswith("_ohem")
    texts = {f"{method}/rpn_test.pt": proposals_text(net),
             f"{method}/faster_rcnn_test.pt": test_text(net, net.rpn.old_names)}
    for number in (1, 2):
        stage = f"{method}/stage{number}"
        frozen = number == 2
        texts[f"{stage}_rpn_train.pt"] = rpn_stage_text(net, frozen)
        texts[f"{stage}_fast_rcnn_train.pt"] = fast_rcnn_stage_text(net, ohem, frozen)
        texts.update(stage_solvers(net, stage, OHEM if ohem else {}))
    return texts


def stage_solvers(net: Net, stage: str, values: dict) -> dict[str, str]:
    """The solvers of a stage; values: of Fast R-CNN's. The RPN's stepsize is twice as large."""
    rpn, fast = ("solver", "solver") if net.solver else ("solver60k80k", "solver30k40k")
    stepsize = net.solver.get("stepsize", 30000)
    return {
        f"{stage}_rpn_{rpn}.pt": solver_text(
            net, f"{stage}_rpn_train.pt", "rpn", stepsize=2 * stepsize),
        f"{stage}_fast_rcnn_{fast}.pt": solver_text(
            net, f"{stage}_fast_rcnn_train.pt", "fast_rcnn", stepsize=stepsize, **values)}


# ---- training nets

def end_to_end_text(net: Net, ohem: bool) -> str:
    n = NetSpec()
    image_and_objects(n, net)
    features = net.trunk(n, n.data)
    rpn_layers(n, net.rpn, features)
    rpn_losses(n, net)
    sampled_proposals(n, net)
    learning_roi_network(n, net, features, ohem)
    return prototxt(named(n, net.title), *comments(ohem))


def rpn_stage_text(net: Net, frozen: bool) -> str:
    """The RPN alone; frozen: the trunk is not trained, as in the second stages."""
    n = NetSpec()
    image_and_objects(n, net)
    features = stage_trunk(n, net, frozen)
    rpn_layers(n, net.rpn, features, net.rpn.old_names)
    rpn_losses(n, net)
    pooled = [1, net.rpn.channels * net.pooled ** 2]
    n.dummy_roi_pool_conv5 = L.DummyData(
        shape={"dim": pooled}, data_filler={"type": "constant", "value": 0})
    n.silence_fc7 = L.Silence(fc_layers(n, net, n.dummy_roi_pool_conv5), ntop=0)
    freeze(n, ["fc6", "fc7"])
    return prototxt(named(n, net.title), *stage_comments(frozen),
                    "fc6 and fc7 learn nothing: they are here to be kept in the caffemodel.")


def fast_rcnn_stage_text(net: Net, ohem: bool, frozen: bool) -> str:
    """Fast R-CNN on given proposals; frozen: as above."""
    n = NetSpec()
    image_and_rois(n, net)
    features = stage_trunk(n, net, frozen)
    learning_roi_network(n, net, features, ohem)
    freeze(n, rpn_layers(n, net.rpn, features, net.rpn.old_names))
    for name in ("rpn_cls_score", "rpn_bbox_pred"):
        n[f"silence_{name}"] = L.Silence(n[name], ntop=0)
    return prototxt(named(n, net.title), *stage_comments(frozen), *comments(ohem),
                    "The RPN learns nothing: it is here to be kept in the caffemodel.")


def stage_trunk(n, net, frozen):
    features = net.trunk(n, n.data)
    if frozen:
        freeze(n, list(n.tops))
    return features


def stage_comments(frozen):
    return ["Second stage: the layers up to the last map learn nothing."] if frozen else []


# ---- test nets

def test_text(net: Net, old_names: bool = False) -> str:
    n = NetSpec()
    features = proposing(n, net, old_names, "rois")
    cls_score, _ = roi_network(n, net, features, n.rois)
    n.cls_prob = L.Softmax(cls_score)
    return prototxt(
        proposing_net(n, net), TAKES_IMAGE,
        "Gives cls_prob (R, K) and bbox_pred (R, 4K) of the boxes in the blob rois (R, 5).")


def proposals_text(net: Net) -> str:
    n = NetSpec()
    proposing(n, net, net.rpn.old_names, "rois", "scores")
    return prototxt(
        proposing_net(n, net), TAKES_IMAGE, "Gives rois (R, 5) and scores (R, 1).")


def proposing(n: NetSpec, net: Net, old_names: bool, *names: str) -> Top:
    """Add a test net up to its proposals; returns the trunk's last top."""
    n.data, n.im_info = L.Input(ntop=2)
    features = net.trunk(n, n.data)
    rpn_layers(n, net.rpn, features, old_names)
    scores_by_anchor(n)
    proposals(n, net, *names)
    return features


def proposing_net(n, net):
    return net_with_inputs(n, net.title, data=IMAGE, im_info=(1, 3))
