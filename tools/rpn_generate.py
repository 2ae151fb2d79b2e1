#!/usr/bin/env python
"""Make the proposals of a region proposal network for a data set: a file that --rpn-file of other tools reads."""
import argparse
import os
import time

import _cli
import caffe
import numpy as np
from datasets.by_name import load_imdb
from datasets.proposals import save_proposals
from fast_rcnn.config import cfg, get_output_dir
from rpn.generate import imdb_proposals
from utils.errors import UserError


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--def', dest='prototxt', required=True, metavar='FILE',
                        help="prototxt of the RPN, models/<dataset>/<NET>/faster_rcnn_alt_opt/rpn_test.pt")
    parser.add_argument('--net', dest='caffemodel', required=True, metavar='FILE', help="its caffemodel")
    parser.add_argument('--imdb', default='voc_2007_test', help="data set (default: voc_2007_test)")
    _cli.add_wait_flag(parser)
    parser.add_argument('--out', metavar='FILE',
                        help="write this .npz (default: output/<EXP_DIR>/<data set>/<caffemodel>_proposals.npz)")
    _cli.add_common_flags(parser)
    return _cli.parse(parser)


def main():
    args, start = parse_args(), time.monotonic()
    cfg.TEST.RPN_PRE_NMS_TOP_N = 0          # unless the user says otherwise: look at every anchor
    cfg.TEST.RPN_POST_NMS_TOP_N = 2000
    _cli.configure(args)
    if args.wait:
        _cli.wait_for(args.caffemodel)
    _cli.need_file(args.prototxt, '--def', "the models are in models/<dataset>/<NET>/faster_rcnn_alt_opt/rpn_test.pt")
    _cli.need_file(args.caffemodel, '--net', "train one with tools/train_faster_rcnn_alt_opt.py")
    if args.out and not args.out.endswith('.npz'):
        raise UserError("--out %s: expected a .npz file" % args.out)
    imdb = load_imdb(args.imdb)
    stem = os.path.splitext(os.path.basename(args.caffemodel))[0]
    path = os.path.abspath(args.out or os.path.join(get_output_dir(imdb), stem + '_proposals.npz'))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    net = caffe.Net(args.prototxt, args.caffemodel, caffe.TEST)
    box_list = imdb_proposals(net, imdb)
    save_proposals(path, imdb, box_list)
    print("Wrote %.0f proposals an image to %s, in %.0f s"
          % (np.mean([len(boxes) for boxes in box_list]), path, time.monotonic() - start), flush=True)


if __name__ == '__main__':
    _cli.run(main)
