#!/usr/bin/env python
"""Make selective-search proposals for a data set, where training and testing will look for them."""
import argparse
import os

import _cli
from datasets.by_name import load_imdb, split_names
from datasets.proposals import find_proposals
from datasets.propose import MODE, SAME_AS, WIDTHS, propose
from utils.errors import UserError
from utils.selective_search import MODES


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, epilog="An interrupted run continues where it stopped. "
                                     "After images were added or replaced, only their boxes are made.")
    parser.add_argument('--imdb', required=True, help="data set, or several joined by +, e.g. voc:data/mine@trainval")
    parser.add_argument('--mode', choices=(*MODES, *SAME_AS),
                        help="of selective search (default: that of the existing file, otherwise %s)" % MODE)
    parser.add_argument('--width', type=int, metavar='PIXELS',
                        help="scale wider images down to it for the search; 0: none "
                             "(default: that of the file that is there, otherwise %d for compact and %d for the others)"
                             % (WIDTHS[MODE], WIDTHS['fast']))
    parser.add_argument('--workers', type=int, default=os.cpu_count(), metavar='N',
                        help="images at a time (default: one for each core, %(default)s)")
    parser.add_argument('--out', metavar='FILE', help="write this .mat (default: where the data set looks for it)")
    _cli.add_import_flag(parser)
    return _cli.parse(parser)


def main():
    args = parse_args()
    names = split_names(args.imdb)
    if args.out and (len(names) > 1 or not args.out.endswith('.mat')):
        raise UserError("--out %s: expected one .mat file, for one data set" % args.out)
    if args.workers < 1 or (args.width or 0) < 0:
        raise UserError("--workers must be at least 1 and --width at least 0, got %d and %s"
                        % (args.workers, args.width))
    for imdb in [load_imdb(name) for name in names]:
        path = os.path.abspath(args.out or _place(imdb))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        propose(imdb, path, args.mode, args.width, args.workers)


def _place(imdb):
    """Where the data set looks for proposals; UserError where a file of another format is there."""
    path = find_proposals(os.path.splitext(imdb.proposals_path)[0])
    if not path.endswith('.mat'):
        raise UserError("%s has its proposals in %s; move it away to make others" % (imdb.name, path))
    return path


if __name__ == '__main__':
    _cli.run(main)
