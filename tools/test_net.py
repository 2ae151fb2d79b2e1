#!/usr/bin/env python
"""Test a Fast R-CNN detector on a data set: detections and average precisions, written below output/."""
import argparse
import os
import time

import _classes
import _cli
import caffe
from datasets.by_name import load_imdb
from datasets.content_hash import file_hash
from fast_rcnn.config import cfg, get_output_dir
from fast_rcnn.prototxt import adapt_net
from fast_rcnn.test import test_net
from utils.caffe_extensions import solver_rank


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--def', dest='prototxt', required=True, metavar='FILE', help="prototxt of the test net")
    parser.add_argument('--net', dest='caffemodel', required=True, metavar='FILE', help="caffemodel to test")
    parser.add_argument('--imdb', default='voc_2007_test', help="data set (default: voc_2007_test)")
    _cli.add_wait_flag(parser)
    parser.add_argument('--comp', dest='comp_mode', action='store_true', help="competition mode: keep the result files")
    parser.add_argument('--vis', action='store_true', help="show the detections of each image")
    parser.add_argument('--num_dets', dest='max_per_image', type=_cli.parse_count(0), default=100,
                        help="detections kept of an image, over all classes (default: 100)")
    parser.add_argument('--det_thresh', type=_cli.parse_number, default=0.05,
                        help="lowest score of a detection (default: 0.05)")
    _classes.add_classes_flag(parser)
    _cli.add_common_flags(parser)
    return _cli.parse(parser)


def main():
    args, start = parse_args(), time.monotonic()
    _cli.take_rank()
    _cli.configure(args)
    _cli.seed()
    if args.wait:
        _cli.wait_for(args.caffemodel)
    _cli.need_file(args.prototxt, '--def', "the models are in models/<dataset>/<NET>/<method>/test.prototxt")
    _cli.need_file(args.caffemodel, '--net', "train one with experiments/scripts/fast_rcnn_ohem.sh")
    imdb = load_imdb(args.imdb)
    imdb.competition_mode(args.comp_mode)
    if not cfg.TEST.HAS_RPN:
        imdb.set_proposal_method(cfg.TEST.PROPOSAL_METHOD)
    name = os.path.splitext(os.path.basename(args.caffemodel))[0]
    output_dir = os.path.join(get_output_dir(imdb), name)
    print("Results go to %s" % output_dir, flush=True)
    classes, _ = _classes.classes_for(imdb, args.caffemodel, args.classes)
    net = caffe.Net(adapt_net(args.prototxt, imdb.num_classes, output_dir), args.caffemodel, caffe.TEST)
    net.name = name
    # A fork's own test_net may not take them.
    other = {} if tuple(classes) == tuple(imdb.classes) else {'classes': classes}
    test_net(net, imdb, max_per_image=args.max_per_image, thresh=args.det_thresh, vis=args.vis, **other)
    if solver_rank():
        return
    _cli.record_run(os.path.join(output_dir, 'run.json'), start, imdb=args.imdb, caffemodel=args.caffemodel,
                    caffemodel_hash=file_hash(args.caffemodel),
                    prototxt=args.prototxt, num_dets=args.max_per_image, det_thresh=args.det_thresh)


if __name__ == '__main__':
    _cli.run(main)
