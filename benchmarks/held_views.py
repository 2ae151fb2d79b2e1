"""What held numpy views cost: VGG16's convolutions on one image, with and without views of its blobs."""
import time

import caffe
from _inputs import SEED, image_blob
from _ours import feed, he_weights
from _report import Row
from _timing import Seconds, interleaved
from conv_trunk import trunk_param

TARGET = 1.05
HELD = {"conv1_2": ["conv1_2"], "conv5_3": ["conv5_3"], "all": None}     # the largest blob, the last one, every one


def cases(sizes):
    """{case name: function of the settings}."""
    return {"views/VGG16": _measure}


def _measure(settings):
    """A row for one held view of each of two blobs, and for views of all blobs."""
    data = {"data": image_blob(settings.sizes.height, settings.sizes.width)}
    caffe.set_random_seed(SEED)
    net = caffe.Net(trunk_param(data), caffe.TEST)
    feed(net, data)
    he_weights(net)
    arms = {name: _holding(net, list(net.blobs) if blobs is None else blobs) for name, blobs in HELD.items()}
    seconds = interleaved({"none": _holding(net, []), **arms}, settings.repeats)
    return [Row("views/VGG16/%s" % name, seconds[name], seconds["none"], "no view is held",
                target=None if name == "all" else TARGET) for name in HELD]


def _holding(net, names):
    """A pass as a function that tells its seconds, while views of the blobs are held."""
    def run():
        views = [net.blobs[name].data for name in names]
        start = time.perf_counter()
        net.forward_from_to()
        seconds = Seconds(time.perf_counter() - start)
        del views
        return seconds
    return run
