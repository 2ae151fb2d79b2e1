#!/usr/bin/env python
"""Make data/imagenet_models/SqueezeNet.caffemodel from the file that SqueezeNet v1.0's authors publish.

    data/scripts/fetch_imagenet_models.sh squeezenet        # data/imagenet_models/squeezenet_v1.0.caffemodel
    python tools/convert_squeezenet.py

The layers get the names of models/pascal_voc/SqueezeNet: fire2/squeeze1x1 becomes fire2/conv1x1_1, fire2/expand1x1
fire2/conv1x1_2, fire2/expand3x3 fire2/conv3x3_2.  The weights stay as they are.
"""
import argparse
import os

import _cli
import caffe
from caffe.proto import caffe_pb2
from fast_rcnn.config import cfg
from google.protobuf.message import DecodeError
from utils.errors import UserError
from utils.whole_file import whole_file

FOLDER = os.path.join(cfg.DATA_DIR, "imagenet_models")
NET = os.path.join(cfg.ROOT_DIR, "models", "pascal_voc", "SqueezeNet", "fast_rcnn", "test.prototxt")
NAMES = {"squeeze1x1": "conv1x1_1", "expand1x1": "conv1x1_2", "expand3x3": "conv3x3_2"}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('caffemodel', nargs='?', metavar='FILE',
                        default=os.path.join(FOLDER, "squeezenet_v1.0.caffemodel"),
                        help="the published file (default: data/imagenet_models/squeezenet_v1.0.caffemodel)")
    parser.add_argument('--out', default=os.path.join(FOLDER, "SqueezeNet.caffemodel"), metavar='FILE',
                        help="caffemodel to write (default: data/imagenet_models/SqueezeNet.caffemodel)")
    return parser.parse_args()


def read_model(path):
    """The NetParameter in a caffemodel."""
    model = caffe_pb2.NetParameter()
    try:
        with open(path, "rb") as f:
            model.ParseFromString(f.read())
    except DecodeError:
        raise UserError(f"{path} is not a caffemodel, or is cut off; fetch it again: "
                        "data/scripts/fetch_imagenet_models.sh squeezenet --force") from None
    return model


def own_name(name):
    """fire2/squeeze1x1 -> fire2/conv1x1_1; other names stay."""
    fire, _, layer = name.rpartition("/")
    return f"{fire}/{NAMES[layer]}" if fire and layer in NAMES else name


def check_layers(path, model):
    """UserError unless the model has every layer of the trunk in its shape."""
    found = {layer.name: [tuple(blob.shape.dim) for blob in layer.blobs] for layer in model.layer}
    caffe.set_mode_cpu()
    for name, blobs in caffe.Net(NET, caffe.TEST).params.items():
        if not name.startswith(("conv1", "fire")):      # the trunk
            continue
        wanted = [blob.data.shape for blob in blobs]
        if found.get(name) != wanted:
            raise UserError(f"{path}: layer {name} has shapes {found.get(name)}, SqueezeNet v1.0's has {wanted}; fetch "
                            "the file of v1.0, not v1.1")


def main():
    args = parse_args()
    _cli.need_file(args.caffemodel, 'FILE', "fetch it: data/scripts/fetch_imagenet_models.sh squeezenet")
    model = read_model(args.caffemodel)
    for layer in model.layer:
        layer.name = own_name(layer.name)
    check_layers(args.caffemodel, model)
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    with whole_file(args.out) as f:
        f.write(model.SerializeToString())
    print(f"Wrote {args.out}: SqueezeNet v1.0 for BGR images minus 104, 117, 123")


if __name__ == '__main__':
    _cli.run(main)
