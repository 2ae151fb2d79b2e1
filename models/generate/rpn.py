"""The region proposal network (RPN): its layers, losses and proposals, as py-faster-rcnn's."""
from caffe import NetSpec
from caffe import layers as L
from caffe.net_spec import Top

from .layers import BLOBS, convolution, enter, reshape, roi_data_layer
from .nets import Net, Rpn

RATIOS = 3                      # of the anchors: 0.5, 1 and 2
DEFAULT_SCALES = (8, 16, 32)    # of the anchors' layers
ANCHOR_BLOBS = ("rpn_labels", "rpn_bbox_targets", "rpn_bbox_inside_weights",
                "rpn_bbox_outside_weights")


def image_and_objects(n: NetSpec, net: Net) -> None:
    """Add the data layer: data (N, 3, H, W), im_info (N, 3) and gt_boxes."""
    n.data, n.im_info, n.gt_boxes = L.Python(
        name="input-data", ntop=3, **roi_data_layer("RoIDataLayer", net.classes))


def rpn_layers(n: NetSpec, rpn: Rpn, features: Top, old_names: bool = False) -> list[str]:
    """Add rpn_cls_score (N, 2A, H, W) and rpn_bbox_pred (N, 4A, H, W).

    Gives the names of the tops whose layers have weights.
    """
    conv, relu, output = "rpn_conv/3x3", "rpn_relu/3x3", "rpn/output"
    if old_names:
        conv, relu, output = "rpn_conv1", "rpn_relu1", "rpn_conv1"
    top = convolution(n, output, features, rpn.num_output, 3, rpn.std, rpn.lr, layer=conv)
    top = n[relu] = L.ReLU(top, in_place=True)
    convolution(n, "rpn_cls_score", top, 2 * count_anchors(rpn))
    convolution(n, "rpn_bbox_pred", top, 4 * count_anchors(rpn))
    return [output, "rpn_cls_score", "rpn_bbox_pred"]


def count_anchors(rpn: Rpn) -> int:
    """A, the anchors of a cell."""
    return RATIOS * len(rpn.scales or DEFAULT_SCALES)


def scores_by_anchor(n: NetSpec) -> None:
    """Add rpn_cls_score_reshape: (N, 2A, H, W) -> (N, 2, A*H, W), for a softmax over two."""
    n.rpn_cls_score_reshape = L.Reshape(n.rpn_cls_score, **reshape(0, 2, -1, 0))


def rpn_losses(n: NetSpec, net: Net) -> None:
    """Add labels and targets of the anchors, and both losses."""
    scores_by_anchor(n)
    labels, *targets = tops = L.Python(
        n.rpn_cls_score, n.gt_boxes, n.im_info, n.data, name="rpn-data", ntop=len(ANCHOR_BLOBS),
        **anchor_layer(net, "rpn.anchor_target_layer", "AnchorTargetLayer"))
    enter(n, ANCHOR_BLOBS, tops)
    n.rpn_cls_loss = L.SoftmaxWithLoss(
        n.rpn_cls_score_reshape, labels, name="rpn_loss_cls", propagate_down=[True, False],
        loss_weight=1, loss_param={"ignore_label": -1, "normalize": True})
    n.rpn_loss_bbox = L.SmoothL1Loss(
        n.rpn_bbox_pred, *targets, propagate_down=[True, False, False, False], loss_weight=1,
        sigma=3)


def proposals(n: NetSpec, net: Net, *names: str) -> None:
    """Add the proposed boxes (R, 5) and, where there is a second name, their scores (R, 1)."""
    channels = 2 * count_anchors(net.rpn)
    n.rpn_cls_prob = L.Softmax(n.rpn_cls_score_reshape)
    n.rpn_cls_prob_reshape = L.Reshape(n.rpn_cls_prob, **reshape(0, channels, -1, 0))
    tops = L.Python(
        n.rpn_cls_prob_reshape, n.rpn_bbox_pred, n.im_info, name="proposal", ntop=len(names),
        **anchor_layer(net, "rpn.proposal_layer", "ProposalLayer"))
    enter(n, names, tops if len(names) > 1 else (tops,))


def sampled_proposals(n: NetSpec, net: Net) -> None:
    """Add the proposals with the targets of each, from which the RoI network learns."""
    proposals(n, net, "rpn_rois")
    enter(n, BLOBS, L.Python(
        n.rpn_rois, n.gt_boxes, name="roi-data", ntop=len(BLOBS),
        module="rpn.proposal_target_layer", layer="ProposalTargetLayer",
        param_str=f"'num_classes': {net.classes}"))


def anchor_layer(net: Net, module: str, layer: str) -> dict:
    """Settings of a Python layer that knows the anchors."""
    param_str = f"'feat_stride': {net.stride}"
    if net.rpn.scales:
        param_str = f"{{{param_str}, 'scales': {list(net.rpn.scales)}}}"
    return {"module": module, "layer": layer, "param_str": param_str}
