#!/usr/bin/env python
"""Score detections again that tools/test_net.py has written; the net is not run."""
import argparse
import os

import _cli
from datasets.by_name import load_imdb
from datasets.check import tell_images_without_objects
from fast_rcnn.config import cfg, cfg_from_list
from fast_rcnn.detections import DETECTIONS_FILE, load_detections
from fast_rcnn.test import apply_nms
from utils.errors import UserError


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('output_dir', help="folder of test_net.py's results")
    parser.add_argument('--imdb', dest='imdb_name', default='voc_2007_test', help="data set (default: voc_2007_test)")
    parser.add_argument('--matlab', dest='matlab_eval', action='store_true', help="also score with the MATLAB devkit")
    parser.add_argument('--comp', dest='comp_mode', action='store_true', help="competition mode: keep the result files")
    parser.add_argument('--nms', dest='apply_nms', action='store_true', help="apply NMS (TEST.NMS) to them first")
    _cli.add_import_flag(parser)
    parser.add_argument('--set', dest='set_cfgs', nargs=argparse.REMAINDER, default=[], metavar='KEY VALUE',
                        help="settings one by one, such as TEST.NMS 0.2; takes the rest of the line")
    return _cli.parse(parser)


def main():
    args = parse_args()
    print("Called with args:\n%s" % args, flush=True)
    cfg_from_list(args.set_cfgs)
    path = os.path.join(args.output_dir, DETECTIONS_FILE)
    if not os.path.isfile(path):
        raise UserError("%s: no such file; give the folder that tools/test_net.py calls 'Results go to'" % path)
    imdb = load_imdb(args.imdb_name)
    imdb.competition_mode(args.comp_mode)
    if args.matlab_eval:
        imdb.config['matlab_eval'] = True
    all_boxes = load_detections(path, imdb)
    if args.apply_nms:
        print("Applying NMS at %g to all detections" % cfg.TEST.NMS)
        all_boxes = apply_nms(all_boxes, cfg.TEST.NMS)
    if imdb.annotated:
        tell_images_without_objects(imdb, imdb.gt_roidb(), share=1)
    print("Evaluating detections", flush=True)
    imdb.evaluate_detections(all_boxes, args.output_dir)


if __name__ == '__main__':
    _cli.run(main)
