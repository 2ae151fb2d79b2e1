"""Image files as arrays of floats: Pillow where it is installed, else OpenCV."""
import numpy as np

from .common import CaffeError

_GREY = np.array([0.2125, 0.7154, 0.0721], np.float32)        # of red, green, blue: ITU-R BT.709, as scikit-image's


def load_image(filename, color=True):
    """Load an image file as float32 in 0..1, channels red, green, blue.

    color: True gives (height, width, 3), grey images repeated and transparency dropped; False gives (height, width, 1).
    The orientation that a camera noted is not applied, as in pycaffe.  Raises CaffeError naming a file that is missing
    or no image.
    """
    image = _as_float(_read(str(filename)))
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if color:
        return np.tile(image, (1, 1, 3)) if image.shape[2] == 1 else image[:, :, :3]
    if image.shape[2] == 4:
        image = image[:, :, :3] * image[:, :, 3:] + (1 - image[:, :, 3:])       # on white
    return image if image.shape[2] == 1 else (image @ _GREY)[:, :, np.newaxis]


def _as_float(image):
    """bool, uint8, uint16 -> float32 in 0..1; floats are left as they are."""
    if image.dtype == bool or image.dtype.kind == "f":
        return image.astype(np.float32)
    return (image / np.float64(np.iinfo(image.dtype).max)).astype(np.float32)


def _read(filename):
    """(H, W) or (H, W, 3 or 4), in the file's number type."""
    try:
        with open(filename, "rb"):
            pass
    except OSError as e:
        raise CaffeError(f"{filename}: cannot read this image: {e.strerror}") from None
    try:
        import PIL.Image
    except ImportError:
        return _read_by_opencv(filename)
    try:
        with PIL.Image.open(filename) as image:
            return _pillow_array(image)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as e:
        raise CaffeError(f"{filename}: not an image that Pillow reads, or cut off: {e}") from None


def _pillow_array(image):
    if image.mode == "I":                   # how Pillow shows 16 bits of grey
        return np.asarray(image).astype(np.uint16)
    if image.mode not in ("1", "L", "RGB", "RGBA", "F") and not image.mode.startswith("I;16"):
        transparent = image.mode in ("LA", "PA", "La") or "transparency" in image.info
        image = image.convert("RGBA" if transparent else "RGB")
    return np.asarray(image)


def _read_by_opencv(filename):
    try:
        import cv2
    except ImportError:
        raise CaffeError(f"{filename}: reading images needs Pillow or OpenCV; install one "
                         "(pip install pillow)") from None
    image = cv2.imread(filename, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise CaffeError(f"{filename}: not an image that OpenCV reads, or cut off")
    return image if image.ndim == 2 else image[:, :, [2, 1, 0, 3][:image.shape[2]]]
