"""What the mining layer found since the last display, for the log.

`stats` is the one record of a process: RoIDataLayer tells it which RoIs of the minibatch are ground truth,
OHEMDataLayer adds what it mined, SolverWrapper what R-FCN's layer did and takes the means.  A net whose RoIs come from
elsewhere has no count of ground truth.
"""
import numpy as np

NAMES = ("mean_loss_all", "mean_loss_hard", "hard_fg", "hard_gt")


class MiningStats:
    """Sums over passes; gt_rois: (G, 5) rows of the current rois blob that are ground truth, None when unknown."""

    def __init__(self):
        self.gt_rois = None
        self._passes = []

    def add(self, loss, hard_inds, rois, labels):
        """One pass: loss (R,) of all RoIs, hard_inds (B,) of the chosen ones, rois (R, 5), labels (R,)."""
        hard_gt = np.nan if self.gt_rois is None else count_in(rois[hard_inds], self.gt_rois)
        self._passes.append((_mean(loss), _mean(loss[hard_inds]), np.count_nonzero(labels[hard_inds] > 0), hard_gt))

    def add_annotated(self, blobs, layer):
        """One pass of a net with these blobs ({name: Blob}), whose LayerParameter `layer` is a BoxAnnotatorOHEM."""
        rois, loss, labels = (blobs[name].data for name in layer.bottom[:3])
        kept = blobs[layer.top[0]].data.ravel() != layer.box_annotator_ohem_param.ignore_label
        self.add(loss.ravel(), np.flatnonzero(kept), rois.reshape(-1, 5), labels.ravel())

    def take(self):
        """{name: mean over the passes since the last take()} for NAMES; {} when nothing was mined."""
        if not self._passes:
            return {}
        means = np.mean(self._passes, axis=0)
        self._passes = []
        return dict(zip(NAMES, means.tolist()))


def count_in(rows, known):
    """How many rows (B, K) equal a row of known (G, K), every number of it."""
    return int((rows[:, np.newaxis] == known[np.newaxis]).all(axis=2).any(axis=1).sum())


def _mean(values):
    return values.mean() if len(values) else np.nan


stats = MiningStats()
