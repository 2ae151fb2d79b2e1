"""From roidb entries to the blobs of one minibatch, in two steps: what is random is drawn, then the blobs are made.

Drawing is cheap and goes in the order of the minibatches; making reads and scales the images, depends on nothing but
what was drawn, and may run in other threads, ahead of its time (roi_data_layer.prefetch).

N images, R RoIs of all of them, G objects, C classes.  Blobs, all float32:
  data                  (N, 3, H, W) scaled images less the pixel means, zero padded at the right and bottom
  rois                  (R, 5) [index of the image in the minibatch, x1 y1 x2 y2], pixels of the scaled image
  labels                (R,) class, 0 background
  bbox_targets          (R, 4*C) normalised; class c in columns 4c .. 4c+3
  bbox_inside_weights   (R, 4*C) those of the settings in the columns of a target, else 0
  bbox_outside_weights  (R, 4*C) 1 where the inside weight is > 0
and for a net with an RPN, with data
  im_info               (N, 3) [height, width, scale] of each scaled image, without the padding
  gt_boxes              (G, 5) [x1 y1 x2 y2 class], pixels of the scaled image; where N > 1 (G, 6), the image's index
                        last
"""
from typing import NamedTuple

import numpy as np
from datasets.ground_truth import object_rows
from utils.blob import im_list_to_blob, prep_im_for_blob
from utils.images import read_image

from roi_data_layer.sampling import all_rois, sample_rois


class Drawn(NamedTuple):
    """What one minibatch is made of."""
    entries: list   # N roidb entries
    sizes: list     # N short sides in pixels
    samples: list   # N pairs of RoI indices (foreground, background); None for a net with an RPN


def draw_sampled(roidb, sizes, sampling, rng):
    """Drawn for entries `roidb`, at one of the short sides `sizes` each: RoIs as roi_data_layer.sampling samples them.

    Numbers come from `rng` in the original's order: scales, then for each image foreground and background, the two
    only where there are candidates.
    """
    drawn_sizes = _draw_sizes(len(roidb), sizes, rng)
    samples = [sample_rois(entry["max_overlaps"], len(roidb), sampling, rng) for entry in roidb]
    return Drawn(roidb, drawn_sizes, samples)


def draw_all(roidb, sizes, sampling, rng):
    """As draw_sampled, but all RoIs."""
    samples = [all_rois(entry["max_overlaps"], sampling) for entry in roidb]
    return Drawn(roidb, _draw_sizes(len(roidb), sizes, rng), samples)


def draw_rpn(roidb, sizes, _, rng):
    """As draw_sampled, but no RoIs, which the net proposes itself."""
    return Drawn(roidb, _draw_sizes(len(roidb), sizes, rng), None)


def make_blobs(drawn, num_classes, scaling, inside_weights):
    """({name: blob}, scale of each image) of what was drawn.

    inside_weights (4,): of the box targets; None leaves the three blobs of these out.
    """
    im_blob, im_infos = make_image_blob(drawn.entries, drawn.sizes, scaling)
    im_scales = [im_scale for _, _, im_scale in im_infos]
    if drawn.samples is None:
        rest = {"im_info": np.array(im_infos, dtype=np.float32), "gt_boxes": _gt_boxes(drawn.entries, im_scales)}
    else:
        rest = _roi_blobs(drawn.entries, im_scales, drawn.samples, num_classes, inside_weights)
    return {"data": im_blob, **rest}, im_scales


def gt_rois(drawn, im_scales):
    """Which RoIs are ground-truth boxes, (G, 5) rows as in the rois blob."""
    gt_inds = [object_rows(entry) for entry in drawn.entries]
    return _rois(drawn.entries, im_scales, gt_inds)


def _draw_sizes(count, sizes, rng):
    """Short sides for `count` images; one is drawn even from one."""
    return [sizes[k] for k in rng.randint(0, high=len(sizes), size=count)]


def make_image_blob(entries, sizes, scaling):
    """data blob (N, 3, H, W) of the entries' images, and (height, width, scale) of each scaled image."""
    ims, im_infos = [], []
    for entry, size in zip(entries, sizes):
        im = read_image(entry["image"])
        if entry["flipped"]:
            im = im[:, ::-1, :]
        im, im_scale = prep_im_for_blob(im, scaling.pixel_means, size, scaling.max_size)
        ims.append(im)
        im_infos.append((*im.shape[:2], im_scale))
    return im_list_to_blob(ims), im_infos


def _gt_boxes(entries, im_scales):
    """The gt_boxes blob; crowds are no objects to be proposed."""
    parts = []
    for i, (entry, im_scale) in enumerate(zip(entries, im_scales)):
        rows = object_rows(entry)
        boxes = entry["boxes"][rows].astype(np.float64) * im_scale
        parts.append(np.column_stack([boxes, entry["gt_classes"][rows], np.full(len(rows), i)]).astype(np.float32))
    return np.concatenate(parts)[:, :5 if len(entries) == 1 else 6]


def _roi_blobs(roidb, im_scales, samples, num_classes, inside_weights):
    """rois, labels and, with inside_weights, the three box blobs; samples: (fg_inds, bg_inds) of each image."""
    keeps = [np.append(fg_inds, bg_inds) for fg_inds, bg_inds in samples]
    labels = [np.append(entry["max_classes"][fg_inds], np.zeros(len(bg_inds)))
              for entry, (fg_inds, bg_inds) in zip(roidb, samples)]
    blobs = {"rois": _rois(roidb, im_scales, keeps), "labels": np.concatenate(labels).astype(np.float32)}
    if inside_weights is not None:
        targets = np.concatenate([entry["bbox_targets"][keep] for entry, keep in zip(roidb, keeps)])
        blobs["bbox_targets"], inside = expand_targets(targets, num_classes, inside_weights)
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
