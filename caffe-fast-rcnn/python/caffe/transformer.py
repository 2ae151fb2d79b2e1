"""Transformer: converts images to a net's input blob and back; oversample: ten crops of an image."""
import numpy as np

from .common import CaffeError
from .resizing import resize_image


class Transformer:
    """Turns images (H, W, K), floats as `load_image` gives them, into a net's input (K, H, W) and back.

    inputs: {name of an input: shape of its blob}.  Settings are applied in this order; unset ones and None are skipped:

        resize to the blob's height and width
        set_transpose(name, (2, 0, 1))       (H, W, K) -> (K, H, W)
        set_channel_swap(name, (2, 1, 0))    RGB -> BGR
        set_raw_scale(name, 255)             0..1 -> 0..255
        set_mean(name, mean)                 subtract (K), or (K, H, W), which is resized to the blob
        set_input_scale(name, 0.017)         multiply
    """

    def __init__(self, inputs):
        self.inputs = inputs
        self.transpose, self.channel_swap, self.raw_scale, self.mean, self.input_scale = {}, {}, {}, {}, {}

    def preprocess(self, in_, data):
        """Image (H, W, K) -> array (K, H', W') float32 for input `in_`; the image is not changed."""
        self._check_input(in_)
        out = np.asarray(data).astype(np.float32)
        in_dims = tuple(self.inputs[in_][2:])
        if out.shape[:2] != in_dims:
            out = resize_image(out, in_dims)
        if self.transpose.get(in_) is not None:
            out = out.transpose(self.transpose[in_])
        if self.channel_swap.get(in_) is not None:
            out = out[list(self.channel_swap[in_])]
        if self.raw_scale.get(in_) is not None:
            out = out * np.float32(self.raw_scale[in_])
        if self.mean.get(in_) is not None:
            out = out - self.mean[in_]
        if self.input_scale.get(in_) is not None:
            out = out * np.float32(self.input_scale[in_])
        return out.astype(np.float32, copy=False)

    def deprocess(self, in_, data):
        """The inverse of preprocess, without the resize: (1, K, H, W) or (K, H, W) -> (H, W, K)."""
        self._check_input(in_)
        data = np.asarray(data)
        out = data.squeeze()
        if self.input_scale.get(in_) is not None:
            out = out / self.input_scale[in_]
        if self.mean.get(in_) is not None:
            out = out + self.mean[in_]
        if self.raw_scale.get(in_) is not None:
            out = out / self.raw_scale[in_]
        if self.channel_swap.get(in_) is not None:
            out = out[np.argsort(self.channel_swap[in_])]
        if self.transpose.get(in_) is not None:
            out = out.transpose(np.argsort(self.transpose[in_]))
        return out.astype(data.dtype if data.dtype.kind == "f" else out.dtype)

    def set_transpose(self, in_, order):
        """Order of an image's axes in the blob: (2, 0, 1) for images (H, W, K)."""
        self._check_input(in_)
        axes = len(self.inputs[in_]) - 1
        if len(order) != axes:
            raise CaffeError(f"set_transpose({in_!r}): expected an order of {axes} axes, got {tuple(order)}")
        self.transpose[in_] = order

    def set_channel_swap(self, in_, order):
        """Order of the channels: (2, 1, 0) for a net that was trained on BGR."""
        self._check_input(in_)
        channels = self.inputs[in_][1]
        if len(order) != channels:
            raise CaffeError(f"set_channel_swap({in_!r}): expected an order of {channels} channels, got {tuple(order)}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_, scale):
        """Factor before the mean is subtracted: 255 for a net that was trained on 0..255."""
        self._check_input(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_, mean):
        """Mean to subtract: one number per channel (K), or an image (K, H, W), in the blob's channel order and range.

        An image is resized to the blob's size.  Raises ValueError for other shapes.
        """
        self._check_input(in_)
        mean, (channels, *dims) = np.asarray(mean), self.inputs[in_][1:]
        if mean.ndim not in (1, 3) or mean.shape[0] != channels:
            raise ValueError(f"set_mean({in_!r}): expected a mean of shape ({channels},) or ({channels}, height, width)"
                             f", got {mean.shape}")
        if mean.ndim == 1:
            mean = mean[:, np.newaxis, np.newaxis]
        elif list(mean.shape[1:]) != list(dims):
            mean = resize_image(mean.transpose(1, 2, 0), dims).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_, scale):
        """Factor of the input, applied after the mean is subtracted."""
        self._check_input(in_)
        self.input_scale[in_] = scale

    def _check_input(self, in_):
        if in_ not in self.inputs:
            raise CaffeError(f"Transformer: {in_!r} is not one of its inputs, which are {list(self.inputs)}")


def oversample(images, crop_dims):
    """Ten crops of each image: the four corners and the centre, then these five mirrored.

    images: (H, W, K) arrays of one shape.  crop_dims: (height, width).  Returns (10 N, height, width, K) float32.
    """
    full, crop = np.array(images[0].shape[:2]), np.array(crop_dims).astype(int)
    if (crop > full).any():
        raise ValueError(f"oversample: crops of {tuple(crop.tolist())} are larger than the images of "
                         f"{tuple(images[0].shape[:2])}")
    centre = ((full - crop) / 2).astype(int)
    corners = [(y, x) for y in (0, full[0] - crop[0]) for x in (0, full[1] - crop[1])]
    crops = np.stack([image[y:y + crop[0], x:x + crop[1]] for image in images for y, x in [*corners, centre]])
    crops = crops.reshape(-1, 1, 5, *crops.shape[1:])                           # (N, 1, 5, height, width, K)
    both = np.concatenate([crops, crops[:, :, :, :, ::-1]], axis=1)             # (N, 2, ...)
    return both.reshape(-1, *crops.shape[3:]).astype(np.float32)
