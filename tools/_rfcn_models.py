"""R-FCN's prototxts: score maps that know the parts of a box, pooled at the RPN's proposals, trained end to end.

Structure, names and solver values are those of py-R-FCN's class-agnostic nets, so that its published weights load.
OHEM needs no second RoI network here: pooling score maps is cheap, so all RoIs are scored in the one pass and
BoxAnnotatorOHEM leaves the hardest to the losses.
"""
from collections import namedtuple

from _faster_rcnn_models import RPNS, Rpn, convolution, objects, proposal_layers, rpn_layers, rpn_losses, silence
from _net_text import BLOBS, SOLVER, Net, chain, layer, message, propagate, settings_text, title

# channels, std, lr: of conv_new_1;  group: the maps are pooled to group x group parts;  solver: values of its own
Head = namedtuple("Head", "channels std lr group solver", defaults=(1024, 0.01, 1, 7, {}))

METHODS = ("rfcn_end2end", "rfcn_end2end_ohem")
BOX_CLASSES = 2             # background and object: all classes share their boxes (cfg.TRAIN.AGNOSTIC)
ROIS_PER_IMAGE = 128        # that learn, under OHEM


# ---- ResNet-50

def resnet_conv(name, bottom, num_output, kernel, stride=1, dilation=1, lr=1, relu=True, bias=None):
    """Convolution, batch normalisation by the ImageNet statistics, scale and ReLU; `name` is res2a_branch1 or conv1."""
    suffix = name[3:] if name.startswith("res") else "_" + name
    fixed = message("param", lr_mult=0, decay_mult=0)
    pad = dilation * (kernel // 2)
    text = layer(name, "Convolution", [bottom], [name], *[message("param", lr_mult=lr)] * (1 if bias is False else 2),
                 message("convolution_param", num_output=num_output, kernel_size=kernel, pad=pad, stride=stride,
                         dilation=dilation if dilation > 1 else None, bias_term=bias))
    text += layer("bn" + suffix, "BatchNorm", [name], [name], *[fixed] * 3,
                  message("batch_norm_param", use_global_stats=True))
    text += layer("scale" + suffix, "Scale", [name], [name], *[fixed] * 2, message("scale_param", bias_term=True))
    return text + (layer(name + "_relu", "ReLU", [name], [name]) if relu else "")


def bottleneck(name, channels, first=False, stride=1, dilation=1, lr=1):
    """Stage: 1x1, 3x3 and 1x1 beside the identity, or beside a 1x1 to 4 * channels in the first of a group."""
    def stage(bottom):
        text, shortcut, branch = "", bottom, name + "_branch2"
        if first:
            shortcut = name + "_branch1"
            text += resnet_conv(shortcut, bottom, 4 * channels, 1, stride, lr=lr, relu=False, bias=False)
        text += resnet_conv(branch + "a", bottom, channels, 1, stride, lr=lr, bias=False)
        text += resnet_conv(branch + "b", branch + "a", channels, 3, 1, dilation, lr=lr, bias=False)
        text += resnet_conv(branch + "c", branch + "b", 4 * channels, 1, lr=lr, relu=False, bias=False)
        text += layer(name, "Eltwise", [shortcut, branch + "c"], [name]) + layer(name + "_relu", "ReLU", [name], [name])
        return text, name
    return stage


def bottlenecks(number, channels, count, stride=1, dilation=1, lr=1):
    return [bottleneck("res%d%s" % (number, "abcdef"[i]), channels, i == 0, stride if i == 0 else 1, dilation, lr)
            for i in range(count)]


def resnet_start(bottom):
    text = resnet_conv("conv1", bottom, 64, 7, 2, lr=0)
    return text + layer("pool1", "Pooling", ["conv1"], ["pool1"],
                        message("pooling_param", pool="MAX", kernel_size=3, stride=2)), "pool1"


# conv1 and res2 stay as they are; res5 sees with holes instead of halving the map, whose stride stays 16
RESNET50 = Net("pascal_voc", "ResNet-50", "ResNet-50", 21,
               [resnet_start, *bottlenecks(2, 64, 3, lr=0), *bottlenecks(3, 128, 4, 2), *bottlenecks(4, 256, 6, 2)],
               pooled=None, fc6=None, fc7=None, dropout=False, solver={})
RES5 = bottlenecks(5, 512, 3, dilation=2)

# As in _faster_rcnn_models: SqueezeNet's features are about 50 times larger than others', DigitNet's maps are small.
# A score is the mean of group^2 maps, so each learns group^2 times slower than a classifier would: with 256 channels
# filled at 0.0002 and the rate of Fast R-CNN, SqueezeNet had learnt nothing after 1000 iterations (1.2 mAP; so, 14).
HEADS = {"ResNet-50": Head(), "SqueezeNet": Head(1024, 0.0008, 0.0004, solver={"base_lr": 0.005}),
         "DigitNet": Head(64, 0.05, group=3)}
SOLVERS = (("solver", 50000), ("solver_110k", 80000))       # name, stepsize: of VOC 07's and 07+12's iterations


def files(net):
    """{path below models/<dataset>/<NET>/: text} of one net."""
    texts = {}
    for method in METHODS:
        texts[method + "/train.prototxt"] = train_text(net, method)
        texts[method + "/test.prototxt"] = test_text(net)
        for name, stepsize in SOLVERS[:1] if net.solver else SOLVERS:
            texts["%s/%s.prototxt" % (method, name)] = solver_text(net, method, stepsize)
    return texts


def train_text(net, method):
    proposal_targets = layer("roi-data", "Python", ["rpn_rois", "gt_boxes"], BLOBS,
                             message("python_param", module="rpn.proposal_target_layer", layer="ProposalTargetLayer",
                                     param_str="'num_classes': %d" % net.classes))
    body, features = trunk(net)
    rpn = rpn_of(net)
    return (title(net) + objects(net) + body + rpn_layers(net, rpn, features[0]) + rpn_losses(net, rpn)
            + proposal_layers(net, rpn, "rpn_rois") + proposal_targets + scores(net, features[1])
            + (mined_losses() if method.endswith("_ohem") else sampled_losses()))


def test_text(net):
    """Takes data (1, 3, H, W) and im_info (1, 3), gives cls_prob (R, K), bbox_pred (R, 8) and the blob rois (R, 5)."""
    body, features = trunk(net)
    rpn = rpn_of(net)
    inputs = ('input: "data"\ninput_shape { dim: 1 dim: 3 dim: 224 dim: 224 }\n'
              'input: "im_info"\ninput_shape { dim: 1 dim: 3 }\n')
    rpn_scores = layer("rpn_cls_score_reshape", "Reshape", ["rpn_cls_score"], ["rpn_cls_score_reshape"],
                       message("reshape_param", shape={"dim": [0, 2, -1, 0]}))
    rows = message("reshape_param", shape={"dim": [0, -1]})      # (R, K, 1, 1) -> (R, K)
    return (title(net) + inputs + body + rpn_layers(net, rpn, features[0]) + rpn_scores
            + proposal_layers(net, rpn, "rois") + scores(net, features[1], box_top="bbox_pred_pre")
            + layer("cls_prob", "Softmax", ["cls_score"], ["cls_prob_pre"])
            + layer("cls_prob_reshape", "Reshape", ["cls_prob_pre"], ["cls_prob"], rows)
            + layer("bbox_pred_reshape", "Reshape", ["bbox_pred_pre"], ["bbox_pred"], rows))


def trunk(net):
    """Text of the trunk, and the maps that the RPN and that the score maps stand on."""
    text, top = chain(net.trunk)
    if net is not RESNET50:
        return text, (top, top)
    deeper, last = chain(RES5, top)
    return text + deeper, (top, last)


def rpn_of(net):
    return Rpn(1024, 512) if net is RESNET50 else RPNS[net.name]


def scores(net, features, box_top="bbox_pred"):
    """From the trunk's last map to cls_score (R, K, 1, 1) and bbox_pred (R, 8, 1, 1) of the RoIs."""
    head = HEADS[net.name]
    text = convolution("conv_new_1", features, "conv_new_1", head.channels, 1, head.std, head.lr, True)
    text += layer("conv_new_1_relu", "ReLU", ["conv_new_1"], ["conv_new_1"])
    for maps, channels in (("rfcn_cls", net.classes), ("rfcn_bbox", 4 * BOX_CLASSES)):
        text += convolution(maps, "conv_new_1", maps, channels * head.group ** 2, 1, 0.01, 1, True)
    for maps, what, channels, name, top in (("rfcn_cls", "cls", net.classes, "ave_cls_score_rois", "cls_score"),
                                            ("rfcn_bbox", "loc", 4 * BOX_CLASSES, "ave_bbox_pred_rois", box_top)):
        pooled = "psroipooled_%s_rois" % what
        text += layer(pooled, "PSROIPooling", [maps, "rois"], [pooled], message(
            "psroi_pooling_param", spatial_scale=1 / net.stride, output_dim=channels, group_size=head.group))
        text += layer(name, "Pooling", [pooled], [top], message(
            "pooling_param", pool="AVE", kernel_size=head.group, stride=head.group))
    return text


def sampled_losses():
    """Both losses over the sampled RoIs."""
    return (layer("loss", "SoftmaxWithLoss", ["cls_score", "labels"], ["loss_cls"], *propagate(True, False),
                  "loss_weight: 1")
            + layer("loss_bbox", "SmoothL1Loss", ["bbox_pred"] + BLOBS[2:], ["loss_bbox"],
                    *propagate(True, False, False, False), "loss_weight: 1"))


def mined_losses():
    """The loss of each RoI, the choice of the hardest, and both losses over these."""
    fixed = message("loss_param", normalization="PRE_FIXED", pre_fixed_normalizer=ROIS_PER_IMAGE)
    return (layer("per_roi_loss_cls", "SoftmaxWithLossOHEM", ["cls_score", "labels"],
                  ["temp_loss_cls", "temp_prob_cls", "per_roi_loss_cls"], *["loss_weight: 0"] * 3,
                  *propagate(False, False))
            + layer("per_roi_loss_bbox", "SmoothL1LossOHEM", ["bbox_pred", "bbox_targets", "bbox_inside_weights"],
                    ["temp_loss_bbox", "per_roi_loss_bbox"], *["loss_weight: 0"] * 2, *propagate(False, False, False))
            + layer("per_roi_loss", "Eltwise", ["per_roi_loss_cls", "per_roi_loss_bbox"], ["per_roi_loss"],
                    *propagate(False, False))
            + layer("annotator_detector", "BoxAnnotatorOHEM", ["rois", "per_roi_loss", "labels", "bbox_inside_weights"],
                    ["labels_ohem", "bbox_loss_weights_ohem"], *propagate(*[False] * 4),
                    message("box_annotator_ohem_param", roi_per_img=ROIS_PER_IMAGE, ignore_label=-1))
            + "".join(silence(name) for name in ("bbox_outside_weights", "temp_loss_cls", "temp_prob_cls",
                                                 "temp_loss_bbox"))
            + layer("loss", "SoftmaxWithLoss", ["cls_score", "labels_ohem"], ["loss_cls"], *propagate(True, False),
                    "loss_weight: 1", message("loss_param", ignore_label=-1))
            + layer("loss_bbox", "SmoothL1LossOHEM", ["bbox_pred", "bbox_targets", "bbox_loss_weights_ohem"],
                    ["loss_bbox"], *propagate(True, False, False), "loss_weight: 1", fixed))


def solver_text(net, method, stepsize):
    """py-R-FCN's values, but for what the net says itself."""
    values = {"train_net": "models/%s/%s/%s/train.prototxt" % (net.dataset, net.name, method), **SOLVER,
              "stepsize": stepsize, **net.solver, **HEADS[net.name].solver, "snapshot": 0,
              "snapshot_prefix": "%s_rfcn" % net.name.lower().replace("-", "")}
    return settings_text(values)
