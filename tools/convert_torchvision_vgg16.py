#!/usr/bin/env python
"""Make data/imagenet_models/VGG16.v2.caffemodel from torchvision's ImageNet VGG16.

    data/scripts/fetch_imagenet_models.sh torchvision           # data/imagenet_models/vgg16-397923af.pth
    python tools/convert_torchvision_vgg16.py

torchvision's net sees (RGB / 255 - mean) / std, Fast R-CNN's BGR - PIXEL_MEANS; what differs goes into conv1_1.
Inside the image the two are equal.  On its outermost pixels conv1_1 sees the zeros of its padding, which are
torchvision's mean colour there and PIXEL_MEANS here, up to 0.9 grey levels apart: on photographs conv5_3 differs near
the border by at most 0.2 % of its largest value, elsewhere by 1e-6.
"""
import argparse
import os

import _cli
import _init_paths
import caffe
import numpy as np
import torch
from fast_rcnn.config import cfg
from utils.errors import UserError

FOLDER = os.path.join(cfg.DATA_DIR, "imagenet_models")
DEPLOY = str(_init_paths.ROOT / "models" / "imagenet" / "VGG16" / "deploy.prototxt")
# torchvision.models.vgg16's layers that have weights, in the order of the deploy net's
SOURCES = ["features.%d" % i for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
SOURCES += ["classifier.%d" % i for i in (0, 3, 6)]
MEAN_RGB, STD_RGB = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])    # of torchvision's transforms


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('state_dict', nargs='?', metavar='FILE', default=os.path.join(FOLDER, "vgg16-397923af.pth"),
                        help="torchvision's state_dict (default: data/imagenet_models/vgg16-397923af.pth)")
    parser.add_argument('--out', default=os.path.join(FOLDER, "VGG16.v2.caffemodel"), metavar='FILE',
                        help="caffemodel to write (default: data/imagenet_models/VGG16.v2.caffemodel)")
    return parser.parse_args()


def load_state_dict(path):
    """{name: tensor}; UserError for what is no such file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:      # torch raises many kinds, by where the file is broken
        raise UserError("%s: not a PyTorch state_dict, or cut off (%s); fetch it again: data/scripts/"
                        "fetch_imagenet_models.sh torchvision --force" % (path, str(e).split("\n")[0])) from e
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError("%s: expected a state_dict {name: tensor}, got a %s" % (path, type(state).__name__))
    return state


def check_names(path, state):
    """UserError unless the state_dict has the layers of VGG16 and no others."""
    wanted = {"%s.%s" % (name, kind) for name in SOURCES for kind in ("weight", "bias")}
    missing, foreign = sorted(wanted - set(state)), sorted(set(state) - wanted)
    if missing or foreign:
        raise UserError("%s: not torchvision's VGG16 (vgg16, not vgg16_bn): %s"
                        % (path, "no %s in it" % missing[0] if missing else "%s is none of its" % foreign[0]))


def fill_net(net, path, state):
    """Put the state_dict into the net's parameters; empties `state` as it goes, for the memory."""
    for source, (name, blobs) in zip(SOURCES, net.params.items()):
        for kind, blob in zip(("weight", "bias"), blobs):
            array = state.pop("%s.%s" % (source, kind)).float().numpy()
            if array.shape != blob.shape:
                raise UserError("%s: %s.%s has shape %s, VGG16's %s has %s"
                                % (path, source, kind, array.shape, name, blob.shape))
            if not np.isfinite(array).all():
                raise UserError("%s: %s.%s holds nan or inf (as torchvision's IMAGENET1K_FEATURES file does, which "
                                "has no classifier); use vgg16-397923af.pth" % (path, source, kind))
            blob.data[...] = array


def fold_input(weights, bias, pixel_means):
    """conv1_1 of torchvision -> the same for BGR - pixel_means (3,).  weights (64, 3, 3, 3), bias (64,).

    w (rgb / 255 - mean) / std + b = w' (rgb - pixel_means) + b',  w' = w / (255 std),
    b' = b + sum of w' (pixel_means - 255 mean) over the kernel.
    """
    scaled = weights.astype(np.float64) / (255 * STD_RGB)[:, np.newaxis, np.newaxis]
    shift = pixel_means[::-1] - 255 * MEAN_RGB                                  # RGB
    return scaled[:, ::-1], bias + np.einsum("ocij,c->o", scaled, shift)


def main():
    args = parse_args()
    _cli.need_file(args.state_dict, 'FILE', "fetch it: data/scripts/fetch_imagenet_models.sh torchvision")
    state = load_state_dict(args.state_dict)
    check_names(args.state_dict, state)
    net = caffe.Net(DEPLOY, caffe.TEST)
    fill_net(net, args.state_dict, state)
    weights, bias = net.params["conv1_1"]
    weights.data[...], bias.data[...] = fold_input(weights.data, bias.data, cfg.PIXEL_MEANS.ravel())
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    net.save(args.out)
    print("Wrote %s: VGG16 for BGR images minus %s" % (args.out, cfg.PIXEL_MEANS.ravel().tolist()))


if __name__ == '__main__':
    _cli.run(main)
