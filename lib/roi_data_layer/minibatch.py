"""From roidb entries to the blobs of one minibatch, in two steps: what is random is drawn, then the blobs are made.

Drawing is cheap and goes in the order of the minibatches; making reads and scales the images, depends on nothing but
what was drawn, and may run in other threads, ahead of its time (roi_data_layer.prefetch).

N images, R RoIs of all of them, G objects, C classes.  Blobs, all float32:
  data                  (N, 3, H, W) scaled images less the pixel means, zero padded at the right and bottom
  rois                  (R, 5) [index of the image in the minibatch, x1 y1 x2 y2], pixels of the scaled image
  labels                (R,) class, 0 background
  bbox_targets          (R, 4*C) normalised; class c in columns 4c .. 4c+3
  bbox_inside_weights   (R, 4*C) cfg.TRAIN.BBOX_INSIDE_WEIGHTS in the columns of a target, else 0
  bbox_outside_weights  (R, 4*C) 1 where the inside weight is > 0
and with cfg.TRAIN.HAS_RPN, beside data
  im_info               (N, 3) [height, width, scale] of each scaled image, without the padding
  gt_boxes              (G, 5) [x1 y1 x2 y2 class], pixels of the scaled image; where N > 1 (G, 6), the image's index
                        last
"""
from typing import NamedTuple

import numpy as np
import numpy.random as npr
from fast_rcnn.config import cfg
from utils.blob import im_list_to_blob, prep_im_for_blob, read_image

from roi_data_layer.ohem import select_hard, select_hard_per_image


class Drawn(NamedTuple):
    """What one minibatch is made of."""
    entries: list   # N roidb entries
    sizes: list     # N short sides in pixels, of cfg.TRAIN.SCALES
    samples: list   # N pairs of RoI indices (foreground, background); None with cfg.TRAIN.HAS_RPN


def get_minibatch(roidb, num_classes):
    """Blobs of a minibatch of sampled RoIs, or with cfg.TRAIN.HAS_RPN of objects; drawn from numpy's generator."""
    draw = draw_rpn if cfg.TRAIN.HAS_RPN else draw_sampled
    return make_blobs(draw(roidb, npr), num_classes)[0]


def get_allrois_minibatch(roidb, num_classes):
    """Blobs of a minibatch of all RoIs, for mining: of each image first the foreground, then the background."""
    return make_blobs(draw_all(roidb, npr), num_classes)[0]


def draw_sampled(roidb, rng):
    """Drawn for entries `roidb`: at most FG_FRACTION foreground, BATCH_SIZE RoIs over all images.

    Numbers come from `rng` in the original's order: scales, then for each image foreground and background, the two
    only where there are candidates.
    """
    sizes = _draw_sizes(len(roidb), rng)
    return Drawn(roidb, sizes, [sample_rois(entry["max_overlaps"], len(roidb), rng) for entry in roidb])


def draw_all(roidb, rng):
    """Drawn for entries `roidb`: all RoIs."""
    return Drawn(roidb, _draw_sizes(len(roidb), rng), [all_rois(entry["max_overlaps"]) for entry in roidb])


def draw_rpn(roidb, rng):
    """Drawn for entries `roidb`: no RoIs, which the net proposes itself."""
    return Drawn(roidb, _draw_sizes(len(roidb), rng), None)


def make_blobs(drawn, num_classes):
    """({name: blob}, scale of each image) of what was drawn."""
    im_blob, im_infos = _get_image_blob(drawn.entries, drawn.sizes)
    im_scales = [im_scale for _, _, im_scale in im_infos]
    if drawn.samples is None:
        rest = {"im_info": np.array(im_infos, dtype=np.float32), "gt_boxes": _gt_boxes(drawn.entries, im_scales)}
    else:
        rest = _roi_blobs(drawn.entries, im_scales, drawn.samples, num_classes)
    return {"data": im_blob, **rest}, im_scales


def get_ohem_minibatch(loss, rois, labels, bbox_targets=None, bbox_inside_weights=None, bbox_outside_weights=None):
    """Rows of the arguments for the hard RoIs, by falling loss, under their names + _hard.

    loss (R,); rois (R, 5); labels (R,); the others (R, 4*C), or None where boxes are not regressed.
    """
    hard_inds = hard_roi_inds(loss, rois, labels)
    arrays = {"rois": rois, "labels": labels}
    if bbox_targets is not None:
        arrays.update(bbox_targets=bbox_targets, bbox_inside_weights=bbox_inside_weights,
                      bbox_outside_weights=bbox_outside_weights)
    return {name + "_hard": array[hard_inds] for name, array in arrays.items()}


def hard_roi_inds(loss, rois, labels):
    """Indices of the hard RoIs under cfg.TRAIN.OHEM_* and BATCH_SIZE, by falling loss."""
    nms_thresh = cfg.TRAIN.OHEM_NMS_THRESH if cfg.TRAIN.OHEM_USE_NMS else None
    select, count = select_hard, cfg.TRAIN.BATCH_SIZE
    if cfg.TRAIN.OHEM_PER_IMAGE:
        select, count = select_hard_per_image, cfg.TRAIN.BATCH_SIZE // cfg.TRAIN.IMS_PER_BATCH
    return select(np.asarray(loss, np.float64), rois, labels, count, nms_thresh, cfg.TRAIN.OHEM_NMS_PER_CLASS)


def gt_rois(drawn, im_scales):
    """Which RoIs are ground-truth boxes, (G, 5) rows as in the rois blob."""
    gt_inds = [gt_rows(entry) for entry in drawn.entries]
    return _rois(drawn.entries, im_scales, gt_inds)


def gt_rows(entry):
    """Indices of the objects of a roidb entry, without crowds (whose overlaps are -1)."""
    return np.flatnonzero((entry["gt_classes"] > 0) & (entry["max_overlaps"] == 1))


def _draw_sizes(count, rng):
    """Short sides for `count` images; one is drawn even from one."""
    return [cfg.TRAIN.SCALES[k] for k in rng.randint(0, high=len(cfg.TRAIN.SCALES), size=count)]


def _get_image_blob(entries, sizes):
    """data blob (N, 3, H, W) of the entries' images, and (height, width, scale) of each scaled image."""
    ims, im_infos = [], []
    for entry, size in zip(entries, sizes):
        im = read_image(entry["image"])
        if entry["flipped"]:
            im = im[:, ::-1, :]
        im, im_scale = prep_im_for_blob(im, cfg.PIXEL_MEANS, size, cfg.TRAIN.MAX_SIZE)
        ims.append(im)
        im_infos.append((*im.shape[:2], im_scale))
    return im_list_to_blob(ims), im_infos


def sample_rois(overlaps, count, rng):
    """Indices of the foreground and of the background RoIs drawn from one of `count` images by their overlaps (R,).

    BATCH_SIZE -1: all of both, in random order.
    """
    rois_per_image = len(overlaps) if cfg.TRAIN.BATCH_SIZE < 0 else cfg.TRAIN.BATCH_SIZE // count
    fg_per_image = rois_per_image if cfg.TRAIN.BATCH_SIZE < 0 else int(np.round(cfg.TRAIN.FG_FRACTION * rois_per_image))
    fg_inds = np.flatnonzero(overlaps >= cfg.TRAIN.FG_THRESH)
    if fg_inds.size:
        fg_inds = rng.choice(fg_inds, size=min(fg_per_image, fg_inds.size), replace=False)
    bg_inds = np.flatnonzero((overlaps < cfg.TRAIN.BG_THRESH_HI) & (overlaps >= cfg.TRAIN.BG_THRESH_LO))
    if bg_inds.size:
        bg_inds = rng.choice(bg_inds, size=min(rois_per_image - fg_inds.size, bg_inds.size), replace=False)
    return fg_inds, bg_inds


def all_rois(overlaps):
    """Indices of all foreground and all background RoIs of one image.

    Overlap -1 marks crowds, and what they cover, in COCO: neither.  (The original takes them for background.)
    """
    fg_inds = np.flatnonzero(overlaps >= cfg.TRAIN.FG_THRESH)
    return fg_inds, np.flatnonzero((overlaps < cfg.TRAIN.BG_THRESH_HI) & (overlaps >= 0))


def _gt_boxes(entries, im_scales):
    """The gt_boxes blob; crowds are no objects to be proposed."""
    parts = []
    for i, (entry, im_scale) in enumerate(zip(entries, im_scales)):
        rows = gt_rows(entry)
        boxes = entry["boxes"][rows].astype(np.float64) * im_scale
        parts.append(np.column_stack([boxes, entry["gt_classes"][rows], np.full(len(rows), i)]).astype(np.float32))
    return np.concatenate(parts)[:, :5 if len(entries) == 1 else 6]


def _roi_blobs(roidb, im_scales, samples, num_classes):
    """rois, labels and, with BBOX_REG, the three box blobs; samples: (fg_inds, bg_inds) of each image."""
    keeps = [np.append(fg_inds, bg_inds) for fg_inds, bg_inds in samples]
    labels = [np.append(entry["max_classes"][fg_inds], np.zeros(len(bg_inds)))
              for entry, (fg_inds, bg_inds) in zip(roidb, samples)]
    blobs = {"rois": _rois(roidb, im_scales, keeps), "labels": np.concatenate(labels).astype(np.float32)}
    if cfg.TRAIN.BBOX_REG:
        targets = np.concatenate([entry["bbox_targets"][keep] for entry, keep in zip(roidb, keeps)])
        blobs["bbox_targets"], inside = expand_targets(targets, num_classes, cfg.TRAIN.BBOX_INSIDE_WEIGHTS)
        blobs["bbox_inside_weights"], blobs["bbox_outside_weights"] = inside, (inside > 0).astype(np.float32)
    return blobs


def _rois(roidb, im_scales, keeps):
    """(R, 5) float32 [image, box] of the kept rows of each entry's boxes, in pixels of the scaled images."""
    parts = []
    for i, (entry, im_scale, keep) in enumerate(zip(roidb, im_scales, keeps)):
        boxes = entry["boxes"][keep].astype(np.float64) * im_scale
        parts.append(np.column_stack([np.full(len(boxes), i), boxes]).astype(np.float32))
    return np.concatenate(parts)


def expand_targets(targets, num_classes, inside_weights):
    """[class, dx, dy, dw, dh] rows (R, 5) -> targets and inside weights (R, 4*C), in the columns of the class."""
    rows = np.flatnonzero(targets[:, 0] > 0)
    columns = 4 * targets[rows, :1].astype(int) + np.arange(4)  # (F, 4)
    expanded = np.zeros((len(targets), 4 * num_classes), dtype=np.float32)
    inside = np.zeros_like(expanded)
    expanded[rows[:, np.newaxis], columns] = targets[rows, 1:]
    inside[rows[:, np.newaxis], columns] = inside_weights
    return expanded, inside
