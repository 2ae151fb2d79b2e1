"""pycaffe's Detector: a net that classifies windows of images, as R-CNN does."""
import os

import numpy as np

from . import io
from .classifier import image_transformer
from .common import TEST, CaffeError
from .net import Net


class Detector(Net):
    """Detector(prototxt, caffemodel): a net with one square input of images, for `detect_windows`.

    context_pad: pixels of context around a window, in the input (R-CNN: 16); outside the image they have the
    mean.  mean, input_scale, raw_scale, channel_swap: see `caffe.io.Transformer`.
    """

    def __init__(self, model_file, pretrained_file, mean=None, input_scale=None, raw_scale=None, channel_swap=None,
                 context_pad=None):
        Net.__init__(self, model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows):
        """Classify windows: images_windows is [(image file, windows)], a window (ymin, xmin, ymax, xmax) in pixels.

        Returns a list of dicts: window, prediction (the first output's row), filename.
        """
        found = [(name, image, window) for name, windows in images_windows
                 for image in [io.load_image(name)] for window in np.asarray(windows)]
        if not found:
            raise CaffeError("detect_windows: there are no windows")
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, self.crop(image, window)) for _, image, window in found])
        rows = self.forward_all(**{name: data})[self.outputs[0]]
        return [{"window": window, "prediction": row.squeeze(), "filename": file}
                for (file, _, window), row in zip(found, rows)]

    def detect_selective_search(self, image_fnames):
        """Classify the windows of selective search, by the module `selective_search_ijcv_with_python` (MATLAB)."""
        try:
            import selective_search_ijcv_with_python as selective_search
        except ImportError:
            raise CaffeError("detect_selective_search: needs the module selective_search_ijcv_with_python on "
                             "PYTHONPATH; make windows in another way and call detect_windows") from None
        names = [os.path.abspath(name) for name in image_fnames]
        windows = selective_search.get_windows(names, cmd="selective_search_rcnn")
        return self.detect_windows(list(zip(image_fnames, windows)))

    def crop(self, im, window):
        """The window of an image (H, W, K), with the context set by `configure_crop`."""
        top, left, bottom, right = (int(x) for x in window)
        if not self.context_pad:
            return im[top:bottom, left:right]
        box, place = _context(window, im.shape[:2], self.crop_dims[0], self.context_pad)
        out = np.ones(self.crop_dims, np.float32) * self.crop_mean
        top, left, bottom, right = place
        part = im[box[0]:box[2], box[1]:box[3]]
        out[top:bottom, left:right] = io.resize_image(part, (bottom - top, right - left))
        return out

    def configure_crop(self, context_pad):
        """Set the pixels of context around a window, in the input; None or 0: the window only."""
        name = self.inputs[0]
        channels, *dims = self.blobs[name].shape[1:]
        self.crop_dims, self.context_pad = np.array([*dims, channels]), context_pad
        if context_pad:
            if dims[0] != dims[1] or dims[0] <= 2 * context_pad:
                raise CaffeError(f"Detector: context_pad {context_pad} needs a square input larger than twice that; "
                                 f"{name!r} is {dims[0]} x {dims[1]}")
            mean = self.transformer.mean.get(name)
            self.crop_mean = np.zeros(self.crop_dims, np.float32) if mean is None else self._mean_of_images()

    def _mean_of_images(self):
        """The transformer's mean as an image in the range that `load_image` gives."""
        name = self.inputs[0]
        mean, swap = self.transformer.mean[name], self.transformer.channel_swap.get(name)
        mean = mean if swap is None else mean[np.argsort(swap)]
        return mean.transpose(1, 2, 0) / (self.transformer.raw_scale.get(name) or 1)


def _context(window, im_dims, size, pad):
    """Box of the image to show, and its place in a square crop of `size`, as (top, left, bottom, right) each.

    The window is widened about its centre so that it fills the crop but for `pad` pixels on each side, then cut off at
    the image's border.
    """
    low, high = np.array(window[:2], float), np.array(window[2:], float)
    half = (high - low + 1) / 2
    scaled = half * size / (size - 2.0 * pad)
    low, high = np.round(low + half - scaled), np.round(low + half + scaled)
    scale = size / (high - low + 1)                                         # of the crop to the image
    start = np.round(np.maximum(0, -low) * scale).astype(int)
    low, high = (np.clip(x, 0, im_dims).astype(int) for x in (low, high))
    stop = np.minimum(start + np.round((high - low + 1) * scale).astype(int), size)
    return (*low, *high), (*start, *stop)
