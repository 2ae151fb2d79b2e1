#!/usr/bin/env python
"""Find labels that are probably wrong, from what a training with mining saw and what its net detects.

    python tools/find_label_errors.py output/fast_rcnn_ohem/digits_trainval
    python tools/find_label_errors.py output/fast_rcnn_ohem/mine_trainval --write

RUN is the folder of a training with OHEM (TRAIN.LOSS_LEDGER, which is on, keeps the losses of each object and of
background that is mined).  It writes, to RUN/label_errors or --out, suspects.csv (all suspects by falling score) and
suspects.html (pieces of the images, to look through).  --folds K trains K nets more, each without one of K parts of
the images, and detects in each part with the net that has not seen its labels; it takes K times the time of the
training.  --write adds copies of the annotations with a note at each suspect; the originals stay as they are.
docs/own_data.md says what the columns mean and how far to trust them.
"""
import argparse
import csv
import os
import shlex
import subprocess
import sys
from dataclasses import astuple, fields

import _classes
import _cli
import _detector
import caffe
import numpy as np
from datasets.by_name import load_imdb
from datasets.ground_truth import object_rows
from fast_rcnn.config import cfg, nets_dir, output_path
from fast_rcnn.finite import FiniteCheck
from fast_rcnn.prototxt import adapt_net
from label_errors.notes import write_notes
from label_errors.page import suspects_page
from label_errors.suspects import KINDS, LEAST_SCORE, Suspect, find_suspects, ledger_of
from run_report.verdicts import load_truth
from training.record import read_record
from training.resume import last_state, read_ledger, stem_of
from utils.errors import UserError
from utils.images import read_image
from utils.progress import progress
from utils.whole_file import whole_file

PLACE = ('x1', 'y1', 'x2', 'y2')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', metavar='RUN', help="folder of a training, output/<EXP_DIR>/<imdb>")
    parser.add_argument('--out', metavar='FOLDER', help="where the results go (default: RUN/label_errors)")
    parser.add_argument('--imdb', help="data set whose labels are looked at (default: the one that was trained on)")
    parser.add_argument('--crops', type=_cli.parse_count(1), default=60,
                        help="pictures of each kind on the page (default: 60)")
    parser.add_argument('--all', action='store_true',
                        help="list every object and region, however low its score, to measure other orders")
    parser.add_argument('--folds', type=_cli.parse_count(2), metavar='K',
                        help="train a net without each of K parts of the images, and detect there with it")
    parser.add_argument('--write', action='store_true', help="write copies of the annotations with notes")
    parser.add_argument('--def', dest='prototxt', metavar='FILE', help="prototxt of the test net (default: the run's)")
    _cli.add_common_flags(parser)
    return _cli.parse(parser)


def load_ledger(run):
    """(caffemodel, arrays of the loss ledger) of the last state of a run."""
    state = last_state(run)
    if state is None:
        raise UserError(f"{run} holds no state of a training (*.solverstate); give the folder of a training with OHEM")
    ledger = read_ledger(state)
    if not ledger:
        raise UserError(f"{state} has no loss ledger: the net does not mine, TRAIN.LOSS_LEDGER was False, or an older "
                        "version trained it; train with OHEM: experiments/scripts/fast_rcnn_ohem.sh")
    return stem_of(state) + '.caffemodel', ledger


def load_net(model, prototxt, num_classes):
    """The test net of a caffemodel."""
    net = caffe.Net(adapt_net(prototxt, num_classes, nets_dir()), str(model), caffe.TEST)
    _detector.use_config_of(net, range(num_classes))
    return net


def numbers_of(paths, imdb):
    """{path in the ledger: number of the image in imdb}; by file names where the folder was moved."""
    here = {imdb.image_path_at(i): i for i in range(imdb.num_images)}
    if not any(path in here for path in paths):
        here = {os.path.basename(path): i for path, i in here.items()}
        return {path: here[os.path.basename(path)] for path in paths if os.path.basename(path) in here}
    return {path: here[path] for path in paths if path in here}


def objects_of(roidb):
    """(boxes (G, 4) float64, classes (G,)) of each entry."""
    rows = [object_rows(entry) for entry in roidb]
    return [(entry['boxes'][own].astype(np.float64), entry['gt_classes'][own]) for entry, own in zip(roidb, rows)]


def fold_command(record, k, count):
    """(words of the command that trains without fold k of count, its EXP_DIR), of the command of the run."""
    words, exp_dir = shlex.split(record['command']), '%s_without_%d_of_%d' % (record['config']['EXP_DIR'], k, count)
    kept = [word for before, word in zip(words, words[1:])
            if word not in ('--resume', '--overwrite') and before != '--resume']
    flags = ['--resume', 'auto', '--leave-out', '%d/%d' % (k, count)]
    settings = [] if '--set' in kept else ['--set']
    return [sys.executable, kept[0], *flags, *kept[1:], *settings, 'EXP_DIR', exp_dir], exp_dir


def train_fold(run, record, k, count):
    """The caffemodel of a training like that of `run`, without fold k; one that was done before is not done again."""
    command, exp_dir = fold_command(record, k, count)
    print('Fold %d of %d: %s' % (k + 1, count, shlex.join(command)), flush=True)
    if subprocess.run(command).returncode:
        raise UserError('the training without fold %d of %d failed, see above; the same command goes on' % (k, count))
    return stem_of(last_state(output_path(exp_dir, os.path.basename(os.path.normpath(run))))) + '.caffemodel'


def detect_in_folds(args, record, prototxt, imdb):
    """As detect_all, each image by a net that was trained without it."""
    found = [None] * imdb.num_images
    for k in range(args.folds):
        net = load_net(train_fold(args.run, record, k, args.folds), prototxt, imdb.num_classes)
        held_out = range(k, imdb.num_images, args.folds)
        for i, dets in zip(held_out, detect_all(net, imdb, held_out)):
            found[i] = dets
    return found


def detect_all(net, imdb, images):
    """(n, 6) [x1 y1 x2 y2 score class] of each of the images, scores from 0.05."""
    finite, found = FiniteCheck(net), []
    for i in progress(images, 'detect', len(images), 'images'):
        entry, path = imdb.roidb[i], imdb.image_path_at(i)
        boxes = None if cfg.TEST.HAS_RPN else entry['boxes'][entry['gt_classes'] == 0]
        with finite.image(path):
            dets = _detector.image_detections(net, read_image(path), boxes, 0.05, 100)
        rows = [np.column_stack((own, np.full(len(own), c))) for c, own in enumerate(dets) if len(own)]
        found.append(np.concatenate([np.zeros((0, 6)), *rows]))
    return found


def write_table(path, suspects, imdb):
    """suspects.csv: a row for each suspect by falling score; boxes in 0-based pixels."""
    rest = [field.name for field in fields(Suspect)][6:]
    with whole_file(path, 'w') as f:
        writer = csv.writer(f)
        writer.writerow(['rank', 'kind', 'score', 'image', 'label', 'suggested', *PLACE, *rest])
        for rank, suspect in enumerate(suspects, start=1):
            label, suggested = ('' if c == 0 else imdb.classes[c] for c in (suspect.label, suspect.suggested))
            numbers = ['' if value != value else f'{value:.6g}' for value in astuple(suspect)[6:]]
            writer.writerow([rank, suspect.kind, f'{suspect.score:.4f}', imdb.image_index[suspect.image], label,
                             suggested, *suspect.box, *numbers])


def main():
    args = parse_args()
    record = read_record(args.run)
    name = args.imdb or record.get('imdb')
    if not name:
        raise UserError(f"{args.run} has no run.json that names its data set; give it with --imdb")
    model, ledger = load_ledger(args.run)
    _detector.use_training_config(record)
    _cli.configure(args)
    imdb = load_imdb(name)
    classes = _classes.net_classes(model, None)
    if classes and tuple(classes) != tuple(imdb.classes):
        raise UserError(f"{name} has other classes than the net {model}; give the data set of the training by --imdb")
    prototxt = args.prototxt or _detector.find_prototxt(None, model, record)
    net = load_net(model, prototxt, imdb.num_classes)
    if not cfg.TEST.HAS_RPN:
        imdb.set_proposal_method(record.get('config', {}).get('TRAIN', {}).get('PROPOSAL_METHOD', 'selective_search'))
    seen = ledger_of(ledger, imdb.num_images, numbers_of(ledger['paths'].tolist(), imdb))
    objects = objects_of(imdb.roidb)
    detections = (detect_in_folds(args, record, prototxt, imdb) if args.folds
                  else detect_all(net, imdb, range(imdb.num_images)))
    _, truths = load_truth(name)
    suspects = find_suspects(objects, detections, seen, dict.fromkeys(KINDS, -1.0) if args.all else LEAST_SCORE,
                             [truth.boxes[truth.ignored] for truth in truths])
    out = args.out or os.path.join(args.run, 'label_errors')
    os.makedirs(out, exist_ok=True)
    write_table(os.path.join(out, 'suspects.csv'), suspects, imdb)
    with whole_file(os.path.join(out, 'suspects.html'), 'w') as f:
        f.write(suspects_page(f"Suspects among the labels of {imdb.name}", suspects, imdb, objects, args.crops))
    if args.write:
        count = write_notes(os.path.join(out, 'annotations'), suspects, imdb)
        print(f"Wrote {count} annotation files with notes to {os.path.join(out, 'annotations')}")
    counts = ', '.join(f"{sum(suspect.kind == kind for suspect in suspects)} {kind}" for kind in KINDS)
    print(f"{len(suspects)} suspects ({counts}) of {sum(len(c) for _, c in objects)} objects in {imdb.num_images} "
          f"images: {os.path.join(out, 'suspects.html')} and suspects.csv")


if __name__ == '__main__':
    _cli.run(main)
