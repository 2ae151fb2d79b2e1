#!/usr/bin/env python
"""Recall of a data set's proposals: the share of its objects that they cover, by IoU and by the objects' area."""
import argparse

import _cli
import numpy as np
from datasets import by_name
from datasets.check import tell_images_without_objects
from datasets.ground_truth import AREA_RANGES
from fast_rcnn.config import cfg_from_list
from utils.errors import UserError

THRESHOLDS = np.arange(0.5, 0.951, 0.05)
SHOWN = range(0, len(THRESHOLDS), 2)        # 0.5, 0.6, ... 0.9


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--imdb', dest='imdb_name', default='voc_2007_test', help="data set (default: voc_2007_test)")
    parser.add_argument('--method', help="proposals: selective_search, rpn, gt, ... (default: selective_search, or rpn "
                                         "with --rpn-file)")
    parser.add_argument('--rpn-file', metavar='FILE', help="proposals of --method rpn: .mat, .npz or .json (.pkl with "
                                                           "--set TRUST_PICKLE True)")
    parser.add_argument('--limit', type=_cli.parse_count(0), metavar='N',
                        help="use only the first N proposals of an image")
    _cli.add_import_flag(parser)
    parser.add_argument('--set', dest='set_cfgs', nargs=argparse.REMAINDER, default=[], metavar='KEY VALUE',
                        help="settings one by one; takes the rest of the line")
    return _cli.parse(parser)


def load_imdb(args):
    """The data set with the proposals that the flags name."""
    cfg_from_list(args.set_cfgs)
    method = args.method or ('rpn' if args.rpn_file else 'selective_search')
    if args.rpn_file and method != 'rpn':
        raise UserError("--rpn-file %s is read by --method rpn only, got --method %s" % (args.rpn_file, method))
    if method == 'rpn':
        _cli.need_file(args.rpn_file, '--rpn-file', "name the file of the boxes")
    imdb = by_name.load_imdb(args.imdb_name)
    imdb.config['rpn_file'] = args.rpn_file
    imdb.set_proposal_method(method)
    return imdb, method


def table(imdb, limit, candidates=None):
    """Lines: for each range of areas the objects, the mean recall over THRESHOLDS and the recall at the SHOWN ones."""
    lines = ["%-8s %8s %8s" % ("area", "objects", "average") + "".join("%8.2f" % THRESHOLDS[k] for k in SHOWN)]
    for area in AREA_RANGES:
        result = imdb.evaluate_recall(candidates, THRESHOLDS, area, limit)
        cells = [result["ar"]] + [result["recalls"][k] for k in SHOWN]
        lines.append("%-8s %8d " % (area, len(result["gt_overlaps"]))
                     + "".join("%8s" % ("-" if np.isnan(cell) else "%.3f" % cell) for cell in cells))
    return lines


def main():
    args = parse_args()
    print("Called with args:\n%s" % args, flush=True)
    imdb, method = load_imdb(args)
    tell_images_without_objects(imdb, imdb.roidb, share=1)
    candidates = [entry["boxes"] for entry in imdb.roidb] if method == 'gt' else None
    boxes = candidates or [entry["boxes"][entry["gt_classes"] == 0] for entry in imdb.roidb]
    counts = [len(b[:args.limit]) for b in boxes]
    print("Method: %s, %d images of %s, %.0f proposals each (%d to %d)"
          % (method, len(counts), imdb.name, np.mean(counts), min(counts), max(counts)))
    print("\n".join(table(imdb, args.limit, candidates)))


if __name__ == '__main__':
    _cli.run(main)
