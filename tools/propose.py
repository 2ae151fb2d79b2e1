#!/usr/bin/env python
"""Make selective-search proposals for a data set, where training and testing will look for them."""
import argparse
import os

import _cli
from datasets.factory import get_imdb
from datasets.proposals import load_proposals
from datasets.propose import propose
from utils.errors import UserError
from utils.selective_search import MODES


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, epilog="A run that was ended goes on where it was.")
    parser.add_argument('--imdb', required=True, help="data set, or several joined by +, e.g. voc:data/mine@trainval")
    parser.add_argument('--mode', choices=MODES, default='fast', help="of selective search (default: fast)")
    parser.add_argument('--width', type=int, default=500, metavar='PIXELS',
                        help="scale wider images down to it for the search; 0: none (default: 500)")
    parser.add_argument('--workers', type=int, default=os.cpu_count(), metavar='N',
                        help="images at a time (default: one for each core, %(default)s)")
    parser.add_argument('--out', metavar='FILE', help="write this .mat (default: where the data set looks for it)")
    return _cli.parse(parser)


def main():
    args = parse_args()
    names = args.imdb.split('+')
    if args.out and (len(names) > 1 or not args.out.endswith('.mat')):
        raise UserError("--out %s: expected one .mat file, for one data set" % args.out)
    if args.workers < 1 or args.width < 0:
        raise UserError("--workers must be at least 1 and --width at least 0, got %d and %d"
                        % (args.workers, args.width))
    for imdb in [get_imdb(name) for name in names]:
        path = os.path.abspath(args.out or imdb.proposals_path)
        if os.path.exists(path):
            load_proposals(path, imdb.proposal_names())     # an error where it is of other images
            print("%s is there already, for the %d images of %s; remove it to make it again"
                  % (path, imdb.num_images, imdb.name))
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        print("Proposals of %s: %d images, mode %s, %d workers, into %s"
              % (imdb.name, imdb.num_images, args.mode, args.workers, path), flush=True)
        mean = propose(imdb, path, args.mode, args.width, args.workers)
        print("Wrote %s: %.0f boxes an image" % (path, mean), flush=True)


if __name__ == '__main__':
    _cli.run(main)
