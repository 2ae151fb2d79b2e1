"""The RoI network of Fast R-CNN: RoI pooling, fc6, fc7, cls_score and bbox_pred.

Under OHEM there are two.  A read-only copy scores all RoIs, hard_roi_mining keeps the hardest, and
a trainable copy learns from these.  The two share their parameters by name.
"""
from dataclasses import dataclass

from caffe import NetSpec
from caffe import layers as L
from caffe.net_spec import Top

from .layers import BLOBS, enter, gaussian, multipliers, roi_data_layer
from .nets import Net


@dataclass(frozen=True)
class Copy:
    """A copy of the RoI network: read-only, trainable, or the single one."""

    tail: str = ""              # of the names of its layers
    shared: bool = False        # its parameters have names
    learns: bool = True

    @property
    def backward(self) -> dict:
        """`propagate_down` of a layer of one bottom: the read-only copy never runs backward."""
        return {} if self.learns else {"propagate_down": [False]}


SINGLE = Copy()
TRAINABLE = Copy(shared=True)
READONLY = Copy("_readonly", shared=True, learns=False)


def roi_network(n: NetSpec, net: Net, features: Top, rois: Top,
                copy: Copy = SINGLE) -> tuple[Top, Top]:
    """Add one copy; returns the tops cls_score (R, K) and bbox_pred (R, 4K)."""
    fc7 = roi_body(n, net, features, rois, copy)
    cls_score = inner_product(n, "cls_score", fc7, net.classes, gaussian(0.01, 0), copy)
    bbox_pred = inner_product(n, "bbox_pred", fc7, 4 * net.classes, gaussian(0.001, 0), copy)
    return cls_score, bbox_pred


def roi_body(n: NetSpec, net: Net, features: Top, rois: Top, copy: Copy = SINGLE) -> Top:
    """Add RoI pooling, fc6 and fc7."""
    layer, top = (name + copy.tail for name in net.roi_pool)
    n[top] = L.ROIPooling(features, rois, name=layer, propagate_down=[copy.learns, False],
                          pooled_w=net.pooled, pooled_h=net.pooled, spatial_scale=1 / net.stride)
    return fc_layers(n, net, n[top], copy)


def fc_layers(n: NetSpec, net: Net, bottom: Top, copy: Copy = SINGLE) -> Top:
    """Add fc6 and fc7 with what follows each."""
    top = bottom
    for number, fc in ((6, net.fc6), (7, net.fc7)):
        fillers = gaussian(fc.std, 0.1)
        top = inner_product(n, f"fc{number}", top, fc.num_output, fillers, copy, fc.lr)
        top = n[f"relu{number}{copy.tail}"] = L.ReLU(top, in_place=True, **copy.backward)
        if net.dropout:
            top = n[f"drop{number}{copy.tail}"] = L.Dropout(
                top, in_place=True, **net.dropout, **copy.backward)
    return top


def inner_product(n: NetSpec, name: str, bottom: Top, num_output: int, fillers: dict,
                  copy: Copy = SINGLE, lr: float = 1) -> Top:
    """Add a fully connected layer of one copy; lr: of its weights."""
    top = n[name + copy.tail] = L.InnerProduct(
        bottom, num_output=num_output, param=_parameters(name, copy, lr), **fillers,
        **copy.backward)
    return top


def _parameters(name, copy, lr):
    """The read-only copy owns the weights; the trainable copy has their multipliers."""
    if not copy.shared:
        return multipliers(lr)      # the original's plain nets leave decay_mult at its default, 1
    weights, bias = {"name": f"{name}_w"}, {"name": f"{name}_b"}
    if copy.learns:
        weights.update(lr_mult=lr, decay_mult=1)
        bias.update(lr_mult=2, decay_mult=0)
    return [weights, bias]


def learning_roi_network(n: NetSpec, net: Net, features: Top, ohem: bool) -> None:
    """Add the layers that train on BLOBS: mining with OHEM, the RoI network, both losses."""
    if ohem:
        mining(n, net, features)
    tail = "_hard" if ohem else ""
    roi_network(n, net, features, n[f"rois{tail}"], TRAINABLE if ohem else SINGLE)
    losses(n, tail)


def mining(n: NetSpec, net: Net, features: Top) -> None:
    """Add the read-only copy over all RoIs, and the layer that keeps the hard ones."""
    cls_score, bbox_pred = roi_network(n, net, features, n.rois, READONLY)
    n.cls_prob_readonly = L.Softmax(cls_score, **READONLY.backward)
    bottoms = [n.cls_prob_readonly, bbox_pred, *(n[blob] for blob in BLOBS)]
    hard = L.Python(
        *bottoms, name="hard_roi_mining", ntop=len(BLOBS), propagate_down=[False] * len(bottoms),
        **roi_data_layer("OHEMDataLayer", net.classes))
    enter(n, [f"{blob}_hard" for blob in BLOBS], hard)


def losses(n: NetSpec, tail: str) -> None:
    """Add both losses over the RoIs whose blobs' names end in `tail`."""
    labels, *targets = (n[blob + tail] for blob in BLOBS[1:])
    n.loss_cls = L.SoftmaxWithLoss(
        n.cls_score, labels, propagate_down=[True, False], loss_weight=1)
    n.loss_bbox = L.SmoothL1Loss(
        n.bbox_pred, *targets, propagate_down=[True, False, False, False], loss_weight=1)
