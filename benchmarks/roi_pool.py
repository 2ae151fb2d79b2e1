"""RoI pooling of 2000 RoIs on 512 channels, 6 x 6 and 7 x 7, against torch's adaptive_max_pool2d RoI by RoI.

The layer is measured: with argmax (trained through), without (the read-only branch; pooled as distinct regions, and its
blob read in full), and its backward.
"""
import caffe
import numpy as np
import torch
import torch.nn.functional as F
from _inputs import SEED, random_boxes
from _machine import limit_seconds
from _report import Row
from _timing import interleaved
from caffe.proto import caffe_pb2
from google.protobuf import text_format

CHANNELS = 512
NET = """
force_backward: %s
layer { name: "features" type: "Input" top: "features" input_param { shape { dim: 1 dim: %d dim: %d dim: %d } } }
layer { name: "rois" type: "Input" top: "rois" input_param { shape { dim: %d dim: 5 } } }
layer { name: "pool" type: "ROIPooling" bottom: "features" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_w: %d pooled_h: %d spatial_scale: 0.0625 } }
"""


def cases(sizes):
    """{case name: function of the settings}."""
    return {"roi_pooling/%dx%d" % (size, size): lambda settings, size=size: _measure(settings, size) for size in (6, 7)}


def _measure(settings, size):
    sizes, rng = settings.sizes, np.random.default_rng(SEED)
    features = rng.standard_normal((1, CHANNELS, -(-sizes.height // 16), -(-sizes.width // 16)), dtype=np.float32)
    boxes = random_boxes(sizes.rois, sizes.height - 8, sizes.width - 8, rng)    # no cell beyond the map: torch's rule
    rois = np.hstack((np.zeros((sizes.rois, 1), np.float32), boxes))
    training, reading = (_net(features, rois, size, backward) for backward in (True, False))
    peer, expected = _Peer(features, rois, size), training.forward()["pool"]
    if not np.array_equal(expected, peer.forward().numpy()):
        raise RuntimeError("RoI pooling: ours and adaptive_max_pool2d differ")
    training.blobs["pool"].diff[...] = rng.standard_normal(expected.shape, dtype=np.float32)
    diff = torch.tensor(training.blobs["pool"].diff)
    seconds = interleaved({"forward": training.forward_from_to, "readonly": lambda: _read_in_full(reading),
                           "peer forward": peer.forward, "backward": training.backward_from_to,
                           "peer backward": lambda: peer.backward(diff)}, settings.repeats)
    return list(_rows(settings, size, seconds, expected.nbytes, features.nbytes))


def _rows(settings, size, seconds, top_bytes, feature_bytes):
    """Bytes: the features once and the top once, with the argmax as much again; backward reads both."""
    for way, moved in (("forward", 2), ("readonly", 1), ("backward", 2)):
        peer = "peer backward" if way == "backward" else "peer forward"
        how = "scatter_add of all RoIs" if way == "backward" else "adaptive_max_pool2d RoI by RoI"
        yield Row("roi_pooling/%dx%d/%s" % (size, size, way), seconds[way], seconds[peer], how,
                  limit_seconds(0, moved * top_bytes + feature_bytes), note="limit: bytes moved at the copy rate")
    yield Row("roi_pooling/%dx%d/backward to forward" % (size, size), seconds["backward"], seconds["forward"],
              "our forward", target=1)


def _read_in_full(net):
    net.forward_from_to()
    return net.blobs["pool"].tensor


def _net(features, rois, size, backward):
    text = NET % (str(backward).lower(), *features.shape[1:], len(rois), size, size)
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TRAIN if backward else caffe.TEST)
    net.blobs["features"].data[...] = features
    net.blobs["rois"].data[...] = rois
    return net


class _Peer:
    """torch only: crop, pool, and where each maximum was, so that backward is one scatter over all RoIs."""

    def __init__(self, features, rois, size):
        self.features, self.size, self.width = torch.tensor(features), size, features.shape[3]
        self.cells = torch.floor(torch.tensor(rois[:, 1:]) / 16 + 0.5).long().tolist()

    def forward(self):
        """(R, C, size, size); keeps the flat cell of each maximum."""
        tops, places = zip(*[self._pool(*cells) for cells in self.cells])
        self.places = torch.stack(places)
        return torch.stack(tops)

    def _pool(self, x1, y1, x2, y2):
        crop = self.features[0, :, y1:y2 + 1, x1:x2 + 1]
        top, place = F.adaptive_max_pool2d(crop, self.size, return_indices=True)
        width = crop.shape[2]
        return top, (place // width + y1) * self.width + place % width + x1

    def backward(self, diff):
        """The diff of the features, (1, C, H, W)."""
        channels = self.features.shape[1]
        flat = torch.zeros(channels, self.features[0, 0].numel())
        order = (1, 0, 2, 3)        # (R, C, size, size) -> (C, R * size * size)
        places, diff = (x.permute(order).reshape(channels, -1) for x in (self.places, diff))
        flat.scatter_add_(1, places, diff)
        return flat.view_as(self.features)
