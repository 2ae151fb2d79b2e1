"""The region layers' kernels on a device: seconds, torchvision's roi_pool where it is installed, the limit."""
import importlib.util

import numpy as np
import torch
from _inputs import SEED, random_boxes
from _report import Row
from caffe.kernels.roi.psroi_pooling import psroi_pooling_backward, psroi_pooling_forward
from caffe.kernels.roi.roi_pooling import roi_pooling_backward, roi_pooling_forward

CHANNELS, POOLED, SCALE = 512, 7, 1 / 16
CLASSES, GROUP = 21, 7


def rows(machine, sizes, repeats):
    """[Row] of RoI max pooling and position-sensitive pooling, forward and backward, float32 and bf16 features."""
    rng, height, width = np.random.default_rng(SEED), -(-sizes.height // 16), -(-sizes.width // 16)
    boxes = random_boxes(sizes.rois, sizes.height, sizes.width, rng)
    rois = torch.tensor(np.hstack((np.zeros((sizes.rois, 1), np.float32), boxes)), device=machine.device)
    found = []
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        if dtype == torch.float32 or machine.device.type == "cuda":
            features = torch.randn(1, CHANNELS, height, width, device=machine.device).to(dtype)
            found += _max_pooling(machine, features, rois, sizes.batch, name, repeats)
    maps = torch.randn(1, CLASSES * GROUP ** 2, height, width, device=machine.device)
    return found + _psroi_pooling(machine, maps, rois, repeats)


def _max_pooling(machine, features, rois, batch, name, repeats):
    """Forward over all RoIs without argmax, and forward and backward over `batch` as in OHEM's trained branch."""
    hard = rois[:batch]
    top, argmax = roi_pooling_forward(features, hard, POOLED, POOLED, SCALE)
    arms = {"readonly": lambda: roi_pooling_forward(features, rois, POOLED, POOLED, SCALE, False),
            "forward": lambda: roi_pooling_forward(features, hard, POOLED, POOLED, SCALE),
            "backward": lambda: roi_pooling_backward(top, hard, argmax, features.shape, SCALE)}
    peers = _torchvision(features, rois, hard, top)
    seconds = machine.seconds({**arms, **{"peer " + key: arm for key, arm in peers.items()}}, repeats)
    per_roi = top[:1].nbytes
    moved = {"readonly": len(rois) * per_roi, "forward": len(hard) * (per_roi + 4 * top[:1].numel())}
    moved["backward"] = moved["forward"]
    peer_is = "torchvision's roi_pool" if peers else "torchvision is not installed, or takes no %s" % name
    return [Row("gpu/roi_pooling/%s/%s" % (name, way), seconds[way], seconds.get("peer " + way), peer_is,
                machine.limit("float32", 0, moved[way] + features.nbytes),
                note="%d RoIs" % (len(rois) if way == "readonly" else len(hard))) for way in arms]


def _torchvision(features, rois, hard, top):
    """{way: function} of torchvision's kernel; empty where it is not installed, and in bf16, which it does not take."""
    if importlib.util.find_spec("torchvision") is None or features.dtype == torch.bfloat16:
        return {}
    from torchvision.ops import roi_pool
    rois, hard, leaf = rois.to(features.dtype), hard.to(features.dtype), features.clone().requires_grad_()
    pooled = roi_pool(leaf, hard, POOLED, SCALE)

    def all_rois():
        with torch.no_grad():
            return roi_pool(features, rois, POOLED, SCALE)
    return {"readonly": all_rois, "forward": lambda: roi_pool(leaf, hard, POOLED, SCALE),
            "backward": lambda: torch.autograd.grad(pooled, leaf, top, retain_graph=True)}


def _psroi_pooling(machine, maps, rois, repeats):
    top = psroi_pooling_forward(maps, rois, CLASSES, GROUP, SCALE)
    seconds = machine.seconds({"forward": lambda: psroi_pooling_forward(maps, rois, CLASSES, GROUP, SCALE),
                               "backward": lambda: psroi_pooling_backward(top, rois, maps.shape, SCALE)}, repeats)
    return [Row("gpu/psroi_pooling/float32/" + way, seconds[way],
                limit=machine.limit("float32", 0, top.nbytes + maps.nbytes), note="%d RoIs" % len(rois))
            for way in seconds]
