"""Image files as arrays, and how they are scaled for a net."""
from dataclasses import dataclass

import cv2
import numpy as np

from utils.errors import UserError


@dataclass(frozen=True)
class Scaling:
    """How images are scaled: short sides (several to choose from, or for a pyramid) and the most of the long one, in
    pixels, and the means of blue, green and red, which are subtracted."""

    sizes: tuple
    max_size: int
    pixel_means: np.ndarray


def read_image(path):
    """(H, W, 3) uint8 BGR of an image file; a UserError that names the file where it cannot be read whole."""
    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError as e:
        raise UserError("image %s cannot be read: %s" % (path, e.strerror)) from e
    try:
        im = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as e:      # more than 2^30 pixels, or no memory for them
        raise UserError("image %s cannot be decoded (%s); replace it by a smaller one, or take it out of the image set"
                        % (path, " ".join(str(e.err).split()))) from None
    if im is None:
        raise UserError("image %s (%d bytes) is cut off, corrupt or no image; replace the file or take it "
                        "out of the image set" % (path, len(data)))
    return im
