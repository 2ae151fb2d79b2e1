#!/usr/bin/env python
"""Write a report of one training run, or of two side by side: one HTML page that needs no other file and no network.

    python tools/report.py output/fast_rcnn_ohem/digits_trainval
    python tools/report.py output/default output/fast_rcnn_ohem --out output/demo/report.html

RUN is a folder of training, output/<EXP_DIR> where that holds one training, or a folder of test results.

Or write a page on a data set, to be looked at before training:

    python tools/report.py --data voc:data/mine
    python tools/report.py --data voc_2007_trainval

NAME is a DATASET of the scripts, of which the training set and the test set are shown, or an imdb.
"""
import argparse
from pathlib import Path

import _cli
from _pages import write, write_data_page
from run_report.analysis import analyse
from run_report.figures import draw_figures
from run_report.page import make_page
from run_report.pictures import jpeg
from run_report.runs import as_unicode, load_run, tell_apart
from run_report.summary import as_json, as_table, summarise
from utils.errors import UserError


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', metavar='RUN', nargs='?', help="a run")
    parser.add_argument('other', metavar='RUN2', nargs='?', help="the run to hold it against")
    parser.add_argument('--data', metavar='NAME', help="a data set to look at, instead of runs")
    parser.add_argument('--out', metavar='FILE',
                        help="the page (default: report.html in the folder of the last run, or of the data set)")
    parser.add_argument('--names', metavar='NAME', nargs='+',
                        help="names of the runs (default: their EXP_DIR)")
    parser.add_argument('--summary', metavar='FILE', help="also write scores, times and memory as JSON")
    parser.add_argument('--pictures', metavar='FOLDER',
                        help="also write detections.jpg, test images where the runs differ, and "
                             "hard_rois.jpg, what mining picks of a training image")
    parser.add_argument('--images', type=_cli.parse_count(0), default=24,
                        help="training images whose RoIs are ranked, or images of a set that are shown (default: 24)")
    parser.add_argument('--crops', type=_cli.parse_count(0), default=8, help="pictures of each kind (default: 8)")
    _cli.add_device_flags(parser, gpu='cpu')
    _cli.add_import_flag(parser)
    return _cli.parse(parser)


def load_runs(paths, names):
    """The Runs in the folders `paths`; names: None or a name for each."""
    if names and len(names) != len(paths):
        raise UserError(f"--names: expected {len(paths)}, one for each run, got {len(names)}: "
                        f"{' '.join(names)}; quote names with spaces")
    runs = [load_run(path) for path in paths]
    for run, name in zip(runs, names or ()):
        run.name = name
    tell_apart(runs)
    return runs


def write_pictures(analysis, folder):
    for name, image in draw_figures(analysis).items():
        path = Path(folder) / name
        if image is None:
            print(f"Not written: {path}, there is nothing to draw", flush=True)
        else:
            write(path, jpeg(image))


def main():
    args = parse_args()
    print("Called with args:\n%s" % args, flush=True)
    if bool(args.run) == bool(args.data):
        raise UserError("expected a RUN, or --data NAME; got both or none of them")
    if args.data:
        write_data_page(args.data, args.out, args.images)
        return
    _cli.use_device(args)
    runs = load_runs([path for path in (args.run, args.other) if path], args.names)
    analysis = analyse(runs, max(1, args.images))
    page = as_unicode(make_page(analysis, args.crops))
    write(args.out or runs[-1].folder / 'report.html', page.encode())
    if args.pictures:
        write_pictures(analysis, args.pictures)
    summary = summarise(runs)
    print(as_table(summary))
    if args.summary:        # the last file: make takes it for the finished demo
        write(args.summary, as_json(summary).encode())


if __name__ == '__main__':
    _cli.run(main)
