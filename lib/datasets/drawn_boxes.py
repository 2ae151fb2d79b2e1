"""Finds the form of an image on which boxes were drawn, and maps the boxes to the image as it is read.

An image may be stored in another orientation than it is read in, or be a smaller or larger copy of the
annotated image.  The size in the annotation shows which; if it fits both orientations, the setting
BOXES_DRAWN_ON decides.
"""
from typing import NamedTuple

import numpy as np
from fast_rcnn.config import cfg

from datasets.image_files import Geometry

SAME_SHAPE = 0.02       # by how much the ratio of two sizes may differ in width and height


class Placement(NamedTuple):
    drawn_size: tuple       # (width, height) of the picture that the boxes were drawn on
    orientation: int        # how that one was turned, 1: not
    size: tuple             # (width, height) of the picture as it is read
    problem: str = ""       # a line without its beginning, '' for none

    @property
    def moves(self) -> bool:
        """Whether any box changes."""
        return self.orientation != 1 or self.drawn_size != self.size

    @property
    def area_factor(self) -> float:
        return self.size[0] * self.size[1] / (self.drawn_size[0] * self.drawn_size[1])

    def place(self, boxes):
        """Map boxes (N, 4) [x1 y1 x2 y2], 0-based, last pixel inside, from the annotated image to the image as read."""
        if not self.moves:
            return boxes
        width, height = self.drawn_size
        x1, y1, x2, y2 = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
        if self.orientation >= 5:
            x1, y1, x2, y2, width, height = y1, x1, y2, x2, height, width
        if self.orientation in (2, 3, 6, 7):
            x1, x2 = width - 1 - x2, width - 1 - x1
        if self.orientation in (3, 4, 7, 8):
            y1, y2 = height - 1 - y2, height - 1 - y1
        across, down = self.size[0] / width, self.size[1] / height
        return np.stack((x1 * across, y1 * down, (x2 + 1) * across - 1, (y2 + 1) * down - 1), axis=1)


UNMOVED = Placement((0, 0), 1, (0, 0))      # of a picture of unknown size


def placement_settings() -> list:
    """The settings that a Placement depends on, for the keys of caches."""
    return [cfg.BOXES_DRAWN_ON, cfg.SCALE_BOXES_TO_IMAGE]


def take_placement_settings(config: dict) -> None:
    """Set the settings of placement_settings to their values in `config`, the settings of an earlier run."""
    cfg.BOXES_DRAWN_ON = config.get("BOXES_DRAWN_ON", "")
    cfg.SCALE_BOXES_TO_IMAGE = config.get("SCALE_BOXES_TO_IMAGE", False)


def find_placement(geometry: Geometry, given: tuple, has_boxes: bool) -> Placement:
    """The Placement of boxes whose annotation gives the image size `given`, (width, height).

    Width and height are None if missing; 0 x 0 counts as missing.  If the sizes do not fit and no
    setting resolves it, the Placement has a problem and does not move the boxes.
    """
    given = (None, None) if given == (0, 0) else given
    stored, read = geometry.stored_size, geometry.size
    if not has_boxes:       # that could be in a wrong place
        return Placement(read, 1, read)
    if _equal(given, read) and _equal(given, stored):
        return _place_by_setting(geometry, stored, read, given != (None, None))
    if _equal(given, read):
        return Placement(read, 1, read)
    if _equal(given, stored):
        return Placement(stored, geometry.orientation, read)
    return _place_other_size(geometry, given)


def _place_by_setting(geometry, on_stored, on_read, is_told):
    """The Placement that BOXES_DRAWN_ON selects: `on_stored` (before turning) or `on_read` (after).

    is_told: whether the annotation gives a size.
    """
    if geometry.orientation == 1 or cfg.BOXES_DRAWN_ON == "turned":
        return Placement(on_read, 1, geometry.size)
    if cfg.BOXES_DRAWN_ON == "stored":
        return Placement(on_stored, geometry.orientation, geometry.size)
    problem = (f"its image is turned by EXIF orientation {geometry.orientation} when it is read, and its "
               "size does not tell whether its boxes were drawn before or after that; set BOXES_DRAWN_ON "
               "to stored (before) or turned (after)")
    return Placement(on_read, 1, geometry.size, problem if is_told else "")


def _place_other_size(geometry, given):
    said = "it says {} x {} pixels, the file has {} x {}".format(*given, *geometry.size)
    if not all(map(_is_positive, given)) or given == geometry.size[::-1]:
        # No scale mends numbers that were interchanged, or a picture that lost its orientation.
        return Placement(geometry.size, 1, geometry.size, said + "; correct it, or the image")
    if not cfg.SCALE_BOXES_TO_IMAGE:
        remedy = "correct it, or the image, or set SCALE_BOXES_TO_IMAGE True, which scales its boxes to the file"
        return Placement(given, 1, geometry.size, f"{said}; {remedy}")
    as_stored, as_read = (_same_shape(given, size) for size in (geometry.stored_size, geometry.size))
    if as_stored == as_read:
        return _place_by_setting(geometry, given, given, True)
    return Placement(given, geometry.orientation if as_stored else 1, geometry.size)


def _is_positive(number):
    return isinstance(number, (int, float)) and not isinstance(number, bool) and 0 < number < np.inf


def _equal(given, size):
    return all(number is None or number == n for number, n in zip(given, size))


def _same_shape(given, size):
    across, down = size[0] / given[0], size[1] / given[1]
    return abs(across - down) <= SAME_SHAPE * max(across, down)
