#!/usr/bin/env python
"""Write a report of one training run, or of two side by side: one HTML page that needs no other file and no network.

    python tools/report.py output/fast_rcnn_ohem/digits_trainval
    python tools/report.py output/default output/fast_rcnn_ohem --out output/demo/report.html

RUN is a folder of training, output/<EXP_DIR> where that holds one training, or a folder of test results.
"""
import argparse
import os
from pathlib import Path

import _cli
from run_report.page import make_page
from run_report.runs import load_run, tell_apart
from utils.whole_file import whole_file


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', metavar='RUN', help="a run")
    parser.add_argument('other', metavar='RUN2', nargs='?', help="the run to hold it against")
    parser.add_argument('--out', metavar='FILE', help="the page (default: report.html in the folder of the last run)")
    parser.add_argument('--images', type=_cli.parse_count(0), default=24,
                        help="training images whose RoIs are ranked (default: 24)")
    parser.add_argument('--crops', type=_cli.parse_count(0), default=8, help="pictures of each kind (default: 8)")
    _cli.add_device_flags(parser, gpu='cpu')
    return parser.parse_args()


def main():
    args = parse_args()
    print("Called with args:\n%s" % args, flush=True)
    _cli.use_device(args)
    runs = [load_run(path) for path in (args.run, args.other) if path]
    tell_apart(runs)
    out = Path(args.out or runs[-1].folder / 'report.html')
    os.makedirs(out.parent, exist_ok=True)
    page = make_page(runs, max(1, args.images), args.crops)
    with whole_file(out, "w") as f:
        f.write(page)
    print("Wrote %s (%.1f MB)" % (out, len(page) / 2 ** 20))


if __name__ == '__main__':
    _cli.run(main)
