"""Prototxts of a Fast R-CNN of a few hundred parameters, plain and with mining, for tests of training."""

DATA = """
layer { name: "input-data" type: "Python" top: "data" top: "rois" top: "labels" top: "bbox_targets"
        top: "bbox_inside_weights" top: "bbox_outside_weights"
        python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 21" } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 5 stride: 4 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
"""
MINING = """
layer { name: "hard_roi_mining" type: "Python" bottom: "cls_prob_readonly" bottom: "bbox_pred_readonly" bottom: "rois"
        bottom: "labels" bottom: "bbox_targets" bottom: "bbox_inside_weights" bottom: "bbox_outside_weights"
        top: "rois_hard" top: "labels_hard" top: "bbox_targets_hard" top: "bbox_inside_weights_hard"
        top: "bbox_outside_weights_hard" %s
        python_param { module: "roi_data_layer.layer" layer: "OHEMDataLayer" param_str: "'num_classes': 21" } }
""" % ("propagate_down: false " * 7)


def head(rois, suffix, frozen=False):
    """RoI pooling, two scores, with dropout; parameters shared by name between the copies of the head."""
    down = "propagate_down: false"
    text = """
layer { name: "pool%(s)s" type: "ROIPooling" bottom: "conv1" bottom: "%(rois)s" top: "pool%(s)s" %(down2)s
        roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 0.25 } }
layer { name: "drop%(s)s" type: "Dropout" bottom: "pool%(s)s" top: "pool%(s)s" %(down)s dropout_param { dropout_ratio: 0.2 } }
"""
    for name, count in (("cls_score", 21), ("bbox_pred", 84)):
        text += """
layer { name: "%s%%(s)s" type: "InnerProduct" bottom: "pool%%(s)s" top: "%s%%(s)s" %%(down)s
        param { name: "%s_w" } param { name: "%s_b" }
        inner_product_param { num_output: %d weight_filler { type: "gaussian" std: 0.01 } } }
""" % (name, name, name, name, count)
    return text % {"s": suffix, "rois": rois, "down": down if frozen else "", "down2": " ".join([down] * 2) if frozen else ""}


def losses(suffix):
    return """
layer { name: "loss_cls" type: "SoftmaxWithLoss" bottom: "cls_score" bottom: "labels%(s)s" top: "loss_cls" loss_weight: 1
        propagate_down: true propagate_down: false }
layer { name: "loss_bbox" type: "SmoothL1Loss" bottom: "bbox_pred" bottom: "bbox_targets%(s)s"
        bottom: "bbox_inside_weights%(s)s" bottom: "bbox_outside_weights%(s)s" top: "loss_bbox" loss_weight: 1
        propagate_down: true propagate_down: false propagate_down: false propagate_down: false }
""" % {"s": suffix}


PLAIN_NET = 'name: "small"' + DATA + head("rois", "") + losses("")
OHEM_NET = ('name: "small_ohem"' + DATA + head("rois", "_readonly", frozen=True)
            + 'layer { name: "cls_prob_readonly" type: "Softmax" bottom: "cls_score_readonly" top: "cls_prob_readonly" }'
            + MINING + head("rois_hard", "") + losses("_hard"))
SOLVER = 'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 display: 2 snapshot_prefix: "small" '


def write_solver(folder, net=PLAIN_NET, solver=SOLVER):
    """Write train.prototxt and solver.prototxt into folder (a pathlib.Path); returns the solver's path."""
    (folder / "train.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text('train_net: "%s" %s' % (folder / "train.prototxt", solver))
    return str(folder / "solver.prototxt")
