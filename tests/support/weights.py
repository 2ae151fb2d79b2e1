"""Weights for nets that were not trained."""
import caffe
import numpy as np
from fast_rcnn.prototxt import adapt_net


def write_random_weights(prototxt, path, num_classes=3, seed=1):
    """A caffemodel for a test net of num_classes classes whose scores vary from RoI to RoI; returns `path`."""
    net = caffe.Net(adapt_net(prototxt, num_classes, str(path.parent)), caffe.TEST)
    rng = np.random.default_rng(seed)
    for weights, *biases in net.params.values():
        fan_in = weights.count // weights.shape[0]
        weights.data[...] = rng.normal(size=weights.shape, scale=np.sqrt(2 / fan_in))
        for bias in biases:
            bias.data[...] = rng.normal(size=bias.shape, scale=0.1)
    net.save(str(path))
    return path
