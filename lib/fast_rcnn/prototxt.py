"""Nets and solvers as text: reading, fitting a net to a number of classes, and finding layers by what they do.

The class count stands in several places of a train and a test prototxt; `set_num_classes` is the one that changes them.
"""
import hashlib
import os
import re

from caffe.proto import caffe_pb2
from google.protobuf import text_format
from utils.errors import UserError
from utils.whole_file import remove_parts, whole_file

NUM_CLASSES = re.compile(r"""(num_classes['"]?\s*:\s*)\d+""")
OUTPUTS_PER_CLASS = {"cls_score": 1, "bbox_pred": 4}  # by the beginning of the layer's name
OUR_CLASSES = ("RoIDataLayer", "OHEMDataLayer", "AnchorTargetLayer", "ProposalLayer", "ProposalTargetLayer")
BOX_LOSSES = ("SmoothL1Loss", "SmoothL1LossOHEM")


def read_net(path):
    """NetParameter of a prototxt; a UserError with file, line and what is wrong there."""
    return _read(path, caffe_pb2.NetParameter())


def read_solver(path):
    """SolverParameter of a prototxt; a UserError with file, line and what is wrong there."""
    return _read(path, caffe_pb2.SolverParameter())


def write_prototxt(message, path):
    """Write a net or solver as text, whole or not at all."""
    with whole_file(path, "w") as f:
        f.write(text_format.MessageToString(message))


def set_num_classes(net_param, num_classes):
    """Fit a NetParameter, in place, to num_classes classes with the background; returns whether anything changed.

    Changed are num_classes in the param_str of Python layers, and num_output of the InnerProduct and Convolution layers
    whose name begins with cls_score (num_classes) or bbox_pred (4 * num_classes).  In R-FCN's nets it is the score maps
    rfcn_cls, a map for each class and part, their pooling, and cls_prob_reshape; the classes share their boxes there.
    """
    before = net_param.SerializeToString()
    for layer in net_param.layer:
        if layer.type == "Python":
            param = layer.python_param
            param.param_str = NUM_CLASSES.sub(r"\g<1>%d" % num_classes, param.param_str)
        for prefix, factor in OUTPUTS_PER_CLASS.items():
            if layer.name.startswith(prefix) and layer.type in ("InnerProduct", "Convolution"):
                _weights_param(layer).num_output = factor * num_classes
        if layer.type == "PSROIPooling" and layer.bottom[0] == "rfcn_cls":
            parts = layer.psroi_pooling_param.group_size ** 2
            next(maps for maps in net_param.layer if maps.name == "rfcn_cls").convolution_param.num_output = (
                num_classes * parts)
            layer.psroi_pooling_param.output_dim = num_classes
        if layer.name == "cls_prob_reshape" and list(layer.reshape_param.shape.dim)[1:] != [-1]:
            layer.reshape_param.shape.dim[1] = num_classes
    return net_param.SerializeToString() != before


def adapt_net(path, num_classes, folder):
    """Path of a prototxt like the one at `path`, for num_classes classes.

    `path` itself where it fits; otherwise a file in `folder` (made) named by what it holds.
    """
    net_param = read_net(path)
    if not set_num_classes(net_param, num_classes):
        return str(path)
    os.makedirs(folder, exist_ok=True)
    remove_parts(folder)
    digest = hashlib.sha256(net_param.SerializeToString(deterministic=True)).hexdigest()[:8]
    stem = os.path.splitext(os.path.basename(path))[0]
    adapted = os.path.join(folder, "%s_%d_classes_%s.prototxt" % (stem, num_classes, digest))
    write_prototxt(net_param, adapted)
    return adapted


def find_bbox_pred(net_param, num_output):
    """Name of the layer that predicts the boxes; None in a net that does not learn any.

    It is the InnerProduct or Convolution of num_output outputs whose top is the first bottom of a SmoothL1Loss that
    learns no anchors, or the Convolution whose maps a PSROIPooling makes into that bottom, of num_output outputs for
    each part of a RoI; failing that, the one called bbox_pred.  UserError when there is a SmoothL1Loss and neither.
    """
    parts = _parts_of_maps(net_param)
    of_anchors = {top for layer in net_param.layer if layer.python_param.layer == "AnchorTargetLayer"
                  for top in layer.top}
    predictions = {layer.bottom[0] for layer in net_param.layer
                   if layer.type in BOX_LOSSES and not of_anchors.intersection(layer.bottom)}
    candidates = [layer for layer in net_param.layer if layer.type in ("InnerProduct", "Convolution")]
    by_role = [layer for layer in candidates
               if (predictions.intersection(layer.top) and _weights_param(layer).num_output == num_output)
               or any(top in parts and parts[top][1] in predictions
                      and _weights_param(layer).num_output == num_output * parts[top][0] for top in layer.top)]
    found = by_role or [layer for layer in candidates if layer.name == "bbox_pred"]
    if not found and predictions:
        raise UserError("net %s has a SmoothL1Loss, but no layer of %d outputs that feeds it, and none called "
                        "bbox_pred: snapshots could not be un-normalised; set TRAIN.BBOX_NORMALIZE_TARGETS False, or "
                        "name the layer bbox_pred" % (net_param.name, num_output))
    if found and not _weights_param(found[0]).bias_term:
        raise UserError("layer %s has no bias, which must take up the means of the box targets; remove its bias_term: "
                        "false, or set TRAIN.BBOX_NORMALIZE_TARGETS False" % found[0].name)
    return found[0].name if found else None


def _parts_of_maps(net_param):
    """{blob of score maps: (parts of a RoI, blob of the mean over the parts)} of R-FCN's pooling."""
    pooled = {layer.bottom[0]: layer.top[0] for layer in net_param.layer if layer.type == "Pooling"}
    return {layer.bottom[0]: (layer.psroi_pooling_param.group_size ** 2, pooled.get(layer.top[0]))
            for layer in net_param.layer if layer.type == "PSROIPooling"}


def loss_blobs(net_param):
    """{blob: (layer type, loss weight)} of the losses that training minimises.

    Loss layers count with 1 unless the prototxt says otherwise, but for SmoothL1Loss, which as in the original Caffe
    counts for nothing then; leaving it out is taken for a mistake, and a UserError.
    """
    found = {}
    for layer in net_param.layer:
        if layer.type == "SmoothL1Loss" and not layer.loss_weight:
            raise UserError("layer %s of net %s (SmoothL1Loss) has no loss_weight and would not be trained; write "
                            "loss_weight: 1" % (layer.name, net_param.name))
        default = [1.0] if layer.type.endswith("Loss") else []
        found.update((name, (layer.type, weight))
                     for name, weight in zip(layer.top, list(layer.loss_weight) or default) if weight)
    return found


def annotator(net_param):
    """The BoxAnnotatorOHEM layer (LayerParameter) that chooses R-FCN's hard RoIs, None in other nets."""
    return next((layer for layer in net_param.layer if layer.type == "BoxAnnotatorOHEM"), None)


def roi_scores(net_param):
    """Name of the blob (R, C) with R-FCN's class scores, of which SoftmaxWithLossOHEM makes losses; None elsewhere."""
    return next((layer.bottom[0] for layer in net_param.layer if layer.type == "SoftmaxWithLossOHEM"), None)


def python_classes(net_param):
    """Names of the classes of the net's Python layers."""
    return [layer.python_param.layer for layer in net_param.layer if layer.type == "Python"]


def own_choosers(net_param):
    """Names of the classes of a fork's own Python layers, other than ours, that make blobs of other blobs."""
    return list(dict.fromkeys(layer.python_param.layer for layer in net_param.layer if layer.type == "Python"
                              and layer.bottom and layer.top and layer.python_param.layer not in OUR_CLASSES))


def _weights_param(layer):
    return layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param


def _read(path, message):
    try:
        with open(path, encoding="utf-8") as f:
            return text_format.Parse(f.read(), message)
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not text"
        raise UserError("prototxt %s cannot be read: %s" % (path, reason)) from e
    except text_format.ParseError as e:
        line, _, rest = str(e).partition(":")  # "12:3 : message"
        where, what = (":" + line, rest.partition(" : ")[2]) if line.isdecimal() else ("", str(e))
        raise UserError("%s%s: %s" % (path, where, " ".join(what.split()))) from e
