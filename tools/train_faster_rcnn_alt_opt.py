#!/usr/bin/env python
"""Train Faster R-CNN by alternating optimisation: RPN and Fast R-CNN in turns, in four stages.

1. RPN from the given weights; its proposals of the training set.
2. Fast R-CNN on these proposals, from the given weights.
3. RPN on the trunk of 2, which learns no more; its proposals.
4. Fast R-CNN on these, on the same trunk.

Every stage is a process of its own, tools/train_net.py or tools/rpn_generate.py, with its command in the log and its
output in output/<EXP_DIR>/stage<1 or 2>_<rpn or fast_rcnn>/<data set>; the last one's model is copied to
output/<EXP_DIR>/<data set>/<NET>_faster_rcnn_final.caffemodel.
"""
import argparse
import glob
import os
import shlex
import shutil
import sys
import time
from collections import namedtuple

import _cli
from datasets.by_name import load_imdb, split_names
from datasets.content_hash import file_hash
from fast_rcnn.config import cfg, cfg_from_file, cfg_from_list
from fast_rcnn.prototxt import read_solver
from training.fitting import fit_solver
from training.folder_lock import only_training_in
from training.identity import identify
from training.record import RECORD, describe_run, read_record, write_record
from training.run_folder import begun, drop_previous, require_own_folder
from utils.caffe_extensions import join
from utils.errors import UserError
from utils.launch import call
from utils.whole_file import whole_file

TOOLS = os.path.dirname(os.path.abspath(__file__))
RPN_SETTINGS = ['TRAIN.HAS_RPN', 'True', 'TRAIN.PROPOSAL_METHOD', 'gt', 'TRAIN.BBOX_REG', 'False', 'TRAIN.USE_OHEM',
                'False', 'TRAIN.IMS_PER_BATCH', '1']
FAST_RCNN_SETTINGS = ['TRAIN.HAS_RPN', 'False', 'TRAIN.PROPOSAL_METHOD', 'rpn']
Stage = namedtuple('Stage', 'number kind solver iters')     # kind: rpn or fast_rcnn


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--net_name', required=True, metavar='NET',
                        help="a folder below models/*/, e.g. ZF, with faster_rcnn_alt_opt in it; with TRAIN.USE_OHEM "
                             "the nets are those of faster_rcnn_alt_opt_ohem")
    parser.add_argument('--iters', type=parse_iters, default=parse_iters('40000'), metavar='N',
                        help="iterations of the Fast R-CNN stages, the RPN stages have twice as many; or those of each "
                             "stage: N,N,N,N (default: 40000)")
    parser.add_argument('--weights', metavar='FILE', help="caffemodel to start from (default: the nets' fillers)")
    parser.add_argument('--imdb', default='voc_2007_trainval', help="data set, or several joined by + "
                                                                    "(default: voc_2007_trainval)")
    parser.add_argument('--resume', choices=['auto'], help="auto: go on where an earlier run of this command stopped")
    parser.add_argument('--overwrite', action='store_true', help="replace another training in the output folder")
    _cli.add_common_flags(parser)
    return _cli.parse(parser)


def parse_iters(text):
    """'N' or 'N,N,N,N' -> iterations of the four stages."""
    try:
        numbers = [int(word) for word in text.split(',')]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 4) or min(numbers) < 1:
        raise argparse.ArgumentTypeError("expected one number or four, joined by commas, got %r" % text)
    return numbers if len(numbers) == 4 else [2 * numbers[0], numbers[0]] * 2


def models_folder(net_name):
    """The folder of the net's prototxts; one below cfg.MODELS_DIR comes first."""
    method = 'faster_rcnn_alt_opt_ohem' if cfg.TRAIN.USE_OHEM else 'faster_rcnn_alt_opt'
    for parent in (glob.escape(cfg.MODELS_DIR), os.path.join(glob.escape(cfg.ROOT_DIR), 'models', '*')):
        found = glob.glob(os.path.join(parent, glob.escape(net_name), method))
        if found:
            return found[0]
    raise UserError("--net_name %s: there is no folder models/*/%s/%s" % (net_name, net_name, method))


def stages_of(folder, iters):
    """The four stages, in the order they run in."""
    stages = []
    for (number, kind), count in zip(((1, 'rpn'), (1, 'fast_rcnn'), (2, 'rpn'), (2, 'fast_rcnn')), iters):
        found = glob.glob(os.path.join(glob.escape(folder), 'stage%d_%s_solver*.pt' % (number, kind)))
        if len(found) != 1:
            raise UserError("%s: expected one stage%d_%s_solver*.pt, found %d" % (folder, number, kind, len(found)))
        stages.append(Stage(number, kind, found[0], count))
    return stages


class Alternation:
    """The commands of a run, and where their results lie.

    Its record has the hash of every result, so that a resumed run does again what is missing or another, and all that
    follows from it.
    """

    def __init__(self, args, folder, stages):
        self.args, self.folder, self.stages = args, folder, stages
        self.imdbs = [load_imdb(name) for name in split_names(args.imdb)]
        self.names = [imdb.name for imdb in self.imdbs]
        self.overwrite, self.record = args.overwrite, {}
        self.known, self.done = {}, {}      # {result: hash}, of the run before and of this one

    def begin(self):
        """Refuse the folder of another training, read what is done, write the record."""
        identity, folder = self._identity(), self.output_dir()
        held, reasons = require_own_folder(folder, identity, self.overwrite)
        if held and not reasons:
            self.overwrite = True       # other weights of a stage make another run of the next one
            self.known = read_record(folder).get('done', {}) if self.args.resume else {}
        self.record = describe_run(identity=identity, **self.facts())
        with begun(folder, {**self.record, 'done': self.known}, goes_on=bool(self.args.resume)):
            pass

    def facts(self):
        args = self.args
        return {'imdb': args.imdb, 'net_name': args.net_name, 'weights': args.weights, 'iterations': args.iters,
                'device': None}         # the records of the stages have it

    def _identity(self):
        """That of a run that trains the nets of all stages on the data sets."""
        classes, fitted = self.imdbs[0].classes, []
        data = '+'.join(str(imdb.source_key()) for imdb in self.imdbs)
        for stage in self.stages:
            solver_param, net_param, _ = fit_solver(stage.solver, len(classes))
            fitted.append(identify(net_param, solver_param, data, classes, cfg.RNG_SEED, self.args.weights))
        parts = 'net', 'solver', 'iter_size', 'minibatches'
        return {**fitted[0], **{part: [stage[part] for stage in fitted] for part in parts}}

    def output_dir(self, stage=None, name=None):
        parts = ['stage%d_%s' % (stage.number, stage.kind)] if stage else []
        return os.path.join(cfg.ROOT_DIR, 'output', cfg.EXP_DIR, *parts, name or '+'.join(self.names))

    def run_stages(self):
        """Do what is not done; returns the path of the final model."""
        rpn1, fast_rcnn1, rpn2, fast_rcnn2 = self.stages
        rpn_files = self.propose(rpn1, self.train(rpn1, self.args.weights))
        fast_rcnn_model = self.train(fast_rcnn1, self.args.weights, rpn_files)
        rpn_model = self.train(rpn2, fast_rcnn_model)
        model = self.train(fast_rcnn2, rpn_model, self.propose(rpn2, rpn_model))
        final = os.path.join(self.output_dir(), self.args.net_name + '_faster_rcnn_final.caffemodel')
        with open(model, 'rb') as source, whole_file(final) as target:
            shutil.copyfileobj(source, target)
        drop_previous(self.output_dir())
        return final

    def train(self, stage, weights, rpn_files=()):
        """Train a stage unless that was done; returns the path of its model."""
        prefix = os.path.basename(read_solver(stage.solver).snapshot_prefix)
        model = os.path.join(self.output_dir(stage),
                             '%s_stage%d_iter_%d.caffemodel' % (prefix, stage.number, stage.iters))
        flags = ['--solver', stage.solver, '--imdb', self.args.imdb, '--iters', str(stage.iters)]
        flags += ['--weights', weights] if weights else []
        flags += [word for file in rpn_files for word in ('--rpn-file', file)]
        flags += ['--resume', 'auto'] if self.args.resume else []
        flags += ['--overwrite'] if self.overwrite else []
        settings = RPN_SETTINGS if stage.kind == 'rpn' else FAST_RCNN_SETTINGS
        self._run(stage, 'train_net.py', flags, settings + ['TRAIN.SNAPSHOT_INFIX', 'stage%d' % stage.number], model)
        return model

    def propose(self, stage, model):
        """Make the proposals of an RPN stage unless they are there; returns their files, one for each data set."""
        files = []
        for imdb, name in zip(split_names(self.args.imdb), self.names):
            stem = os.path.splitext(os.path.basename(model))[0]
            files.append(os.path.join(self.output_dir(stage, name), stem + '_proposals.npz'))
            flags = ['--def', os.path.join(self.folder, 'rpn_test.pt'), '--net', model, '--imdb', imdb]
            os.makedirs(os.path.dirname(files[-1]), exist_ok=True)
            self._run(stage, 'rpn_generate.py', flags + ['--out', files[-1]], [], files[-1])
        return files

    def _run(self, stage, tool, flags, settings, result):
        """Run a tool that makes the file `result`, unless that was done; its failure ends this process."""
        args, key = self.args, os.path.relpath(result, os.path.join(cfg.ROOT_DIR, 'output', cfg.EXP_DIR))
        if os.path.exists(result) and self.known.get(key) == file_hash(result):
            print("%s is there already" % result, flush=True)
            self.done[key] = self.known[key]
            return
        self.known = {}         # what follows was made from another result
        words = [sys.executable, os.path.join(TOOLS, tool), '--gpu', args.gpu, '--precision', args.precision, *flags]
        words += [word for module in args.imports for word in ('--import', module)]
        words += [word for file in args.cfg_files for word in ('--cfg', file)]
        name = 'stage%d_%s' % (stage.number, stage.kind)
        words += ['--set', *args.set_cfgs, *settings, 'EXP_DIR', '%s/%s' % (cfg.EXP_DIR, name)]
        print("~~~~ %s\n+ %s" % (name, shlex.join(words)), flush=True)
        code = call(words)
        if code:
            sys.exit(code)
        self.done[key] = file_hash(result)
        write_record(os.path.join(self.output_dir(), RECORD), {**self.record, 'done': self.done})


def main():
    args, start = parse_args(), time.monotonic()
    print("Called with args:\n%s" % args, flush=True)
    for filename in args.cfg_files:
        cfg_from_file(filename)
    cfg_from_list(args.set_cfgs)
    if args.weights:
        _cli.need_file(args.weights, '--weights', "see data/README.md; without it the nets start from their fillers")
    folder = models_folder(args.net_name)
    run = Alternation(args, folder, stages_of(folder, args.iters))
    os.makedirs(run.output_dir(), exist_ok=True)
    with only_training_in(run.output_dir(), join()):
        run.begin()
        final = run.run_stages()
        print("Wrote snapshot to: %s" % final, flush=True)
        _cli.record_run(os.path.join(run.output_dir(), RECORD), start, identity=run.record['identity'], done=run.done,
                        **run.facts(), model=final)


if __name__ == '__main__':
    _cli.run(main)
