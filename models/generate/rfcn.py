"""R-FCN: score maps of the parts of a box, pooled at the RPN's proposals, trained end to end.

Structure, names and solver values are those of py-R-FCN's class-agnostic nets, so that its
published weights load.  OHEM needs no second RoI network here: pooling score maps is cheap, so all
RoIs are scored in one pass and BoxAnnotatorOHEM selects the hardest for the losses.
"""
from caffe import NetSpec
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Top

from .layers import BLOBS, IMAGE, TAKES_IMAGE, convolution, enter, named, net_with_inputs, reshape
from .nets import Net
from .prototxt import prototxt
from .rpn import (
    image_and_objects,
    proposals,
    rpn_layers,
    rpn_losses,
    sampled_proposals,
    scores_by_anchor,
)
from .solvers import schedules, solver_text

METHODS = ("rfcn_end2end", "rfcn_end2end_ohem")
BOX_CLASSES = 2             # background and object: classes share their boxes (cfg.TRAIN.AGNOSTIC)
ROIS_PER_IMAGE = 128        # that learn, under OHEM
SCHEDULES = (("solver", 50000), ("solver_110k", 80000))     # (name, stepsize): VOC 07, VOC 07+12
OHEM_COMMENT = ("per_roi_loss is the loss of each RoI; annotator_detector leaves the hardest RoIs "
                "to the losses below it.")


def files(net: Net) -> dict[str, str]:
    """{path below models/<dataset>/<NET>/: text} of one net."""
    texts = {}
    for method in METHODS:
        train = f"{method}/train.prototxt"
        texts[train] = train_text(net, method.endswith("_ohem"))
        texts[f"{method}/test.prototxt"] = test_text(net)
        for name, values in schedules(net, SCHEDULES):
            values |= net.rfcn.solver
            texts[f"{method}/{name}.prototxt"] = solver_text(net, train, "rfcn", **values)
    return texts


def train_text(net: Net, ohem: bool) -> str:
    n = NetSpec()
    image_and_objects(n, net)
    last = trunk_and_rpn(n, net)
    rpn_losses(n, net)
    sampled_proposals(n, net)
    roi_scores(n, net, last)
    if ohem:
        mined_losses(n)
    else:
        sampled_losses(n)
    return prototxt(named(n, net.title), *([OHEM_COMMENT] if ohem else []))


def test_text(net: Net) -> str:
    n = NetSpec()
    n.data, n.im_info = L.Input(ntop=2)
    last = trunk_and_rpn(n, net)
    scores_by_anchor(n)
    proposals(n, net, "rois")
    roi_scores(n, net, last, box_top="bbox_pred_pre")
    rows = reshape(0, -1)               # (R, K, 1, 1) -> (R, K)
    n.cls_prob_pre = L.Softmax(n.cls_score, name="cls_prob")
    n.cls_prob = L.Reshape(n.cls_prob_pre, name="cls_prob_reshape", **rows)
    n.bbox_pred = L.Reshape(n.bbox_pred_pre, name="bbox_pred_reshape", **rows)
    return prototxt(
        net_with_inputs(n, net.title, data=IMAGE, im_info=(1, 3)), TAKES_IMAGE,
        "Gives cls_prob (R, K) and bbox_pred (R, 8) of the boxes in the blob rois (R, 5).")


def trunk_and_rpn(n: NetSpec, net: Net) -> Top:
    """Add the trunk and the RPN; returns the map that the score maps stand on."""
    features = net.trunk(n, n.data)
    last = net.deeper(n, features) if net.deeper else features
    rpn_layers(n, net.rpn, features)
    return last


def roi_scores(n: NetSpec, net: Net, features: Top, box_top: str = "bbox_pred") -> None:
    """Add cls_score (R, K, 1, 1) and `box_top` (R, 8, 1, 1) of the RoIs."""
    head = net.rfcn
    maps = convolution(n, "conv_new_1", features, head.channels, std=head.std, lr=head.lr)
    maps = n.conv_new_1_relu = L.ReLU(maps, in_place=True)
    cls_maps = convolution(n, "rfcn_cls", maps, net.classes * head.group ** 2)
    box_maps = convolution(n, "rfcn_bbox", maps, 4 * BOX_CLASSES * head.group ** 2)
    n.psroipooled_cls_rois = pool_parts(n, net, cls_maps, net.classes)
    n.cls_score = vote(net, n.psroipooled_cls_rois, "ave_cls_score_rois")
    n.psroipooled_loc_rois = pool_parts(n, net, box_maps, 4 * BOX_CLASSES)
    n[box_top] = vote(net, n.psroipooled_loc_rois, "ave_bbox_pred_rois")


def pool_parts(n, net, maps, channels):
    """(N, channels * group^2, H, W) -> (R, channels, group, group): each part from its own maps."""
    return L.PSROIPooling(maps, n.rois, spatial_scale=1 / net.stride, output_dim=channels,
                          group_size=net.rfcn.group)


def vote(net, pooled, name):
    """The mean of the parts."""
    group = net.rfcn.group
    return L.Pooling(pooled, name=name, pool=P.Pooling.AVE, kernel_size=group, stride=group)


# ---- losses

def sampled_losses(n: NetSpec) -> None:
    """Add both losses over the sampled RoIs."""
    n.loss_cls = L.SoftmaxWithLoss(
        n.cls_score, n.labels, name="loss", propagate_down=[True, False], loss_weight=1)
    n.loss_bbox = L.SmoothL1Loss(
        n.bbox_pred, *(n[blob] for blob in BLOBS[2:]), propagate_down=[True, False, False, False],
        loss_weight=1)


def mined_losses(n: NetSpec) -> None:
    """Add the loss of each RoI, the choice of the hardest, and both losses over these."""
    roi_losses(n)
    enter(n, ["labels_ohem", "bbox_loss_weights_ohem"], L.BoxAnnotatorOHEM(
        n.rois, n.per_roi_loss, n.labels, n.bbox_inside_weights, name="annotator_detector", ntop=2,
        propagate_down=[False] * 4, roi_per_img=ROIS_PER_IMAGE, ignore_label=-1))
    for name in ("bbox_outside_weights", "temp_loss_cls", "temp_prob_cls", "temp_loss_bbox"):
        n[f"silence_{name}"] = L.Silence(n[name], ntop=0)
    n.loss_cls = L.SoftmaxWithLoss(
        n.cls_score, n.labels_ohem, name="loss", propagate_down=[True, False], loss_weight=1,
        loss_param={"ignore_label": -1})
    n.loss_bbox = L.SmoothL1LossOHEM(
        n.bbox_pred, n.bbox_targets, n.bbox_loss_weights_ohem, loss_weight=1,
        propagate_down=[True, False, False],
        loss_param={"normalization": P.Loss.PRE_FIXED, "pre_fixed_normalizer": ROIS_PER_IMAGE})


def roi_losses(n):
    """Add per_roi_loss (R, 1, 1, 1), which has no backward."""
    enter(n, ["temp_loss_cls", "temp_prob_cls", "per_roi_loss_cls"], L.SoftmaxWithLossOHEM(
        n.cls_score, n.labels, name="per_roi_loss_cls", ntop=3, loss_weight=[0] * 3,
        propagate_down=[False] * 2))
    enter(n, ["temp_loss_bbox", "per_roi_loss_bbox"], L.SmoothL1LossOHEM(
        n.bbox_pred, n.bbox_targets, n.bbox_inside_weights, name="per_roi_loss_bbox", ntop=2,
        loss_weight=[0] * 2, propagate_down=[False] * 3))
    n.per_roi_loss = L.Eltwise(
        n.per_roi_loss_cls, n.per_roi_loss_bbox, propagate_down=[False] * 2)
