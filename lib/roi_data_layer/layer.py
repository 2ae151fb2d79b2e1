"""The Python layers at the two ends of the data's way: minibatches into the net, hard RoIs out of a pass over all."""
import caffe
import numpy as np
import numpy.random as npr
import yaml
from fast_rcnn.config import cfg
from utils.errors import UserError

from roi_data_layer.minibatch import get_allrois_minibatch_and_gt, get_minibatch, hard_roi_inds
from roi_data_layer.mining_stats import stats
from roi_data_layer.ohem import roi_losses

ROI_BLOBS = ("rois", "labels")
BBOX_BLOBS = ("bbox_targets", "bbox_inside_weights", "bbox_outside_weights")


class RoIDataLayer(caffe.Layer):
    """Gives a minibatch of images and RoIs for each forward pass.

    layer { name: "data" type: "Python" top: "data" top: "rois" top: "labels"
            top: "bbox_targets" top: "bbox_inside_weights" top: "bbox_outside_weights"
            python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 21" } }

    The last three tops stand only with cfg.TRAIN.BBOX_REG.  Blobs as in roi_data_layer.minibatch: sampled RoIs, or,
    with cfg.TRAIN.USE_OHEM, all of them.  The images come from `set_roidb`, each once an epoch (the original drops the
    last), in an order drawn from numpy's global generator; the last minibatch of an epoch has the images that are left,
    perhaps fewer than IMS_PER_BATCH.
    """

    def setup(self, bottom, top):
        self._num_classes = _num_classes(self)
        self._tops = ("data",) + ROI_BLOBS + (BBOX_BLOBS if cfg.TRAIN.BBOX_REG else ())
        _check_count(self, "top", top, self._tops)
        box_columns = 4 * self._num_classes
        shapes = {"data": (cfg.TRAIN.IMS_PER_BATCH, 3, max(cfg.TRAIN.SCALES), cfg.TRAIN.MAX_SIZE), "rois": (1, 5),
                  "labels": (1,)}
        for i, name in enumerate(self._tops):
            top[i].reshape(*shapes.get(name, (1, box_columns)))

    def set_roidb(self, roidb):
        """Take the images to train on: a prepared roidb (roi_data_layer.roidb)."""
        self._roidb = roidb
        self._shuffle_roidb_inds()

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        blobs = self._get_next_minibatch()
        for i, name in enumerate(self._tops):
            _put(top[i], blobs[name])

    def backward(self, top, propagate_down, bottom):
        pass

    def sampler_state(self):
        """Where the data layer stands in its epoch: arrays for exact resume."""
        return {"perm": self._perm, "cur": np.array(self._cur)}

    def set_sampler_state(self, state):
        """Continue from a sampler_state() of the same roidb."""
        if len(state["perm"]) != len(self._roidb):
            raise UserError("the resume state is of a training set of %d images, this one has %d; resume with the same "
                            "--imdb and settings" % (len(state["perm"]), len(self._roidb)))
        self._perm, self._cur = np.array(state["perm"]), int(state["cur"])

    def _shuffle_roidb_inds(self):
        """Draw the order of a new epoch."""
        if cfg.TRAIN.ASPECT_GROUPING:
            self._perm = _grouped_permutation(self._roidb, max(2, cfg.TRAIN.IMS_PER_BATCH))
        else:
            self._perm = npr.permutation(np.arange(len(self._roidb)))
        self._cur = 0

    def _get_next_minibatch_inds(self):
        if self._cur >= len(self._roidb):
            self._shuffle_roidb_inds()
        inds = self._perm[self._cur:self._cur + cfg.TRAIN.IMS_PER_BATCH]
        self._cur += cfg.TRAIN.IMS_PER_BATCH
        return inds

    def _get_next_minibatch(self):
        entries = [self._roidb[i] for i in self._get_next_minibatch_inds()]
        if not cfg.TRAIN.USE_OHEM:
            return get_minibatch(entries, self._num_classes)
        blobs, stats.gt_rois = get_allrois_minibatch_and_gt(entries, self._num_classes)
        return blobs


class OHEMDataLayer(caffe.Layer):
    """Chooses the hard RoIs of a minibatch by the losses of a pass over all of them.

    layer { name: "hard_roi_mining" type: "Python"
            bottom: "cls_prob_readonly" bottom: "bbox_pred_readonly" bottom: "rois" bottom: "labels"
            bottom: "bbox_targets" bottom: "bbox_inside_weights" bottom: "bbox_outside_weights"
            top: "rois_hard" top: "labels_hard" top: "bbox_targets_hard"
            top: "bbox_inside_weights_hard" top: "bbox_outside_weights_hard"
            propagate_down: false  # seven times
            python_param { module: "roi_data_layer.layer" layer: "OHEMDataLayer" param_str: "'num_classes': 21" } }

    Without cfg.TRAIN.BBOX_REG only the first 4 bottoms and 2 tops.  cls_prob (R, C), bbox_pred (R, 4*C); the tops are
    rows of the bottoms, by falling loss, BATCH_SIZE of them or fewer.  Selection as in roi_data_layer.ohem under
    cfg.TRAIN.OHEM_*.  What was mined is added to roi_data_layer.mining_stats.
    """

    def setup(self, bottom, top):
        box_columns = 4 * _num_classes(self)
        self._arrays = ROI_BLOBS + (BBOX_BLOBS if cfg.TRAIN.BBOX_REG else ())
        _check_count(self, "bottom", bottom, ("cls_prob", "bbox_pred") + self._arrays)
        _check_count(self, "top", top, [name + "_hard" for name in self._arrays])
        shapes = {"rois": (1, 5), "labels": (1,)}
        for i, name in enumerate(self._arrays):
            top[i].reshape(*shapes.get(name, (1, box_columns)))

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        cls_prob, bbox_pred = bottom[0].data, bottom[1].data
        arrays = [bottom[i + 2].data for i in range(len(self._arrays))]
        rois, labels = arrays[:2]
        loss = roi_losses(cls_prob, labels, *((bbox_pred, *arrays[2:]) if cfg.TRAIN.BBOX_REG else ()))
        hard_inds = hard_roi_inds(loss, rois, labels)
        stats.add(loss, hard_inds, rois, labels)
        for i, array in enumerate(arrays):
            _put(top[i], array[hard_inds])

    def backward(self, top, propagate_down, bottom):
        pass


def _grouped_permutation(roidb, group):
    """A permutation whose successive groups are all wide (or square) or all tall, where the counts allow it.

    Drawn as in the original: wide, tall, then the order of the groups.  Images that fill no group come last (the
    original fails on an odd count).
    """
    widths = np.array([entry["width"] for entry in roidb])
    heights = np.array([entry["height"] for entry in roidb])
    wide = widths >= heights
    inds = np.hstack([npr.permutation(np.flatnonzero(wide)), npr.permutation(np.flatnonzero(~wide))])
    whole = len(inds) - len(inds) % group
    rows = inds[:whole].reshape(-1, group)
    return np.append(rows[npr.permutation(len(rows))].ravel(), inds[whole:])


def _num_classes(layer):
    """num_classes in the layer's param_str ("'num_classes': 21", YAML or JSON; param_str_ in older pycaffe)."""
    text = getattr(layer, "param_str", None) or getattr(layer, "param_str_", "")
    try:
        return int(yaml.safe_load(text)["num_classes"])
    except (yaml.YAMLError, TypeError, KeyError, ValueError):
        raise UserError("%s: param_str must be like 'num_classes': 21, got %r" % (type(layer).__name__, text)) from None


def _check_count(layer, side, blobs, names):
    if len(blobs) != len(names):
        raise UserError("%s has %d %ss, expected %d with TRAIN.BBOX_REG %s: %s; change the prototxt or TRAIN.BBOX_REG"
                        % (type(layer).__name__, len(blobs), side, len(names), cfg.TRAIN.BBOX_REG, ", ".join(names)))


def _put(blob, array):
    blob.reshape(*array.shape)
    blob.data[...] = array
