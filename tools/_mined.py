"""What the mining layer of a trained net chooses on training images: one forward pass of its train net each."""
import os

import _init_paths  # noqa: F401  (puts caffe and lib on the path)
import caffe
import numpy as np
from datasets.factory import get_imdb
from fast_rcnn.config import cfg, cfg_from_list
from fast_rcnn.prototxt import find_bbox_pred, read_net, read_solver
from fast_rcnn.train import filter_roidb, get_training_roidb
from roi_data_layer.ohem import roi_losses
from roi_data_layer.roidb import add_bbox_regression_targets
from training.pretrained import load_detector

INPUTS = ("cls_prob_readonly", "labels", "bbox_pred_readonly", "bbox_targets", "bbox_inside_weights",
          "bbox_outside_weights")


def mine_images(record, count):
    """Hard and easy RoIs of `count` training images, as rows for _figures.mined_rois.

    record: run.json of the training, whose settings are taken over.
    """
    _use_settings(record["config"])
    imdb = get_imdb(record["imdb"])
    roidb = filter_roidb(get_training_roidb(imdb))
    net = _trained(record, imdb.classes, add_bbox_regression_targets(roidb))
    data_layer = next(layer for layer in net.layers if hasattr(layer, "set_roidb"))
    return [_mine(net, data_layer, entry) for entry in _worth_seeing(roidb, count)]


def _use_settings(config):
    keys = ("SCALES", "MAX_SIZE", "USE_FLIPPED", "BG_THRESH_LO", "IMS_PER_BATCH", "BATCH_SIZE", "USE_OHEM",
            "ASPECT_GROUPING", "OHEM_USE_NMS", "OHEM_NMS_THRESH", "OHEM_NMS_PER_CLASS", "OHEM_PER_IMAGE")
    cfg_from_list([item for key in keys for item in ("TRAIN." + key, config["TRAIN"][key])]
                  + ["PIXEL_MEANS", config["PIXEL_MEANS"]])


def _trained(record, classes, statistics):
    """The train net with the trained weights, its box predictor normalised again as mining needs it."""
    path = read_solver(os.path.join(os.path.dirname(record["model"]), "solver.prototxt")).train_net
    net = caffe.Net(path, caffe.TRAIN)
    load_detector(net, record["model"], classes, record["classes"], record["imdb"])
    means, stds = statistics
    weights, bias = net.params[find_bbox_pred(read_net(path), means.size)]
    stds = np.where(stds > 0, stds, 1)  # the background's, which nothing is learned for
    weights.data[...] /= stds[:, np.newaxis]
    bias.data[...] = (bias.data - means) / stds
    return net


def _worth_seeing(roidb, count):
    """`count` images with 2 or more objects, evenly over the set."""
    many = [entry for entry in roidb if (entry["gt_classes"] > 0).sum() >= 2]
    return [many[i] for i in np.linspace(0, len(many) - 1, count + 2).astype(int)[1:-1]]


def _mine(net, data_layer, entry):
    data_layer.set_roidb([entry])
    net.forward()
    blobs = {name: np.array(net.blobs[name].data) for name in INPUTS}
    loss = roi_losses(blobs["cls_prob_readonly"], blobs["labels"], *(blobs[name] for name in INPUTS[2:]))
    rois, hard = np.array(net.blobs["rois"].data), np.array(net.blobs["rois_hard"].data)
    # rows of the hard RoIs among all: the first that is the same and not taken
    same = (rois[np.newaxis] == hard[:, np.newaxis]).all(axis=2)  # (hard, all)
    inds = same.argmax(axis=1)
    easy = np.setdiff1d(np.arange(len(rois)), inds)
    image = net.blobs["data"].data[0].transpose(1, 2, 0) + cfg.PIXEL_MEANS  # (3, H, W) -> (H, W, 3) BGR
    return {"image": np.clip(image[:, :, ::-1], 0, 255).astype(np.uint8), "easy": rois[easy, 1:], "hard": hard[:, 1:],
            "hard_loss": loss[inds], "hard_fg": np.array(net.blobs["labels_hard"].data) > 0,
            "mean_easy": float(loss[easy].mean()) if len(easy) else 0.0, "mean_hard": float(loss[inds].mean())}
