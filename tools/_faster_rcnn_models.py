"""Faster R-CNN's prototxts: a region proposal network (RPN) on the trunk of a net, trained end to end or in turns.

Structure, names and solver values are those of py-faster-rcnn, so that its published weights load.  OHEM puts the pair
of RoI networks of the Fast R-CNN nets in the place of the one.
"""
import re
from collections import namedtuple

from _net_text import (
    BLOBS,
    SOLVER,
    chain,
    fc_layers,
    gaussian,
    layer,
    losses,
    message,
    mining,
    propagate,
    python_layer,
    roi_network,
    settings_text,
    title,
)

# channels: of the trunk's last map;  num_output, std, lr: of the 3x3 convolution;  scales: of the anchors, in units of
# 16 pixels;  old_names: the alternating nets call the convolution rpn_conv1
Rpn = namedtuple("Rpn", "channels num_output std lr scales old_names", defaults=(0.01, 1, None, False))

# SqueezeNet's images are half as large as VOC's of 600 pixels, and so are its anchors; its std and lr are scaled as
# those of its fc6.  DigitNet's anchors have the size of its digits, 20 to 80 pixels.
RPNS = {
    "VGG16": Rpn(512, 512),
    "VGG_CNN_M_1024": Rpn(512, 256),
    "ZF": Rpn(256, 256, old_names=True),
    "SqueezeNet": Rpn(512, 256, std=0.0002, lr=0.0004, scales=[4, 8, 16]),
    "DigitNet": Rpn(48, 64, std=0.05, scales=[1.25, 2.5, 5]),
}
RATIOS = 3
FROZEN = "param { lr_mult: 0 decay_mult: 0 }"
SCHEDULES = (("solver", 50000), ("solver_490k", 350000))    # of end-to-end training: VOC's 70,000 iterations, COCO's
END_TO_END = ("faster_rcnn_end2end", "faster_rcnn_end2end_ohem")
ALTERNATING = ("faster_rcnn_alt_opt", "faster_rcnn_alt_opt_ohem")


def files(net):
    """{path below models/<dataset>/<NET>/: text} of one net."""
    rpn, texts = RPNS[net.name], {}
    for method in END_TO_END:
        texts[method + "/train.prototxt"] = end_to_end_text(net, rpn, fast_method(method))
        texts[method + "/test.prototxt"] = test_text(net, rpn)
        for name, stepsize in SCHEDULES[:1] if net.solver else SCHEDULES:
            texts["%s/%s.prototxt" % (method, name)] = solver_text(
                net, method, "train.prototxt", net.solver.get("stepsize", stepsize), iter_size=2)
    for method in ALTERNATING:
        for name, text in alternating_texts(net, rpn, method).items():
            texts["%s/%s" % (method, name)] = text
    return texts


def alternating_texts(net, rpn, method):
    """{name: text} of the four stages and of the test nets; py-faster-rcnn's names, which tell the schedule."""
    rpn_solver, fast_solver = ("solver", "solver") if net.solver else ("solver60k80k", "solver30k40k")
    stepsize = net.solver.get("stepsize", 30000)
    iter_size = 2 if method.endswith("_ohem") else None     # one image at a time: see fast_rcnn_ohem.yml
    texts = {"rpn_test.pt": proposals_text(net, rpn), "faster_rcnn_test.pt": test_text(net, rpn, rpn.old_names)}
    for stage in (1, 2):
        frozen = stage == 2
        rpn_name, fast_name = "stage%d_rpn_" % stage, "stage%d_fast_rcnn_" % stage
        texts[rpn_name + "train.pt"] = rpn_stage_text(net, rpn, frozen)
        texts[fast_name + "train.pt"] = fast_rcnn_stage_text(net, rpn, fast_method(method), frozen)
        texts[rpn_name + rpn_solver + ".pt"] = solver_text(net, method, rpn_name + "train.pt", 2 * stepsize, "rpn")
        texts[fast_name + fast_solver + ".pt"] = solver_text(net, method, fast_name + "train.pt", stepsize, "fast_rcnn",
                                                             iter_size)
    return texts


def fast_method(method):
    """The Fast R-CNN method whose RoI network stands in `method`."""
    return "fast_rcnn_ohem" if method.endswith("_ohem") else "fast_rcnn"


# ---- parts

def rpn_layers(net, rpn, features, old_names=False, learns=True):
    """From the trunk's last map to rpn_cls_score (N, 2A, H, W) and rpn_bbox_pred (N, 4A, H, W)."""
    conv, relu, top = (("rpn_conv1", "rpn_relu1", "rpn_conv1") if old_names
                       else ("rpn_conv/3x3", "rpn_relu/3x3", "rpn/output"))
    anchors = count_anchors(rpn)
    return (convolution(conv, features, top, rpn.num_output, 3, rpn.std, rpn.lr, learns)
            + layer(relu, "ReLU", [top], [top])
            + convolution("rpn_cls_score", top, "rpn_cls_score", 2 * anchors, 1, 0.01, 1, learns)
            + convolution("rpn_bbox_pred", top, "rpn_bbox_pred", 4 * anchors, 1, 0.01, 1, learns))


def convolution(name, bottom, top, num_output, kernel, std, lr, learns):
    params = [message("param", lr_mult=lr), message("param", lr_mult=2)] if learns else [FROZEN] * 2
    body = message("convolution_param", num_output=num_output, kernel_size=kernel, pad=kernel // 2, stride=1,
                   **gaussian(std, 0))
    return layer(name, "Convolution", [bottom], [top], *params, body)


def count_anchors(rpn):
    return RATIOS * len(rpn.scales or (8, 16, 32))


def reshape(name, bottom, channels):
    return layer(name, "Reshape", [bottom], [name], message("reshape_param", shape={"dim": [0, channels, -1, 0]}))


def anchor_layer(net, rpn, name, module, type, bottoms, tops):
    """A Python layer that knows the anchors."""
    params = "'feat_stride': %d" % net.stride
    if rpn.scales:
        params = "{%s, 'scales': %s}" % (params, rpn.scales)
    return layer(name, "Python", bottoms, tops, message("python_param", module=module, layer=type, param_str=params))


def rpn_losses(net, rpn):
    """Labels and targets of the anchors, and both losses."""
    targets = ["rpn_bbox_targets", "rpn_bbox_inside_weights", "rpn_bbox_outside_weights"]
    return (reshape("rpn_cls_score_reshape", "rpn_cls_score", 2)
            + anchor_layer(net, rpn, "rpn-data", "rpn.anchor_target_layer", "AnchorTargetLayer",
                           ["rpn_cls_score", "gt_boxes", "im_info", "data"], ["rpn_labels"] + targets)
            + layer("rpn_loss_cls", "SoftmaxWithLoss", ["rpn_cls_score_reshape", "rpn_labels"], ["rpn_cls_loss"],
                    *propagate(True, False), "loss_weight: 1", message("loss_param", ignore_label=-1, normalize=True))
            + layer("rpn_loss_bbox", "SmoothL1Loss", ["rpn_bbox_pred"] + targets, ["rpn_loss_bbox"],
                    *propagate(True, False, False, False), "loss_weight: 1",
                    message("smooth_l1_loss_param", sigma=3.0)))


def proposal_layers(net, rpn, *tops):
    """From rpn_cls_score_reshape and rpn_bbox_pred to proposals."""
    return (layer("rpn_cls_prob", "Softmax", ["rpn_cls_score_reshape"], ["rpn_cls_prob"])
            + reshape("rpn_cls_prob_reshape", "rpn_cls_prob", 2 * count_anchors(rpn))
            + anchor_layer(net, rpn, "proposal", "rpn.proposal_layer", "ProposalLayer",
                           ["rpn_cls_prob_reshape", "rpn_bbox_pred", "im_info"], list(tops)))


def roi_networks(net, method, features):
    """The RoI network and its losses; under OHEM behind the read-only one that chooses its RoIs."""
    tail = "_hard" if method == "fast_rcnn_ohem" else ""
    return ((mining(net, features) if tail else "") + roi_network(net, method, features, "rois" + tail) + losses(tail))


def silence(name):
    return layer("silence_" + name, "Silence", [name], [])


def objects(net):
    """The data layer of a net with an RPN."""
    return python_layer(net, "input-data", "RoIDataLayer", [], ["data", "im_info", "gt_boxes"])


# ---- nets

def end_to_end_text(net, rpn, method):
    trunk, features = chain(net.trunk)
    proposal_targets = layer("roi-data", "Python", ["rpn_rois", "gt_boxes"], BLOBS,
                             message("python_param", module="rpn.proposal_target_layer", layer="ProposalTargetLayer",
                                     param_str="'num_classes': %d" % net.classes))
    return (title(net) + objects(net) + trunk + rpn_layers(net, rpn, features) + rpn_losses(net, rpn)
            + proposal_layers(net, rpn, "rpn_rois") + proposal_targets + roi_networks(net, method, features))


def rpn_stage_text(net, rpn, frozen):
    """The RPN by itself; fc6 and fc7 stand there to be carried on in its caffemodel."""
    trunk, features = trunk_text(net, frozen)
    body = layer("dummy_roi_pool_conv5", "DummyData", [], ["dummy_roi_pool_conv5"], message(
        "dummy_data_param", shape={"dim": [1, rpn.channels * net.pooled ** 2]},
        data_filler={"type": "constant", "value": 0}))
    body += fc_layers(net, "fast_rcnn", "dummy_roi_pool_conv5") + silence("fc7")
    return (title(net) + objects(net) + trunk + rpn_layers(net, rpn, features, rpn.old_names) + rpn_losses(net, rpn)
            + freeze(body))


def fast_rcnn_stage_text(net, rpn, method, frozen):
    """Fast R-CNN on given proposals; the RPN stands there to be carried on in its caffemodel."""
    trunk, features = trunk_text(net, frozen)
    return (title(net) + python_layer(net, "data", "RoIDataLayer", [], ["data"] + BLOBS) + trunk
            + roi_networks(net, method, features) + rpn_layers(net, rpn, features, rpn.old_names, learns=False)
            + silence("rpn_cls_score") + silence("rpn_bbox_pred"))


def trunk_text(net, frozen):
    """Text of the trunk and the name of its last top; frozen: it learns nothing, as in the second stages."""
    trunk, features = chain(net.trunk)
    return (freeze(trunk) if frozen else trunk), features


def freeze(text):
    return re.sub(r"param \{ lr_mult[^}]*\}", FROZEN, text)


def test_text(net, rpn, old_names=False):
    """Takes data (1, 3, H, W) and im_info (1, 3), gives cls_prob (R, K), bbox_pred (R, 4K) and the blob rois (R, 5)."""
    body, features = proposing(net, rpn, old_names, "rois")
    return (body + roi_network(net, "fast_rcnn", features) + layer("cls_prob", "Softmax", ["cls_score"], ["cls_prob"]))


def proposals_text(net, rpn):
    """Takes data and im_info, gives rois (R, 5) and scores (R, 1)."""
    return proposing(net, rpn, rpn.old_names, "rois", "scores")[0]


def proposing(net, rpn, old_names, *tops):
    """Text of a test net up to its proposals, and the name of the trunk's last top."""
    trunk, features = chain(net.trunk)
    inputs = ('input: "data"\ninput_shape { dim: 1 dim: 3 dim: 224 dim: 224 }\n'
              'input: "im_info"\ninput_shape { dim: 1 dim: 3 }\n')
    return (title(net) + inputs + trunk + rpn_layers(net, rpn, features, old_names)
            + reshape("rpn_cls_score_reshape", "rpn_cls_score", 2) + proposal_layers(net, rpn, *tops)), features


def solver_text(net, method, train_net, stepsize, prefix="faster_rcnn", iter_size=None):
    """py-faster-rcnn's values, but for what the net says itself."""
    values = {"train_net": "models/%s/%s/%s/%s" % (net.dataset, net.name, method, train_net), **SOLVER,
              **net.solver, "stepsize": stepsize}
    if iter_size:
        values["iter_size"] = iter_size
    values.update(snapshot=0, snapshot_prefix="%s_%s" % (net.name.lower(), prefix))
    return settings_text(values)
