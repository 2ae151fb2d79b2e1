#!/usr/bin/env python
"""Write a trained net for other programs: ONNX, or a PyTorch state_dict with the module that reads it.

    python tools/export.py --def models/.../test.prototxt --net output/.../net.caffemodel --to onnx --out net.onnx
    python tools/export.py --def models/.../test.prototxt --net output/.../net.caffemodel --to torch --out net.pth

Both nets then run on the same random image and RoIs; outputs that differ by more than --tolerance are an error.
"""
import argparse
import json
import os

import _classes
import _cli
import _nets
from utils.caffe_extensions import exporters
from utils.errors import UserError

WRITERS = {"onnx": ("to_onnx", ".onnx"), "torch": ("to_torch", ".pth")}     # of caffe.export


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--def', dest='prototxt', required=True, metavar='FILE', help="prototxt of the test net")
    parser.add_argument('--net', dest='caffemodel', required=True, metavar='FILE', help="its weights")
    parser.add_argument('--to', choices=sorted(WRITERS), required=True, help="what to write")
    parser.add_argument('--out', required=True, metavar='FILE',
                        help="NAME.onnx, or NAME.pth (the module goes to NAME.py)")
    parser.add_argument('--tolerance', type=_cli.parse_number, default=1e-4, metavar='X',
                        help="largest difference allowed, relative to the output's largest value (default: 1e-4)")
    parser.add_argument('--num_rois', type=_cli.parse_count(1), default=64, metavar='N',
                        help="RoIs of the comparison (default: 64)")
    _classes.add_classes_flag(parser)
    return _cli.parse(parser)


def check_args(args):
    """UserError for files that are not there, or an --out of the wrong ending or folder."""
    _cli.need_file(args.prototxt, '--def', "the models are in models/<dataset>/<NET>/<method>/test.prototxt")
    _cli.need_file(args.caffemodel, '--net', "train one with experiments/scripts/fast_rcnn_ohem.sh")
    ending = WRITERS[args.to][1]
    if not args.out.endswith(ending):
        raise UserError("--out %s: --to %s writes a file that ends in %s" % (args.out, args.to, ending))
    folder = os.path.dirname(args.out) or "."
    if not os.path.isdir(folder):
        raise UserError("--out %s: there is no folder %s; make it" % (args.out, folder))


def metadata(caffemodel, classes):
    """The metadata of the file: "classes", a JSON list of names, the background first."""
    if classes is None:
        print("%s has no class names, so the file has none either; set them with --classes FILE" % caffemodel)
        return {}
    print("Classes: %s" % ", ".join(classes))
    return {"classes": json.dumps(classes, ensure_ascii=False)}


def compare(net, path, num_rois, tolerance):
    """Print how far each output of the file is from the net's; UserError above the tolerance."""
    differences = exporters().largest_differences(net, path, _nets.random_inputs(net, num_rois))
    for name, (difference, largest) in differences.items():
        print("%s: largest difference %.2g, largest value %.2g" % (name, difference, largest))
    far = [name for name, (difference, largest) in differences.items() if not difference <= tolerance * largest]
    if far:
        raise UserError("%s: outputs %s differ from the net's by more than --tolerance %g of their largest value"
                        % (path, ", ".join(far), tolerance))


def main():
    args = parse_args()
    check_args(args)
    classes = _classes.net_classes(args.caffemodel, args.classes)
    net, _ = _nets.load_test_net(args.prototxt, args.caffemodel, classes)
    write = getattr(exporters(), WRITERS[args.to][0])
    source = write(net, args.out, metadata(args.caffemodel, classes))
    print("Wrote %s%s" % (args.out, " and %s" % source if source else ""))
    compare(net, args.out, args.num_rois, args.tolerance)


if __name__ == '__main__':
    _cli.run(main)
