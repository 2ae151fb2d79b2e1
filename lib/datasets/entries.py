"""Entries of a roidb, which a fork's own code may have made: what is left out, and what is wrong."""
import numpy as np
from utils.errors import UserError

from datasets.box_checks import bad_boxes
from datasets.image_files import image_size


def entry_size(entry, imdb, i):
    """(width, height) kept in entry i of a roidb, or from the image's header."""
    if "width" in entry and "height" in entry:
        return entry["width"], entry["height"]
    return image_size(imdb.image_path_at(i))


def entry_areas(entry):
    """seg_areas (R,) float32 of a roidb entry; where they are missing, or were not merged with the boxes, the areas of
    its objects' boxes and 0 for proposals."""
    if len(entry.get("seg_areas", ())) == len(entry["boxes"]):
        return np.asarray(entry.get("seg_areas", ()), dtype=np.float32)
    boxes = np.asarray(entry["boxes"], dtype=np.float32)
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    return np.where(entry["gt_classes"] > 0, areas, 0).astype(np.float32)


def complete(roidb, imdb):
    """The entries of a roidb with float32 boxes, seg_areas, width and height; other keys stay.

    UserError names the image of the first inverted box.  Boxes beyond their image are left as they are, as in the
    original, and counted in a line.
    """
    if len(roidb) != imdb.num_images:
        raise UserError("%s: its roidb has %d entries, its image set %d images; give one entry for each image"
                        % (imdb.name, len(roidb), imdb.num_images))
    completed = [_complete(entry, imdb, i) for i, entry in enumerate(roidb)]
    outside = sum(int(bad_boxes(entry["boxes"], entry["width"], entry["height"]).sum()) for entry in completed)
    if outside:
        print("%s: %d boxes reach beyond their image; %s gives them so" % (imdb.name, outside, type(imdb).__name__))
    return completed


def _complete(entry, imdb, i):
    boxes = np.array(entry["boxes"], dtype=np.float32).reshape(-1, 4)
    is_sound = (boxes[:, 0] <= boxes[:, 2]) & (boxes[:, 1] <= boxes[:, 3])     # False for nan
    if not is_sound.all():
        first = " ".join("%g" % x for x in boxes[~is_sound][0])
        raise UserError("%s: image %s: %s gives an inverted box, x1 y1 x2 y2 = %s; correct it there, or in the "
                        "annotation (unsigned integers make 65535 of -1)"
                        % (imdb.name, imdb.image_path_at(i), type(imdb).__name__, first))
    width, height = entry_size(entry, imdb, i)
    entry = dict(entry, boxes=boxes, width=width, height=height)
    return dict(entry, seg_areas=entry_areas(entry))
