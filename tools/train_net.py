#!/usr/bin/env python
"""Train a Fast R-CNN detector on a data set, and write its snapshots and record below output/."""
import argparse
import inspect
import os
import time
from collections import namedtuple

import _cli
from datasets import by_name
from datasets.check import require_trainable
from fast_rcnn.config import cfg, get_output_dir
from fast_rcnn.prototxt import read_solver
from fast_rcnn.train import get_training_roidb, train_net
from training.fitting import snapshot_prefix
from training.record import RECORD, read_record
from training.run_folder import Run
from training.start_weights import weights_remedy
from utils.caffe_extensions import join, solver_count, solver_rank
from utils.errors import UserError

Joined = namedtuple('Joined', 'name classes num_classes')   # of several data sets, what output and record need


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--solver', required=True, metavar='FILE', help="solver prototxt")
    parser.add_argument('--iters', dest='max_iters', type=_cli.parse_count(0), default=40000,
                        help="iterations (default: 40000)")
    parser.add_argument('--weights', metavar='FILE', help="caffemodel to start from (default: the net's fillers)")
    parser.add_argument('--imdb', default='voc_2007_trainval',
                        help="data set, or several joined by +; your own: voc:PATH@SPLIT or "
                             "coco:ANNOTATIONS.json@IMAGES (default: voc_2007_trainval)")
    parser.add_argument('--rpn-file', dest='rpn_files', action='append', default=[], metavar='FILE',
                        help="the proposals, of tools/rpn_generate.py, with TRAIN.PROPOSAL_METHOD rpn; once for each "
                             "joined data set")
    parser.add_argument('--rand', action='store_true', help="take a fresh seed, not RNG_SEED")
    parser.add_argument('--resume', metavar='STATE',
                        help="continue from this state of the same training; auto: from its last one, if any")
    parser.add_argument('--leave-out', type=parse_fold, metavar='K/N',
                        help="leave out each N-th image, from number K on; tools/find_label_errors.py --folds uses it")
    parser.add_argument('--overwrite', action='store_true', help="replace another training in the output folder")
    _cli.add_common_flags(parser)
    return _cli.parse(parser)


def parse_fold(text):
    """(K, N) of K/N, 0 <= K < N and N >= 2."""
    k, slash, count = text.partition('/')
    if not (slash and k.isdecimal() and count.isdecimal() and int(k) < int(count) >= 2):
        raise argparse.ArgumentTypeError("expected K/N with K from 0 to N - 1 and N of 2 or more, got '%s'" % text)
    return int(k), int(count)


def without_fold(roidb, k, count):
    """The entries of all images but number k, k + count, k + 2 * count, ..."""
    number = {}
    for entry in roidb:
        number.setdefault(entry['image'], len(number))
    return [entry for entry in roidb if number[entry['image']] % count != k]


def load_imdb(names, rpn_files):
    """The data set `a`, or of `a+b` what the parts have in common; and the parts, with their proposals."""
    parts = by_name.split_names(names)
    wanted = len(parts) if cfg.TRAIN.PROPOSAL_METHOD == 'rpn' else 0
    if len(rpn_files) != wanted:
        raise UserError("--imdb %s with TRAIN.PROPOSAL_METHOD %s takes %d --rpn-file, got %d"
                        % (names, cfg.TRAIN.PROPOSAL_METHOD, wanted, len(rpn_files)))
    imdbs = [by_name.load_imdb(name) for name in parts]
    for imdb in imdbs[1:]:
        if [name.lower() for name in imdb.classes] != [name.lower() for name in imdbs[0].classes]:
            raise UserError("--imdb %s joins data sets with different classes, or in another order: %s has %s, %s has "
                            "%s; give them the same classes.txt, or the same categories"
                            % (names, imdbs[0].name, ' '.join(imdbs[0].classes[1:]), imdb.name,
                               ' '.join(imdb.classes[1:])))
    for imdb, rpn_file in zip(imdbs, rpn_files or [None] * len(imdbs)):
        imdb.config['rpn_file'] = rpn_file
        imdb.set_proposal_method(cfg.TRAIN.PROPOSAL_METHOD)
    if len(imdbs) == 1:
        return imdbs[0], imdbs
    return Joined('+'.join(imdb.name for imdb in imdbs), imdbs[0].classes, imdbs[0].num_classes), imdbs


def train_with_forks_own(args, roidb, output_dir):
    """Train with the train_net of a fork's own lib/fast_rcnn/train.py, which takes what the original's takes."""
    file = inspect.getsourcefile(train_net)
    if args.resume or solver_count() > 1:
        raise UserError("train_net is that of %s, a fork's own, which neither resumes nor trains in several processes; "
                        "leave out --resume and torchrun" % file)
    print("train_net is that of %s, a fork's own: it keeps no state to resume from, and no record" % file, flush=True)
    train_net(args.solver, roidb, output_dir, pretrained_model=args.weights, max_iters=args.max_iters)


def main():
    args, start = parse_args(), time.monotonic()
    _cli.take_rank()
    _cli.configure(args)
    _cli.need_file(args.solver, '--solver', "the models are in models/<dataset>/<NET>/<method>/solver.prototxt")
    if args.weights:
        _cli.need_file(args.weights, '--weights', weights_remedy(args.weights))
    _cli.seed(fresh=args.rand)
    imdb, parts = load_imdb(args.imdb, args.rpn_files)
    require_trainable(*parts)
    output_dir = get_output_dir(imdb)
    print("Output will be saved to %s" % output_dir, flush=True)
    with join().root_first():   # which leaves its caches to the other processes
        roidb = [entry for part in parts for entry in get_training_roidb(part)]
    if args.leave_out:
        roidb = without_fold(roidb, *args.leave_out)
    print("%d roidb entries" % len(roidb), flush=True)
    if 'run' not in inspect.signature(train_net).parameters:
        train_with_forks_own(args, roidb, output_dir)
        return
    paths = {'imdb': args.imdb, 'solver': args.solver, 'weights': args.weights}
    prefix = snapshot_prefix(read_solver(args.solver), cfg.TRAIN.SNAPSHOT_INFIX)
    facts = {**paths, 'iterations': args.max_iters, 'prefix': prefix, 'classes': imdb.classes}
    keys = [part.source_key() for part in parts]
    keys += ['without %d/%d' % args.leave_out] if args.leave_out else []
    run = Run(None if None in keys else '+'.join(keys), args.overwrite, args.rand, facts, paths)
    models = train_net(args.solver, roidb, output_dir, args.weights, args.max_iters, args.resume, imdb.classes, run)
    if solver_rank():
        return
    begun = read_record(output_dir)
    _cli.record_run(os.path.join(output_dir, RECORD), start, identity=begun['identity'], conditions=begun['conditions'],
                    **facts, model=models[-1])
    print("done solving", flush=True)


if __name__ == '__main__':
    _cli.run(main)
