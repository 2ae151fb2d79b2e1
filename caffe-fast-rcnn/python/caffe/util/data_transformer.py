"""transform_param: what the data layers do to an image before it becomes numbers of a blob."""
import numpy as np

from ..common import TRAIN, CaffeError
from .weight_files import read_blob


class DataTransformer:
    """transformer(image, random) -> float32 (C, h, w): crop, minus the mean, times scale, mirrored.

    In TRAIN the crop's place is random, in TEST it is the center.  mean_file is a binaryproto of the images' size, of
    which the crop takes its part; mean_value is one number, or one for each channel.
    """

    def __init__(self, param, phase):
        self.crop_size, self.mirror, self.scale = param.crop_size, param.mirror, np.float32(param.scale)
        self.random_crop = phase == TRAIN
        if param.mean_file and param.mean_value:
            raise CaffeError("transform_param: mean_file and mean_value are both given; give one of them")
        if param.force_color and param.force_gray:
            raise CaffeError("transform_param: force_color and force_gray are both true; give one of them")
        self.mean = read_mean(param.mean_file) if param.mean_file else None
        self.mean_values = np.array(param.mean_value, np.float32).reshape(-1, 1, 1)

    def __call__(self, image, random):
        """The numbers of an image (C, H, W); `random` is a numpy.random.Generator."""
        self._check(image.shape)
        window = self._window(image.shape, random)
        numbers = image[window].astype(np.float32)
        if self.mean is not None:
            numbers -= self.mean[window]
        elif len(self.mean_values):
            numbers -= self.mean_values
        numbers *= self.scale
        return numbers[:, :, ::-1] if self.mirror and random.integers(2) else numbers

    def _window(self, shape, random):
        if not self.crop_size:
            return (slice(None),) * 3
        room = shape[1] - self.crop_size, shape[2] - self.crop_size
        corner = random.integers(0, room, endpoint=True) if self.random_crop else (room[0] // 2, room[1] // 2)
        return (slice(None), *(slice(start, start + self.crop_size) for start in corner))

    def _check(self, shape):
        if min(shape[1:]) < self.crop_size:
            raise CaffeError("the image is %dx%d (height, width), smaller than crop_size %d; set a smaller crop_size, "
                             "or resize the images" % (*shape[1:], self.crop_size))
        if self.mean is not None and self.mean.shape != shape:
            raise CaffeError("the image has shape %s (channels, height, width), the mean_file %s; make the mean from "
                             "these images with caffe compute_image_mean" % (shape, self.mean.shape))
        if len(self.mean_values) not in (0, 1, shape[0]):
            raise CaffeError("%d mean_value for %d channels; give one, or one for each channel"
                             % (len(self.mean_values), shape[0]))


def read_mean(path):
    """The mean image (C, H, W), float32, of a binaryproto.  Raises CaffeError."""
    mean = read_blob(path)
    if mean.ndim not in (3, 4) or not mean.size or mean.size != np.prod(mean.shape[-3:]):
        raise CaffeError("mean_file %s: expected one image, as caffe compute_image_mean writes it, got shape %s"
                         % (path, mean.shape))
    return mean.reshape(mean.shape[-3:]).astype(np.float32)
