"""Samples the RoIs of an image for a minibatch by their overlaps with objects.  Arrays and numbers only."""
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """The definitions of foreground and background, and the number of each in a minibatch.

    batch_size: RoIs in a minibatch, over all its images; -1: all.
    fg_fraction: at most this part of a minibatch is foreground.
    fg_thresh: foreground has an overlap >= fg_thresh.
    bg_thresh_hi, bg_thresh_lo: background has one in [bg_thresh_lo, bg_thresh_hi).
    """

    batch_size: int
    fg_fraction: float
    fg_thresh: float
    bg_thresh_hi: float
    bg_thresh_lo: float


def sample_rois(overlaps, count, sampling, rng):
    """Indices of the foreground and of the background RoIs drawn from one of `count` images by their overlaps (R,).

    If batch_size is -1, all of both, in random order.
    """
    if sampling.batch_size < 0:
        rois_per_image = fg_per_image = len(overlaps)
    else:
        rois_per_image = sampling.batch_size // count
        fg_per_image = int(np.round(sampling.fg_fraction * rois_per_image))
    fg_inds, bg_inds = _candidates(overlaps, sampling, sampling.bg_thresh_lo)
    if fg_inds.size:
        fg_inds = rng.choice(fg_inds, size=min(fg_per_image, fg_inds.size), replace=False)
    if bg_inds.size:
        bg_inds = rng.choice(bg_inds, size=min(rois_per_image - fg_inds.size, bg_inds.size), replace=False)
    return fg_inds, bg_inds


def all_rois(overlaps, sampling):
    """Indices of all foreground and all background RoIs of one image, whatever bg_thresh_lo is.

    Overlap -1 marks COCO's crowds and RoIs inside them; they are neither.  (The original uses them as background.)
    """
    return _candidates(overlaps, sampling, 0)


def has_candidates(overlaps, sampling):
    """Whether any of the RoIs with these overlaps (R,) is foreground or background."""
    return any(inds.size for inds in _candidates(overlaps, sampling, sampling.bg_thresh_lo))


def _candidates(overlaps, sampling, bg_thresh_lo):
    fg_inds = np.flatnonzero(overlaps >= sampling.fg_thresh)
    return fg_inds, np.flatnonzero((overlaps < sampling.bg_thresh_hi) & (overlaps >= bg_thresh_lo))
