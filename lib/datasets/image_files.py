"""Image files of data sets: their size and orientation as cv2 reads them, and whether they are whole.

What cv2 does with an orientation in a file's metadata depends on the format: it turns a JPEG, PNG or
WebP by EXIF's tag, a TIFF by TIFF's, and an AVIF not at all; Pillow looks in more places.  So only the
size of a plain JPEG, PNG or BMP is read from its header.  Any other file is decoded.
"""
import functools
import os
import struct
import threading
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from utils.errors import UserError

from datasets.content_hash import file_hash

ORIENTATION = 0x0112    # EXIF tag
HEADER_TELLS = ("JPEG", "MPO", "PNG", "BMP")        # formats whose headers have the size that cv2 reads
FEW = 2 ** 26           # pixels for which any machine has the memory
BYTES_OF_A_PIXEL = 39   # three channels as uint8, float32 and float64: what scaling holds at once (utils/blob.py)
LARGE = 512             # pixels of the short side, from which an eighth of a picture tells how it was turned
END_MARKS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}     # by the first bytes of a JPEG and of a PNG file

_LIMIT = threading.Lock()       # Pillow's limit on the size of images, which belongs to the whole process


@contextmanager
def _open_any_size(path):
    """Pillow's image of a file of any size: the size limit of Pillow is lifted while the header is read."""
    with _LIMIT:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            image = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


class Geometry(NamedTuple):
    width: int          # pixels, of the picture as utils.blob.read_image gives it
    height: int
    orientation: int    # 1 to 8, as in EXIF: how the picture that is stored was turned to become that one

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def stored_size(self) -> tuple[int, int]:
        return self.size if self.orientation < 5 else self.size[::-1]


def image_size(path: str) -> tuple[int, int]:
    """(width, height) in pixels of an image as utils.blob.read_image gives it."""
    return image_geometry(path).size


def image_geometry(path: str) -> Geometry:
    """The Geometry of an image file, cached by content; UserError if the file cannot be read."""
    try:
        return _geometry(path, file_hash(path))
    except FileNotFoundError:
        raise UserError("image %s does not exist; add it or take its name out of the image set" % path) from None
    except OSError as e:
        raise UserError("image %s cannot be read (%s); replace the file" % (path, type(e).__name__)) from None


def require_whole(path):
    """UserError if an image file does not exist, is not an image or is truncated.

    A JPEG or PNG that ends as it should is only read at both ends; any other image is decoded, which takes longer.
    """
    image_geometry(path)
    with open(path, "rb") as f:
        mark = END_MARKS.get(f.read(2))
        f.seek(max(0, os.path.getsize(path) - 4096))
        if mark is not None and mark in f.read():
            return
    try:
        with _open_any_size(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as e:
        raise UserError("image %s is cut off or corrupt (%s); replace the file" % (path, e)) from None


def turned(picture, orientation):
    """A stored image (H, W, ...), turned by EXIF orientation 1 to 8."""
    if orientation >= 5:
        picture = picture.swapaxes(0, 1)
    return picture[::-1 if orientation in (3, 4, 7, 8) else 1, ::-1 if orientation in (2, 3, 6, 7) else 1]


@functools.cache
def _geometry(path, _):
    with _open_any_size(path) as image:
        _require_memory(path, *image.size)
        size, form, tag = image.size, image.format, _orientation_tag(image)
    if form in HEADER_TELLS and tag == 1:
        return Geometry(*size, 1)
    flag = cv2.IMREAD_COLOR
    if form in HEADER_TELLS and min(size) >= LARGE:
        flag = cv2.IMREAD_REDUCED_COLOR_8
    picture = _decoded(path, form, flag)
    orientation = _orientation_of(picture, path, form, flag, tag)
    if flag == cv2.IMREAD_COLOR:
        size = picture.shape[1::-1]
    elif orientation >= 5:
        size = size[::-1]
    return Geometry(*size, orientation)


def _require_memory(path, width, height):
    """UserError if an image is too large for the machine's memory, as its header tells."""
    if width * height < FEW:
        return
    from utils.caffe_extensions import require_memory  # for large images only: it loads caffe
    require_memory(width * height * BYTES_OF_A_PIXEL, f"image {path} of {width} x {height} pixels")
    if width * height > 2 ** 30 or max(width, height) > 2 ** 20:
        raise UserError(f"image {path} of {width} x {height} pixels is larger than OpenCV reads (2^30 pixels, 2^20 a "
                        "side); replace it by a smaller one, or take it out of the image set")


def _orientation_tag(image):
    """The orientation in the metadata of a PIL image, 1 if there is none; None if Pillow cannot read them."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except (SyntaxError, ValueError, struct.error):
        return None


def _decoded(path, form, flag):
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), flag)
    except cv2.error:
        picture = None
    if picture is None:
        raise UserError(f"image {path} ({form}) cannot be read by OpenCV; replace it by a JPEG or PNG")
    return picture


def _orientation_of(picture, path, form, flag, tag):
    """The orientation by which the stored image was turned into `picture`: `tag`, if that fits."""
    known = tag if tag in range(1, 9) else 1
    if form == "TIFF":          # libtiff turns it, whatever cv2 is told
        return known
    stored = _decoded(path, form, flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return next(o for o in (known, *range(1, 9)) if np.array_equal(turned(stored, o), picture))
