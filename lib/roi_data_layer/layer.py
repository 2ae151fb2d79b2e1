"""The Python layers at the two ends of the data's way: minibatches into the net, hard RoIs out of a pass over all."""
import caffe
import numpy as np
from fast_rcnn.config import cfg, check_cfg
from utils import caffe_extensions
from utils.errors import UserError
from utils.python_layer import put, read_params

from roi_data_layer import settings
from roi_data_layer.blobs import Drawn, draw_all, draw_rpn, draw_sampled, gt_rois, make_blobs
from roi_data_layer.ohem import Mined, Pass, hard_roi_inds, roi_losses
from roi_data_layer.own_minibatch import own_function
from roi_data_layer.prefetch import Prefetch
from roi_data_layer.sampler import ImageSampler

EXAMPLE = "'num_classes': 21"     # of a param_str
ROI_BLOBS = ("rois", "labels")
BBOX_BLOBS = ("bbox_targets", "bbox_inside_weights", "bbox_outside_weights")
RPN_BLOBS = ("im_info", "gt_boxes")


class RoIDataLayer(caffe.Layer):
    """Gives a minibatch of images and RoIs for each forward pass.

    layer { name: "data" type: "Python" top: "data" top: "rois" top: "labels"
            top: "bbox_targets" top: "bbox_inside_weights" top: "bbox_outside_weights"
            python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 21" } }

    The last three tops stand only with cfg.TRAIN.BBOX_REG; with cfg.TRAIN.HAS_RPN the tops are data, im_info and
    gt_boxes.  Blobs as in roi_data_layer.blobs: sampled RoIs, or, with cfg.TRAIN.USE_OHEM, all of them.  The images
    come from `set_roidb` in the order of roi_data_layer.sampler.  With cfg.TRAIN.USE_PREFETCH minibatches are made in
    threads while the net runs; they are the same either way.  `images`: the paths of the images of the last minibatch.
    `gt_rois`: set to a list, it gets the (G, 5) rows of rois that are ground truth, for each minibatch with RoIs.
    `minibatches`: set to a list, it gets the (roidb entries, scale of each image) of each minibatch.
    A subclass may have a sampler of its own by make_sampler, or choose the images in _get_next_minibatch_inds.
    Where a fork has its own roi_data_layer/minibatch.py, that makes the minibatches, in the training's thread.
    """

    images = ()
    gt_rois = None
    minibatches = None

    def setup(self, bottom, top):
        check_cfg("TRAIN")
        self._num_classes = read_params(self, EXAMPLE)["num_classes"]
        self._tops = ("data",) + (RPN_BLOBS if cfg.TRAIN.HAS_RPN else _roi_arrays())
        _check_count(self, "top", top, self._tops)
        shapes = {"data": (cfg.TRAIN.IMS_PER_BATCH, 3, max(cfg.TRAIN.SCALES), cfg.TRAIN.MAX_SIZE), "im_info": (1, 3),
                  "gt_boxes": (1, 5), **_roi_shapes(self._num_classes)}
        for i, name in enumerate(self._tops):
            top[i].reshape(*shapes[name])

    def set_roidb(self, roidb):
        """Take the images to train on: a prepared roidb (roi_data_layer.roidb)."""
        self._roidb = roidb
        self._sampler = self.make_sampler(roidb)
        self._start()

    def make_sampler(self, roidb):
        """What chooses the images of each minibatch: with next_inds, rng, state and set_state of ImageSampler."""
        return ImageSampler(roidb, cfg.TRAIN.IMS_PER_BATCH, cfg.TRAIN.ASPECT_GROUPING)

    @property
    def waited(self):
        """Seconds that forward passes have waited for a minibatch so far."""
        return self._minibatches.waited

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        (drawn, self._state), (blobs, im_scales) = self._minibatches.next()
        self.images = [entry["image"] for entry in drawn.entries]
        if self.gt_rois is not None and drawn.samples is not None:
            self.gt_rois.append(gt_rois(drawn, im_scales))
        if self.minibatches is not None and im_scales is not None:
            self.minibatches.append((drawn.entries, im_scales))
        for i, name in enumerate(self._tops):
            put(top[i], np.asarray(blobs[name]))

    def backward(self, top, propagate_down, bottom):
        pass

    def sampler_state(self):
        """Where the minibatches given so far have come to: arrays for exact resume."""
        return self._state

    def set_sampler_state(self, state):
        """Continue from a sampler_state() of the same roidb."""
        self._sampler.set_state(state)
        self._start()

    def _start(self):
        """Draw and make from where the sampler stands."""
        self._scaling, self._inside_weights = settings.scaling(), settings.inside_weights()
        self._state = self._sampler.state()
        self._own_make = own_function("get_allrois_minibatch" if cfg.TRAIN.USE_OHEM and not cfg.TRAIN.HAS_RPN
                                      else "get_minibatch")
        self._minibatches = Prefetch(self._draw, self._make, cfg.TRAIN.USE_PREFETCH and self._own_make is None)

    def _draw(self):
        """What the next minibatch is made of, and the state of the sampler behind it.

        Each of several processes draws the minibatches of all and makes its own: in a pass they see what one process
        sees in as many passes, and all have the same state.
        """
        draw = draw_rpn if cfg.TRAIN.HAS_RPN else draw_all if cfg.TRAIN.USE_OHEM else draw_sampled
        draw = draw if self._own_make is None else _draw_images
        sampling = settings.sampling()
        drawn = [draw([self._roidb[i] for i in self._get_next_minibatch_inds()], self._scaling.sizes, sampling,
                      self._sampler.rng) for _ in range(caffe_extensions.solver_count())]
        return drawn[caffe_extensions.solver_rank()], self._sampler.state()

    def _make(self, drawn_and_state):
        if self._own_make is not None:
            return self._own_make(drawn_and_state[0].entries, self._num_classes), None
        return make_blobs(drawn_and_state[0], self._num_classes, self._scaling, self._inside_weights)

    def _get_next_minibatch_inds(self):
        return self._sampler.next_inds()


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
    cfg.TRAIN.OHEM_*.  `mined`: set to a list, it gets a roi_data_layer.ohem.Mined of each pass; `passes` likewise gets
    a roi_data_layer.ohem.Pass.
    In the first OHEM_WARMUP_ITERS iterations, of which `set_iteration` tells, the bottoms are a sample already and go
    through as they are (rpn.proposal_target_layer).
    A subclass may rank by another loss in `losses`, and choose otherwise in `select`.  Where a fork has its own
    roi_data_layer/minibatch.py with get_ohem_minibatch, that chooses.
    """

    mined = None
    passes = None

    def setup(self, bottom, top):
        if cfg.TRAIN.BATCH_SIZE < 1:
            raise UserError("TRAIN.BATCH_SIZE is %d, but mining must keep at least one RoI of each minibatch; set it "
                            "to the number of hard RoIs" % cfg.TRAIN.BATCH_SIZE)
        self._arrays, shapes = _roi_arrays(), _roi_shapes(read_params(self, EXAMPLE)["num_classes"])
        self._iteration = 0
        self._own_choose = own_function("get_ohem_minibatch")
        _check_count(self, "bottom", bottom, ("cls_prob", "bbox_pred") + self._arrays)
        _check_count(self, "top", top, [name + "_hard" for name in self._arrays])
        for i, name in enumerate(self._arrays):
            top[i].reshape(*shapes[name])

    def set_iteration(self, iteration):
        """How many iterations of the solver are done."""
        self._iteration = iteration

    def losses(self, cls_prob, labels, bbox_pred=None, bbox_targets=None, inside_weights=None, outside_weights=None):
        """The loss (R,) by which RoIs are ranked, of arrays as for roi_data_layer.ohem.roi_losses."""
        return roi_losses(cls_prob, labels, bbox_pred, bbox_targets, inside_weights, outside_weights)

    def select(self, loss, rois, labels):
        """Indices (B,) of the hard RoIs: loss (R,), rois (R, 5) [image, x1 y1 x2 y2], labels (R,)."""
        return hard_roi_inds(loss, rois, labels, settings.mining())

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        cls_prob, bbox_pred = bottom[0].data, bottom[1].data
        arrays = [bottom[i + 2].data for i in range(len(self._arrays))]
        loss = self.losses(cls_prob, arrays[1], *((bbox_pred, *arrays[2:]) if cfg.TRAIN.BBOX_REG else ()))
        for i, array in enumerate(self._choose(loss, arrays, cls_prob)):
            put(top[i], array)

    def _choose(self, loss, arrays, cls_prob):
        """The rows of the hard RoIs in each of the arrays: rois, labels, and with BBOX_REG the three others."""
        rois, labels = arrays[:2]
        warming_up = self._iteration < cfg.TRAIN.OHEM_WARMUP_ITERS
        if self._own_choose is not None and not warming_up:
            blobs = self._own_choose(loss, *arrays)
            return [np.asarray(blobs[name + "_hard"]) for name in self._arrays]
        hard_inds = np.arange(len(loss)) if warming_up else self.select(loss, rois, labels)
        if self.mined is not None:
            self.mined.append(Mined(loss, hard_inds, rois[hard_inds], labels[hard_inds]))
        if self.passes is not None:
            self.passes.append(Pass(loss, rois.copy(), labels.copy(), cls_prob.copy(), hard_inds))
        return [array[hard_inds] for array in arrays]

    def backward(self, top, propagate_down, bottom):
        pass


def _draw_images(entries, *_):
    """Drawn for a minibatch that a fork's own code makes: its entries alone."""
    return Drawn(entries, None, None)


def _roi_arrays():
    """The blobs of RoIs, under the current settings."""
    return ROI_BLOBS + (BBOX_BLOBS if cfg.TRAIN.BBOX_REG else ())


def _roi_shapes(num_classes):
    """{blob: shape} before there is a minibatch."""
    return {"rois": (1, 5), "labels": (1,), **dict.fromkeys(BBOX_BLOBS, (1, 4 * num_classes))}


def _check_count(layer, side, blobs, names):
    if len(blobs) != len(names):
        raise UserError("%s has %d %ss, expected %d with TRAIN.BBOX_REG %s and TRAIN.HAS_RPN %s: %s; change the "
                        "prototxt or the settings" % (type(layer).__name__, len(blobs), side, len(names),
                                                          cfg.TRAIN.BBOX_REG, cfg.TRAIN.HAS_RPN, ", ".join(names)))
