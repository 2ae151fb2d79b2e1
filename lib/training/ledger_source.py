"""Fills the loss ledger of a training from the layers of its net."""
import numpy as np
from datasets.ground_truth import object_rows
from roi_data_layer.ohem import Pass

from training.loss_ledger import LossLedger


class LedgerSource:
    """A LossLedger of a training set, to which the passes of a net are added.

    A data layer appends the (entries, scales) of each minibatch to its list `minibatches`, a mining layer the
    roi_data_layer.ohem.Pass of each pass to its list `passes`, once they have such a list.
    annotator: the net's BoxAnnotatorOHEM (LayerParameter), of R-FCN, whose last pass of an iteration is read from the
    blobs; scores: the name of the blob with the RoIs' class scores (R, C) then.
    """

    def __init__(self, net, roidb, annotator=None, scores=None):
        self._net, self._annotator, self._scores = net, annotator, scores
        self._minibatches, self._passes = _list_of(net, "minibatches"), _list_of(net, "passes")
        first = {}
        for entry in roidb:
            first.setdefault(entry["image"], entry)
        self._number = {path: k for k, path in enumerate(first)}
        self.ledger = LossLedger(first, [_objects(entry) for entry in first.values()], roidb[0]["gt_overlaps"].shape[1])

    @staticmethod
    def fits(net, annotator=None):
        """Whether a net has one data layer and one mining layer that tell what the ledger needs."""
        count = {name: sum(hasattr(layer, name) for layer in net.layers) for name in ("minibatches", "passes")}
        return count["minibatches"] == 1 and count["passes"] == (annotator is None)

    def add_iteration(self):
        """Add the passes since the last call."""
        minibatches, passes = self._minibatches[:], self._passes[:]
        self._minibatches.clear()
        self._passes.clear()
        if self._annotator:
            minibatches, passes = minibatches[-1:], [_annotated(self._net.blobs, self._annotator, self._scores)]
        for (entries, scales), seen in zip(minibatches, passes):
            for i, (entry, scale) in enumerate(zip(entries, scales)):
                self._add(entry, scale, seen, np.flatnonzero(seen.rois[:, 0] == i))

    def _add(self, entry, scale, seen, rows):
        hard = np.zeros(len(seen.rois), bool)
        hard[seen.hard_inds] = True
        boxes = _unflipped(seen.rois[rows, 1:] / scale, entry)
        self.ledger.add(self._number[entry["image"]], boxes, seen.labels[rows], seen.loss[rows], seen.prob[rows],
                        hard[rows])

    def take(self, nccl):
        """In rank 0 the arrays of the ledger with what all processes have seen, None in the others."""
        if nccl.count == 1:
            return self.ledger.arrays()
        gathered = nccl.gather(self.ledger.arrays() if nccl.rank else None)
        if nccl.rank:
            self.ledger.clear()         # rank 0 has it now
            return None
        for arrays in gathered[1:]:
            self.ledger.merge(arrays)
        return self.ledger.arrays()


def _annotated(blobs, layer, scores):
    """The Pass of a net with these blobs ({name: Blob}), whose LayerParameter `layer` is a BoxAnnotatorOHEM."""
    rois, loss, labels = (blobs[name].data for name in layer.bottom[:3])
    kept = blobs[layer.top[0]].data.ravel() != layer.box_annotator_ohem_param.ignore_label
    score = blobs[scores].data.reshape(len(rois), -1)
    prob = np.exp(score - score.max(axis=1, keepdims=True))
    return Pass(loss.ravel(), rois.reshape(-1, 5), labels.ravel(), prob / prob.sum(axis=1, keepdims=True),
                np.flatnonzero(kept))


def _objects(entry):
    """Boxes (G, 4) and classes (G,) of the objects of a roidb entry."""
    rows = object_rows(entry)
    return _unflipped(entry["boxes"][rows].astype(np.float64), entry), entry["gt_classes"][rows]


def _unflipped(boxes, entry):
    """Boxes (N, 4) of a roidb entry in pixels of the image as read."""
    if not entry["flipped"]:
        return boxes
    last = entry["width"] - 1
    return np.column_stack([last - boxes[:, 2], boxes[:, 1], last - boxes[:, 0], boxes[:, 3]])


def _list_of(net, name):
    """An empty list for the layers that append to one of this name."""
    appended = []
    for layer in net.layers:
        if hasattr(layer, name):
            setattr(layer, name, appended)
    return appended
