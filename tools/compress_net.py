#!/usr/bin/env python
"""Compress a trained net by truncated SVD: fully connected layers as products of two thin ones (Fast R-CNN, 3.1).

    python tools/compress_net.py --def models/pascal_voc/VGG16/fast_rcnn/test.prototxt --net output/.../x.caffemodel \\
        --def-svd compressed.prototxt --ranks fc6=1024 fc7=256

Layer fc6 of weights (O, I) becomes fc6_L, weights (rank, I) without a bias, and fc6_U, weights (O, rank) with fc6's
bias.  Where the file of --def-svd exists its ranks hold; else it is written, with --ranks.  The weights go beside those
given, named after the ranks: x_svd_fc6_1024_fc7_256.caffemodel.  Both nets then run on the same random image and RoIs.
"""
import argparse
import os
import time

import _classes
import _cli
import _nets
import caffe
import numpy as np
from fast_rcnn.class_names import write_class_names
from fast_rcnn.config import nets_dir
from fast_rcnn.prototxt import adapt_net, read_net, set_num_classes, write_prototxt
from utils.errors import UserError

DEFAULT_RANKS = ["fc6=1024", "fc7=256"]     # of VGG16 in the paper, table 6


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--def', dest='prototxt', required=True, metavar='FILE', help="prototxt of the full test net")
    parser.add_argument('--def-svd', dest='prototxt_svd', required=True, metavar='FILE',
                        help="prototxt of the compressed net; written where it does not exist")
    parser.add_argument('--net', dest='caffemodel', required=True, metavar='FILE', help="weights of the full net")
    parser.add_argument('--ranks', nargs='+', metavar='LAYER=RANK', default=DEFAULT_RANKS,
                        help="what to compress, when --def-svd is written (default: %s)" % ' '.join(DEFAULT_RANKS))
    parser.add_argument('--num_rois', type=_cli.parse_count(1), default=1000, metavar='N',
                        help="RoIs of the trial (default: 1000)")
    _classes.add_classes_flag(parser)
    _cli.add_device_flags(parser, gpu='cpu')
    return _cli.parse(parser)


# ---- the prototxt

def parse_ranks(words):
    """["fc6=1024"] -> {"fc6": 1024}"""
    ranks = {}
    for word in words:
        name, _, rank = word.rpartition("=")
        if not (name and rank.isdecimal() and int(rank) > 0):
            raise UserError("--ranks %s: expected LAYER=RANK with a positive rank, such as fc6=1024" % word)
        ranks[name] = int(rank)
    return ranks


def split_layers(net_param, ranks, shapes):
    """Replace, in place, each InnerProduct layer X of `ranks` by X_L and X_U.

    shapes: {layer: (O, I)} of the weights, which bound the ranks.
    """
    for name, rank in ranks.items():
        i = next((i for i, layer in enumerate(net_param.layer) if layer.name == name), None)
        if i is None or net_param.layer[i].type != "InnerProduct":
            known = [layer.name for layer in net_param.layer if layer.type == "InnerProduct"]
            raise UserError("--ranks: %s is no InnerProduct layer of the net; those are %s" % (name, ", ".join(known)))
        if rank > min(shapes[name]):
            raise UserError("--ranks: rank %d of %s is above %d, the most its weights of %d x %d can have"
                            % (rank, name, min(shapes[name]), *shapes[name]))
        layers = list(net_param.layer)
        del net_param.layer[:]
        net_param.layer.extend(layers[:i] + list(thin_layers(layers[i], rank)) + layers[i + 1:])


def thin_layers(layer, rank):
    """The LayerParameters X_L and X_U of an InnerProduct layer X."""
    low, up = type(layer)(), type(layer)()
    for thin, ending in ((low, "_L"), (up, "_U")):
        thin.CopyFrom(layer)
        thin.name = layer.name + ending
        del thin.param[:]
    low.inner_product_param.num_output, low.inner_product_param.bias_term = rank, False
    low.inner_product_param.ClearField("bias_filler")
    low.top[0] = up.bottom[0] = low.name
    return low, up


def compressed_prototxt(args, net, classes):
    """Path of the compressed net's prototxt, of `classes` classes; writes --def-svd where it is missing."""
    if not os.path.exists(args.prototxt_svd):
        net_param = read_net(args.prototxt)
        if classes:
            set_num_classes(net_param, classes)
        split_layers(net_param, parse_ranks(args.ranks), {name: blobs[0].shape for name, blobs in net.params.items()})
        write_prototxt(net_param, os.path.abspath(args.prototxt_svd))
        print("Wrote %s" % args.prototxt_svd)
    return adapt_net(args.prototxt_svd, classes, nets_dir()) if classes else args.prototxt_svd


# ---- the weights

def compress_weights(weights, rank):
    """weights (O, I) ~ up (O, rank) x low (rank, I), the nearest of all such products; and the energy kept, 0 .. 1."""
    u, s, v = np.linalg.svd(weights, full_matrices=False)       # (O, K), (K,), (K, I)
    kept = float((s[:rank].astype(np.float64) ** 2).sum() / max((s.astype(np.float64) ** 2).sum(), 1e-300))
    return u[:, :rank], s[:rank, np.newaxis] * v[:rank], kept


def compress(net, net_svd):
    """Fill X_L and X_U of net_svd from X of `net`; returns {X: rank}."""
    ranks = {}
    for name, (weights, *biases) in net.params.items():
        if not {name + "_L", name + "_U"} <= set(net_svd.params):
            continue
        low, up = net_svd.params[name + "_L"][0], net_svd.params[name + "_U"]
        ranks[name] = low.shape[0]
        up[0].data[...], low.data[...], kept = compress_weights(weights.data, ranks[name])
        for bias, source in zip(up[1:], biases):
            bias.data[...] = source.data
        print("%s: rank %d of %d, %.2f %% of the energy, %d of %d weights"
              % (name, ranks[name], min(weights.shape), 100 * kept, low.count + up[0].count, weights.count))
    if not ranks:
        raise UserError("the compressed net has no layer X_L and X_U for a layer X of the full one; expected such as "
                        "fc6_L and fc6_U")
    return ranks


# ---- the trial

def run_once(net, inputs):
    """(outputs {name: array}, seconds) of a forward pass; the second of two, so that memory is there."""
    for name, array in inputs.items():
        net.blobs[name].reshape(*array.shape)
    net.forward(**inputs)
    start = time.perf_counter()
    outputs = {name: array.copy() for name, array in net.forward(**inputs).items()}
    return outputs, time.perf_counter() - start


def compare(net, net_svd, num_rois):
    """Print how long both take and how far the outputs are from each other."""
    inputs = _nets.random_inputs(net, num_rois)
    (full, seconds), (thin, seconds_svd) = run_once(net, inputs), run_once(net_svd, inputs)
    print("One forward of %d RoIs: %.1f ms, compressed %.1f ms" % (num_rois, 1e3 * seconds, 1e3 * seconds_svd))
    for name, array in full.items():
        if array.shape != thin[name].shape or not array.size:
            print("%s: of shape %s, compressed %s: other proposals" % (name, array.shape, thin[name].shape))
            return
        print("%s: largest difference %.2g, largest value %.2g"
              % (name, np.abs(array - thin[name]).max(), np.abs(array).max()))
    if "cls_prob" in full:
        same = np.mean(full["cls_prob"].argmax(axis=1) == thin["cls_prob"].argmax(axis=1))
        print("cls_prob: the same class wins in %.1f %% of the RoIs" % (100 * same))


def main():
    args = parse_args()
    _cli.need_file(args.prototxt, '--def', "the models are in models/<dataset>/<NET>/<method>/test.prototxt")
    _cli.need_file(args.caffemodel, '--net', "train one with experiments/scripts/fast_rcnn_ohem.sh")
    _cli.use_device(args)
    names = _classes.net_classes(args.caffemodel, args.classes)
    net, count = _nets.load_test_net(args.prototxt, args.caffemodel, names)
    net_svd = caffe.Net(compressed_prototxt(args, net, count), caffe.TEST)
    net_svd.copy_from(args.caffemodel)
    ranks = compress(net, net_svd)
    stem = os.path.splitext(args.caffemodel)[0]
    out = "%s_svd_%s.caffemodel" % (stem, "_".join("%s_%d" % (name, rank) for name, rank in ranks.items()))
    net_svd.save(out)
    write_class_names(out, names)
    print("Wrote %s" % out)
    compare(net, net_svd, args.num_rois)


if __name__ == '__main__':
    _cli.run(main)
