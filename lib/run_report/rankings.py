"""The RoIs of training images, ranked by the loss that two nets have on them: which are hard to which?

The nets are test nets: no dropout, which the mining layer of a train net has.  Losses are training's, of the box
targets normalised as in training.
"""
import os
from dataclasses import dataclass

import caffe
import numpy as np
from datasets.by_name import load_imdb, split_names
from fast_rcnn.config import cfg, cfg_from_list, nets_dir
from fast_rcnn.prototxt import adapt_net
from fast_rcnn.train import filter_roidb, get_training_roidb
from roi_data_layer.minibatch import get_allrois_minibatch
from roi_data_layer.ohem import roi_losses, select_hard
from roi_data_layer.roidb import add_bbox_regression_targets
from training.pretrained import load_detector, load_pretrained
from utils.cython_bbox import bbox_overlaps
from utils.errors import UserError
from utils.progress import progress

from run_report.runs import flatten

PLAIN_FG_FRACTION, PLAIN_BG_LO = 0.25, 0.1      # of Fast R-CNN without mining, which never looks below IoU 0.1


@dataclass
class ImageRanking:
    """One image: picture (H, W, 3) uint8 BGR; rois (R, 4) in its pixels; labels (R,); overlaps (R,) IoU with the best
    object; losses, one (R,) for each of the two nets; hard, for each the indices of its hard RoIs, by falling loss."""
    picture: np.ndarray
    rois: np.ndarray
    labels: np.ndarray
    overlaps: np.ndarray
    losses: tuple
    hard: tuple

    @property
    def both(self):
        """Share of the hard RoIs that are hard to both nets."""
        return len(np.intersect1d(*self.hard)) / max(1, max(map(len, self.hard)))

    def ranks(self, k):
        """(R,) place of each RoI by the loss of net k: 0 the easiest, 1 the hardest."""
        places = np.empty(len(self.rois))
        places[np.argsort(self.losses[k], kind="stable")] = np.arange(len(self.rois))
        return places / max(1, len(places) - 1)


def rank_images(runs, count):
    """(ImageRankings of `count` training images, the classes of their labels).

    Ranked under one run's net at the start and at the end, or under the last nets of two runs, whose
    training set must be the same.  Settings are those of the last run.
    """
    last = runs[-1]
    if len({run.record["imdb"] for run in runs}) > 1:
        raise UserError("the runs were trained on different data sets, %s" %
                        " and ".join(run.record["imdb"] for run in runs))
    use_settings(last)
    imdbs = [_imdb(name) for name in split_names(last.record["imdb"])]
    classes = imdbs[0].classes
    roidb = filter_roidb([entry for imdb in imdbs for entry in get_training_roidb(imdb)])
    statistics = add_bbox_regression_targets(roidb) if cfg.TRAIN.BBOX_REG else None
    nets = [load_net(last, "start", classes)] if len(runs) == 1 else [load_net(runs[0], "end", classes)]
    nets.append(load_net(last, "end", classes))
    entries = spread([entry for entry in roidb if not entry["flipped"] and (entry["gt_classes"] > 0).any()], count)
    return [rank_image(nets, entry, statistics) for entry in progress(entries, "Ranking RoIs", unit="images")], classes


def use_settings(run):
    """Make cfg what the training's was, but for folders, and let every background RoI be a candidate.  Settings that
    are no longer known are left out."""
    known = flatten(cfg)
    pairs = {key: value for key, value in flatten(run.record["config"]).items() if key in known}
    cfg_from_list([item for pair in pairs.items() for item in pair] + ["TRAIN.BG_THRESH_LO", 0.0])


def load_net(run, when, classes):
    """The test net of a run with the weights it ended with, or started from; it scores `classes` in their order."""
    folder = os.path.dirname(run.record["solver"])
    path = run.tested["prototxt"] if run.tested else os.path.join(folder, "test.prototxt")
    path = next((p for p in (path, os.path.join(cfg.ROOT_DIR, path)) if os.path.isfile(p)), None)
    if path is None:
        raise UserError("the test net of %s is not there any more" % run.name)
    caffe.set_random_seed(run.record["seed"])
    net = caffe.Net(adapt_net(path, len(classes), nets_dir()), caffe.TEST)
    if "rois" not in net.inputs:
        raise UserError("the net of %s takes no RoIs, it proposes its own" % run.name)
    weights = str(run.model) if when == "end" else run.record["weights"]
    if weights and not os.path.isfile(weights):
        raise UserError("%s, whose RoIs would be ranked, is not there any more" % weights)
    if weights and when == "end":
        load_detector(net, weights, classes, run.record["classes"], run.record["imdb"])
    elif weights:
        load_pretrained(net, weights, classes)
    return net


def rank_image(nets, entry, statistics):
    """The ImageRanking of a prepared roidb entry."""
    num_classes = entry["gt_overlaps"].shape[1]
    blobs = get_allrois_minibatch([entry], num_classes)
    losses = tuple(_losses(net, blobs, statistics) for net in nets)
    count = max(1, cfg.TRAIN.BATCH_SIZE // cfg.TRAIN.IMS_PER_BATCH)
    hard = tuple(select_hard(loss, blobs["rois"], blobs["labels"], count, cfg.TRAIN.OHEM_NMS_THRESH) for loss in losses)
    picture = blobs["data"][0].transpose(1, 2, 0) + cfg.PIXEL_MEANS     # (3, H, W) -> (H, W, 3)
    return ImageRanking(np.clip(np.round(picture), 0, 255).astype(np.uint8), blobs["rois"][:, 1:],
                        blobs["labels"].astype(int), _overlaps(entry), losses, hard)


def sampled_share(ranking):
    """(R,) chance of each RoI to be drawn where RoIs are sampled without mining: a quarter foreground, the rest
    background with an IoU of at least 0.1."""
    count = max(1, cfg.TRAIN.BATCH_SIZE // cfg.TRAIN.IMS_PER_BATCH)
    fg = ranking.labels > 0
    bg = ~fg & (ranking.overlaps >= PLAIN_BG_LO)
    num_fg = min(round(PLAIN_FG_FRACTION * count), int(fg.sum()))
    num_bg = min(count - num_fg, int(bg.sum()))
    return fg * (num_fg / max(1, fg.sum())) + bg * (num_bg / max(1, bg.sum()))


def movers(rankings, count):
    """(easier, harder): [(ranking, RoI)] whose rank falls or rises most from the first net to the second; of an image
    not two that overlap."""
    changes = [(ranking.ranks(1) - ranking.ranks(0), ranking) for ranking in rankings]
    candidates = [(change[k], ranking, k) for change, ranking in changes for k in range(len(change))]
    candidates.sort(key=lambda item: item[0])
    return _apart(candidates, count), _apart(candidates[::-1], count)


def spread(items, count):
    """`count` of the items, evenly over them; all where there are no more."""
    if len(items) <= count:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def _imdb(name):
    imdb = load_imdb(name)
    imdb.set_proposal_method(cfg.TRAIN.PROPOSAL_METHOD)
    return imdb


def _losses(net, blobs, statistics):
    """(R,) training loss of each RoI in the blobs of a minibatch."""
    for name in ("data", "rois"):
        net.blobs[name].reshape(*blobs[name].shape)
    out = net.forward(data=blobs["data"], rois=blobs["rois"])
    if statistics is None:
        return roi_losses(out["cls_prob"], blobs["labels"])
    pred = np.array(out["bbox_pred"])
    if cfg.TRAIN.BBOX_NORMALIZE_TARGETS:
        means, stds = statistics
        pred = (pred - means) / np.where(stds > 0, stds, 1)
    return roi_losses(out["cls_prob"], blobs["labels"], pred.astype(np.float32), blobs["bbox_targets"],
                      blobs["bbox_inside_weights"], blobs["bbox_outside_weights"])


def _overlaps(entry):
    """(R,) IoU with the best object, in the order of get_allrois_minibatch: first the foreground."""
    overlaps = entry["max_overlaps"]
    return np.append(overlaps[overlaps >= cfg.TRAIN.FG_THRESH],
                     overlaps[(overlaps < cfg.TRAIN.BG_THRESH_HI) & (overlaps >= 0)])


def _apart(candidates, count):
    chosen = []
    for _, ranking, k in candidates:
        others = [r.rois[j] for r, j in chosen if r is ranking]
        if not others or bbox_overlaps(np.float64([ranking.rois[k]]), np.float64(others)).max() < 0.2:
            chosen.append((ranking, k))
        if len(chosen) == count:
            break
    return chosen
