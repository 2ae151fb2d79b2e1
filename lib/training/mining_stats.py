"""Statistics of hard example mining since the last display, for the log."""
from itertools import chain

import numpy as np
from roi_data_layer.ohem import Mined

NAMES = ("mean_loss_all", "mean_loss_hard", "hard_fg", "hard_gt")


class MiningStats:
    """Means over the passes of a train net.

    It asks the net's layers for what they know: a mining layer appends the Mined of each pass to its list `mined`, a
    data layer the ground truth among the RoIs of each minibatch to its list `gt_rois`, once they have such a list.
    A net whose RoIs come from elsewhere has no count of ground truth.
    annotator: the net's BoxAnnotatorOHEM (LayerParameter), of R-FCN, whose last pass of an iteration is read from the
    blobs; None in other nets.
    """

    def __init__(self, net, annotator=None):
        self._net, self._annotator, self._passes = net, annotator, []
        self._mined = _lists_of(net, "mined")
        self._gt_rois = _lists_of(net, "gt_rois") if self._mined or annotator else []

    @property
    def is_told(self):
        """Whether a layer of the net tells what it mines."""
        return bool(self._mined) or self._annotator is not None

    def add_iteration(self):
        """Add the passes since the last call."""
        mined, gt_rois = _take(self._mined), _take(self._gt_rois)
        if self._annotator:
            mined, gt_rois = [annotated(self._net.blobs, self._annotator)], gt_rois[-1:]
        self._passes += map(figures, mined, gt_rois or [None] * len(mined))

    def take(self):
        """{name: mean over the passes since the last take()} for NAMES; {} when nothing was mined."""
        if not self._passes:
            return {}
        means = np.mean(self._passes, axis=0)
        self._passes = []
        return dict(zip(NAMES, means.tolist()))


def figures(mined, gt_rois):
    """The statistics NAMES of one pass; gt_rois: (G, 5) ground-truth rows of the rois blob, None if unknown."""
    hard_gt = np.nan if gt_rois is None else count_in(mined.rois, gt_rois)
    return _mean(mined.loss), _mean(mined.loss[mined.hard_inds]), np.count_nonzero(mined.labels > 0), hard_gt


def annotated(blobs, layer):
    """The Mined of a net with these blobs ({name: Blob}), whose LayerParameter `layer` is a BoxAnnotatorOHEM."""
    rois, loss, labels = (blobs[name].data for name in layer.bottom[:3])
    kept = blobs[layer.top[0]].data.ravel() != layer.box_annotator_ohem_param.ignore_label
    hard_inds = np.flatnonzero(kept)
    return Mined(loss.ravel(), hard_inds, rois.reshape(-1, 5)[hard_inds], labels.ravel()[hard_inds])


def count_in(rows, known):
    """The number of rows (B, K) that equal a row of known (G, K)."""
    return int((rows[:, np.newaxis] == known[np.newaxis]).all(axis=2).any(axis=1).sum())


def _lists_of(net, name):
    """Empty lists for the layers that append to one of this name."""
    layers = [layer for layer in net.layers if hasattr(layer, name)]
    for layer in layers:
        setattr(layer, name, [])
    return [getattr(layer, name) for layer in layers]


def _take(lists):
    taken = list(chain.from_iterable(lists))
    for appended in lists:
        appended.clear()
    return taken


def _mean(values):
    return values.mean() if len(values) else np.nan
