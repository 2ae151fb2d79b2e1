"""Fast R-CNN on given proposals, without and with OHEM.

Names and solver values are those of the original.
"""
from caffe import NetSpec
from caffe import layers as L

from .layers import BLOBS, IMAGE, enter, named, net_with_inputs, roi_data_layer
from .nets import Net
from .prototxt import prototxt
from .roi_network import learning_roi_network, roi_network
from .solvers import OHEM, schedules, solver_text

METHODS = ("fast_rcnn", "fast_rcnn_ohem")
# (name, stepsize): of 40,000 iterations, and the paper's for VOC 2012 and for COCO
SCHEDULES = (("solver", 30000), ("solver_200k", 40000), ("solver_240k", 160000))
OHEM_COMMENT = ("The layers *_readonly score all RoIs and hard_roi_mining keeps the hardest; "
                "the others learn from these.")


def files(net: Net) -> dict[str, str]:
    """{path below models/<dataset>/<NET>/: text} of one net."""
    texts = {}
    for method in METHODS:
        ohem = method.endswith("_ohem")
        train = f"{method}/train.prototxt"
        texts[train] = train_text(net, ohem)
        texts[f"{method}/test.prototxt"] = test_text(net)
        for name, values in schedules(net, SCHEDULES):
            values |= OHEM if ohem else {}
            texts[f"{method}/{name}.prototxt"] = solver_text(net, train, "fast_rcnn", **values)
    return texts


def train_text(net: Net, ohem: bool) -> str:
    n = NetSpec()
    image_and_rois(n, net)
    learning_roi_network(n, net, net.trunk(n, n.data), ohem)
    return prototxt(named(n, net.title), *comments(ohem))


def comments(ohem: bool) -> list[str]:
    """The comments at the top of a training net."""
    return [OHEM_COMMENT] if ohem else []


def image_and_rois(n: NetSpec, net: Net) -> None:
    """Add the data layer: data (N, 3, H, W) and BLOBS, the RoIs with their targets."""
    tops = L.Python(ntop=1 + len(BLOBS), **roi_data_layer("RoIDataLayer", net.classes))
    enter(n, ["data", *BLOBS], tops)


def test_text(net: Net) -> str:
    n = NetSpec()
    n.data, n.rois = L.Input(ntop=2)
    cls_score, _ = roi_network(n, net, net.trunk(n, n.data), n.rois)
    n.cls_prob = L.Softmax(cls_score)
    return prototxt(
        net_with_inputs(n, net.title, data=IMAGE, rois=(1, 5)),
        "Takes data (1, 3, H, W) and rois (R, 5); gives cls_prob (R, K) and bbox_pred (R, 4K).")
