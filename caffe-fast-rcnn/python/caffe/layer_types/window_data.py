"""WindowData: R-CNN's samples, boxes of images warped to squares."""
import math

import numpy as np

from ..common import CaffeError
from ..layer import register
from ..util.data_transformer import read_mean
from ..util.datum_images import decode_image, resize_image
from ..util.image_list import read_bytes
from ..util.window_file import read_window_file
from .prefetching import PrefetchingLayer


@register("WindowData")
class WindowDataLayer(PrefetchingLayer):
    """top 0: windows (batch_size, 3, crop_size, crop_size); top 1: their labels (batch_size), 0 for the background.

    layer { name: "data" type: "WindowData" top: "data" top: "label"
            window_data_param { source: "windows.txt" batch_size: 128 fg_threshold: 0.5 bg_threshold: 0.5
                                fg_fraction: 0.25 context_pad: 16 crop_mode: "warp" }
            transform_param { mirror: true crop_size: 227 mean_file: "mean.binaryproto" } }

    util/window_file.py describes source.  A batch holds random windows of the background (overlap below bg_threshold),
    then fg_fraction of batch_size random windows of objects (fg_threshold or above).  The scale that has an effect is
    that of window_data_param, as in Caffe.
    """

    def open_source(self):
        param, transform = self.layer_param.window_data_param, self.layer_param.transform_param
        self.param, self.crop_size, self.mirror = param, transform.crop_size, transform.mirror
        self.batch_size = self.positive_batch_size(param)
        self._check_settings(param, transform)
        try:
            images, channels, windows = read_window_file(param.source)
            self.mean = self._read_mean(transform)
        except CaffeError as e:
            self.fail(str(e))
        if channels != 3:
            self.fail("source %s: images of %d channels; expected 3, as they are read in color"
                      % (param.source, channels))
        self.images, self.cache = [param.root_folder + name for name in images], {}
        self.objects = [w for w in windows if w.overlap >= param.fg_threshold]
        limit = min(param.bg_threshold, param.fg_threshold)
        self.background = [w._replace(label=0) for w in windows if w.overlap < limit]
        self._check_windows()

    def _check_settings(self, param, transform):
        if self.crop_size <= 2 * param.context_pad:
            self.fail("crop_size %d with context_pad %d; expected a crop_size above twice the context_pad"
                      % (self.crop_size, param.context_pad))
        if param.crop_mode not in ("warp", "square"):
            self.fail("crop_mode is %r; expected warp or square" % param.crop_mode)
        if transform.mean_file and transform.mean_value:
            self.fail("mean_file and mean_value are both given; give one of them")
        self.warn_of(param, "mean_file", "crop_size", "mirror")
        self.warn_of(transform, "scale", "force_color", "force_gray")

    def _read_mean(self, transform):
        """(3, crop_size, crop_size) or (C, 1, 1): the middle of the mean image, the values, or 0."""
        if not transform.mean_file:
            values = np.array(transform.mean_value or [0], np.float32).reshape(-1, 1, 1)
            if len(values) not in (1, 3):
                raise CaffeError("%d mean_value for 3 channels; give one, or one for each channel" % len(values))
            return values
        mean, size = read_mean(transform.mean_file), self.crop_size
        start = (mean.shape[2] - size) // 2
        middle = mean[:, start:start + size, start:start + size] if start >= 0 else mean
        if middle.shape != (3, size, size):
            raise CaffeError("mean_file %s: shape %s does not contain 3 channels of crop_size %d"
                             % (transform.mean_file, mean.shape, size))
        return middle

    def _check_windows(self):
        for what, windows in (("objects (overlap %g or above)" % self.param.fg_threshold, self.objects),
                              ("the background (overlap below %g)" % self.param.bg_threshold, self.background)):
            if not windows:
                self.fail("source %s: holds no windows of %s" % (self.param.source, what))
        for window in self.objects:
            if window.label <= 0:
                self.fail("source %s: a window of an object in image %d has label %d; expected 1 or above"
                          % (self.param.source, window.image, window.label))

    def load(self, position):
        random = self.random(*position)
        objects = int(np.float32(self.batch_size) * np.float32(self.param.fg_fraction))
        chosen = [(pool[random.integers(len(pool))], self.mirror and bool(random.integers(2)))
                  for pool, count in ((self.background, self.batch_size - objects), (self.objects, objects))
                  for _ in range(count)]
        images = np.zeros((self.batch_size, 3, self.crop_size, self.crop_size), np.float32)
        for out, (window, mirrored) in zip(images, chosen):
            self._warp(window, mirrored, out)
        labels = np.array([window.label for window, _ in chosen], np.float32)
        return (images, labels), [position[0] + 1]

    def _warp(self, window, mirrored, out):
        """Write the window, minus the mean and scaled, into `out`; the padding stays 0."""
        path = self.images[window.image]
        image = self._image(path)
        try:
            region, top, left, height, width = self._region(window.box, mirrored, image.shape[:2])
        except CaffeError as e:
            self.fail("%s: window %s: %s" % (path, window.box, e))
        warped = resize_image(image[region], height, width)
        warped = warped[:, ::-1] if mirrored else warped
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        mean = self.mean[place] if self.mean.shape[1] > 1 else self.mean
        out[place] = (warped.transpose(2, 0, 1).astype(np.float32) - mean) * np.float32(self.param.scale)

    def _image(self, path):
        """The image (H, W, 3), blue first; its file's bytes stay in memory with cache_images."""
        data = self.cache.get(path) or read_bytes(path)
        if self.param.cache_images:
            self.cache[path] = data
        try:
            image = decode_image(data, 3)
        except CaffeError as e:
            self.fail("%s: %s" % (path, e))
        if image is None:
            self.fail("%s: cannot be read, or is not an image; see root_folder %r and the source %s"
                      % (path, self.param.root_folder, self.param.source))
        return image

    def _region(self, box, mirrored, size):
        """(slices of the image, top, left, height, width of where it goes in the square) of a window."""
        if not self.param.context_pad and self.param.crop_mode == "warp":
            return _slices(box, size), 0, 0, self.crop_size, self.crop_size
        x1, y1, x2, y2 = self._with_context(box)
        scale_x = np.float32(self.crop_size) / np.float32(x2 - x1 + 1)
        scale_y = np.float32(self.crop_size) / np.float32(y2 - y1 + 1)
        outside = max(0, -x1), max(0, -y1), max(0, x2 - size[1] + 1), max(0, y2 - size[0] + 1)
        x1, y1, x2, y2 = x1 + outside[0], y1 + outside[1], x2 - outside[2], y2 - outside[3]
        region = _slices((x1, y1, x2, y2), size)
        left = _round(np.float32(outside[2 if mirrored else 0]) * scale_x)
        top = _round(np.float32(outside[1]) * scale_y)
        width = min(_round(np.float32(x2 - x1 + 1) * scale_x), self.crop_size - left)
        height = min(_round(np.float32(y2 - y1 + 1) * scale_y), self.crop_size - top)
        return region, top, left, height, width

    def _with_context(self, box):
        """The box, grown so that context_pad pixels on each side are context after the warp; may leave the image."""
        x1, y1, x2, y2 = box
        grow = np.float32(self.crop_size) / np.float32(self.crop_size - 2 * self.param.context_pad)
        half_w, half_h = np.float32((x2 - x1 + 1) / 2), np.float32((y2 - y1 + 1) / 2)
        center_x, center_y = np.float32(x1) + half_w, np.float32(y1) + half_h
        if self.param.crop_mode == "square":
            half_w = half_h = max(half_w, half_h)
        return (_round(center_x - half_w * grow), _round(center_y - half_h * grow),
                _round(center_x + half_w * grow), _round(center_y + half_h * grow))


def _slices(box, size):
    x1, y1, x2, y2 = box
    if not (0 <= x1 <= x2 < size[1] and 0 <= y1 <= y2 < size[0]):
        raise CaffeError("it is not inside the image of %dx%d (height, width); boxes are x1 y1 x2 y2, from 0" % size)
    return slice(y1, y2 + 1), slice(x1, x2 + 1)


def _round(value):
    """As C's round: halves go away from 0."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
