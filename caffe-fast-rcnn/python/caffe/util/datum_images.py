"""Images of Datums: uint8 arrays (H, W, C), blue first, read by OpenCV where there is one, else by Pillow."""
import functools
import io

import numpy as np
import torch
import torch.nn.functional as F

from ..common import CaffeError


@functools.cache
def _cv2():
    try:
        import cv2
        return cv2
    except ImportError:
        return None


def _pillow():
    try:
        from PIL import Image, ImageOps
        return Image, ImageOps
    except ImportError:
        raise CaffeError("images need OpenCV or Pillow, and neither is installed; "
                         "pip install opencv-python-headless, or pillow") from None


def decode_image(data, channels=None):
    """The image in a file's bytes, (H, W, C); None when they are no image.

    channels: 3, 1, or None for what the file has (a grey one 1, with an alpha channel 4, any other 3).  As in OpenCV,
    3 and 1 turn the image by its EXIF orientation, None does not.  Raises CaffeError for more than 8 bits a channel.
    """
    if not data:
        return None
    image = _decode_by_opencv(data, channels) if _cv2() else _decode_by_pillow(data, channels)
    return image if image is None or image.ndim == 3 else image[:, :, None]


def _decode_by_opencv(data, channels):
    cv2 = _cv2()
    flag = {3: cv2.IMREAD_COLOR, 1: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[channels]
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:       # more than 2^30 pixels, or no memory for them
        image = None
    if image is not None and image.dtype != np.uint8:
        raise CaffeError("the image has numbers of type %s; expected 8 bits a channel" % image.dtype)
    return image


def _decode_by_pillow(data, channels):
    image_module, ops = _pillow()
    try:
        image = image_module.open(io.BytesIO(data))
        image = ops.exif_transpose(image) if channels else image
        mode = {3: "RGB", 1: "L", None: _own_mode(image)}[channels]
        array = np.array(image.convert(mode))
    except (OSError, ValueError, SyntaxError):      # what Pillow raises for a damaged file depends on its format
        return None
    return array if mode == "L" else array[:, :, [2, 1, 0, 3][:len(mode)]]


def _own_mode(image):
    """The mode in which a Pillow image keeps all its channels."""
    if image.mode.startswith(("I", "F")):
        raise CaffeError("the image has numbers of type %s; expected 8 bits a channel" % image.mode)
    if image.mode in ("1", "L"):
        return "L"
    return "RGBA" if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info else "RGB"


def datum_array(datum, channels=None):
    """The numbers of a Datum, (C, H, W): its bytes, its decoded image or its floats.  Raises CaffeError.

    channels: of an encoded image, as in `decode_image`.
    """
    if datum.encoded:
        image = decode_image(datum.data, channels)
        if image is None:
            raise CaffeError("a Datum is marked as encoded, but is not an image")
        return image.transpose(2, 0, 1)
    shape = datum.channels, datum.height, datum.width
    numbers = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    if numbers.size != int(np.prod(shape)) or not numbers.size:
        raise CaffeError("a Datum holds %d numbers, its shape %s asks for %d"
                         % (numbers.size, shape, int(np.prod(shape))))
    return numbers.reshape(shape)


def encode_image(image, kind):
    """The bytes of a file of `kind` ("jpg", "png", ...) with the image; CaffeError for an unknown kind."""
    encode, unknown = (_encode_by_opencv, _cv2().error) if _cv2() else (_encode_by_pillow, KeyError)
    try:
        return encode(image, "jpeg" if kind == "jpg" else kind)
    except unknown:
        raise CaffeError("images cannot be encoded as %r; use jpg or png" % kind) from None


def _encode_by_opencv(image, kind):
    return _cv2().imencode("." + kind, image)[1].tobytes()


def _encode_by_pillow(image, kind):
    buffer = io.BytesIO()
    array = image[:, :, 0] if image.shape[2] == 1 else image[:, :, ::-1]
    quality = {"quality": 95} if kind == "jpeg" else {}     # OpenCV's
    _pillow()[0].fromarray(np.ascontiguousarray(array)).save(buffer, kind, **quality)
    return buffer.getvalue()


def resize_image(image, height, width):
    """The image at another size, interpolated linearly between the four next pixels, as OpenCV does."""
    if _cv2():
        resized = _cv2().resize(image, (width, height))
        return resized if resized.ndim == 3 else resized[:, :, None]
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()[None]
    planes = F.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return planes.round()[0].byte().numpy().transpose(1, 2, 0)
