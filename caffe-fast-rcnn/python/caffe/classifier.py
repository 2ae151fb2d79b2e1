"""pycaffe's Classifier: a net that classifies images."""
import numpy as np

from . import io
from .common import TEST
from .net import Net


class Classifier(Net):
    """Classifier(prototxt, caffemodel): a net with one input of images and its Transformer, for `predict`.

    image_dims: (height, width) to which images are resized before cropping to the input's size; default: the input's
    size.  mean, input_scale, raw_scale, channel_swap: see `caffe.io.Transformer`.  Images are (H, W, K) in 0..1, as
    returned by `caffe.io.load_image`.
    """

    def __init__(self, model_file, pretrained_file, image_dims=None, mean=None, input_scale=None, raw_scale=None,
                 channel_swap=None):
        Net.__init__(self, model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else np.array(image_dims)

    def predict(self, inputs, oversample=True):
        """Probabilities of the classes for each image of a list.

        oversample: average over ten crops (corners, centre, and their mirror images); False: the centre crop only.
        Returns (N, classes): the first output, each of its rows flattened where crops were averaged.
        """
        images = np.stack([io.resize_image(image, self.image_dims) for image in inputs])     # (N, H, W, K)
        crops = io.oversample(images, self.crop_dims) if oversample else self._centre(images)
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        predictions = self.forward_all(**{name: data})[self.outputs[0]]
        if oversample:
            predictions = predictions.reshape(len(images), 10, -1).mean(1)
        return predictions

    def _centre(self, images):
        top, left = ((self.image_dims - self.crop_dims) / 2).astype(int)
        height, width = self.crop_dims
        return images[:, top:top + height, left:left + width]


def image_transformer(net, mean=None, input_scale=None, raw_scale=None, channel_swap=None):
    """The Transformer of a net whose first input takes images."""
    name = net.inputs[0]
    transformer = io.Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer
