"""What the tools that turn one net into another share: test nets by their weights, and inputs to try them on."""
import caffe
import numpy as np
from fast_rcnn.class_names import count_classes
from fast_rcnn.config import nets_dir
from fast_rcnn.finite import REMEDY, weights_not_finite
from fast_rcnn.prototxt import adapt_net
from utils.errors import UserError


def load_test_net(prototxt, caffemodel, classes):
    """(the net with its weights in TEST, the number of its classes or None).

    classes: by name, which fit the prototxt to their number; None: to what the caffemodel says.
    UserError for weights that are not finite.
    """
    count = len(classes) if classes else count_classes(caffemodel)
    net = caffe.Net(adapt_net(prototxt, count, nets_dir()) if count else str(prototxt), str(caffemodel), caffe.TEST)
    layer = weights_not_finite(net)
    if layer:
        raise UserError(f"{caffemodel}: layer {layer} has weights that are not finite; {REMEDY}")
    return net, count


def random_inputs(net, num_rois, seed=3):
    """{input: array} for a test net: noise for an image and its im_info, boxes within and across its borders."""
    rng = np.random.default_rng(seed)
    inputs = {name: rng.uniform(-120, 130, net.blobs[name].data.shape).astype(np.float32) for name in net.inputs}
    height, width = inputs["data"].shape[2:]
    if "im_info" in inputs:
        inputs["im_info"][...] = height, width, 1
    if "rois" in inputs:
        inputs["rois"] = random_rois(rng, num_rois, height, width)
    return inputs


def random_rois(rng, count, height, width):
    """(count, 5) float32 [0 x1 y1 x2 y2], pixels; some reach beyond the image, corners fall on half cells too."""
    x = np.sort(rng.uniform(-0.2 * width, 1.5 * width, (count, 2)), axis=1)
    y = np.sort(rng.uniform(-0.2 * height, 1.5 * height, (count, 2)), axis=1)
    rois = np.stack((np.zeros(count), x[:, 0], y[:, 0], x[:, 1], y[:, 1]), axis=1)
    rois[count // 2:] = np.round(rois[count // 2:] / 8) * 8
    return rois.astype(np.float32)
