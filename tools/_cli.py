"""What the tools share: the common flags, the error line, device, seed, and the record of a run."""
import argparse
import errno
import math
import os
import pprint
import sys
import time

import _init_paths  # noqa: F401  (first: puts caffe and lib on the path, for the tools as well)
import caffe
import numpy as np
from fast_rcnn.config import cfg, cfg_from_file, cfg_from_list
from training.record import describe_run, plain, write_record
from utils import caffe_extensions, progress
from utils.caffe_extensions import CaffeError, LostProcess
from utils.errors import UserError
from utils.own_modules import VARIABLE, import_modules
from utils.peak_memory import peak_rss_mb

# Seconds: rank 0 meets most mistakes of the others too, and tells them; then torchrun ends the others before they do.
RANK_0_FIRST = 5


def add_common_flags(parser):
    """Those of add_device_flags and add_import_flag, --cfg (may be given several times), and --set, which takes the
    rest of the line."""
    add_device_flags(parser, gpu='0')
    add_import_flag(parser)
    parser.add_argument('--cfg', dest='cfg_files', action='append', default=[], metavar='FILE',
                        help="yml file of settings; may be repeated, the last one wins")
    parser.add_argument('--set', dest='set_cfgs', nargs=argparse.REMAINDER, default=[], metavar='KEY VALUE',
                        help="settings one by one; takes the rest of the line")


def add_device_flags(parser, gpu):
    """--gpu, by default `gpu`, --precision and --deterministic: what `use_device` takes."""
    parser.add_argument('--gpu', default=gpu, metavar='ID', help="number of the GPU, or cpu (default: %s)" % gpu)
    parser.add_argument('--precision', default='float32', metavar='NAME',
                        help="float32, tf32 or bf16: how convolutions and fully connected layers multiply "
                             "(default: float32)")
    parser.add_argument('--deterministic', action='store_true',
                        help="the same numbers in every run on a GPU, perhaps slower (on the CPU they always are)")


class _ImportNow(argparse.Action):
    """Imports modules as they are given, for the flags after them and the data sets that they register."""

    def __call__(self, parser, namespace, values, option_string=None):
        namespace.imports = [*namespace.imports, *import_modules(values, option_string)]


def add_import_flag(parser):
    """--import, for a tool that takes data sets or settings; the modules of OHEM_IMPORT are imported here."""
    import_modules(os.environ.get(VARIABLE, ''), VARIABLE)
    parser.add_argument('--import', dest='imports', action=_ImportNow, default=[], metavar='MODULE',
                        help="import this module of PYTHONPATH or the working directory first, one that registers data "
                             "sets (datasets.factory.register) or adds settings; may be repeated (default: the modules "
                             "in the variable OHEM_IMPORT, with commas)")


def parse(parser):
    """The arguments; a tool that is called without any prints its help and exits with 1, as the original's do."""
    if len(sys.argv) == 1:
        parser.print_help()
        sys.exit(1)
    return parser.parse_args()


def add_wait_flag(parser):
    """--wait: whether to wait for the caffemodel."""
    parser.add_argument('--wait', type=parse_bool, default=False, metavar='BOOL',
                        help="true: wait until the caffemodel exists (default: false)")


def wait_for(caffemodel):
    """Return when the file exists; looks every 10 seconds."""
    while not os.path.exists(caffemodel):
        print("Waiting for %s to exist..." % caffemodel, flush=True)
        time.sleep(10)


def parse_bool(text):
    """Type of a flag that takes true or false."""
    if text.lower() in ('true', 'yes', '1'):
        return True
    if text.lower() in ('false', 'no', '0'):
        return False
    raise argparse.ArgumentTypeError("expected true or false, got %r" % text)


def parse_number(text):
    """Type of a flag that takes a number, which nan and inf are not."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError("expected a finite number, got %r" % text)
    return number


def parse_count(least):
    """Type of a flag that takes an int of `least` or more."""
    def parse(text):
        if not text.lstrip('-+').isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError("expected an int of %d or more, got %r" % (least, text))
        return int(text)
    return parse


def run(main):
    """Call main(); a mistake of the user ends in one line `error: ...` and exit code 1.

    So do errors of the machine and of files that the user named; other OSErrors keep their traceback.
    """
    caffe_extensions.keep_freed_memory()
    try:
        main()
        sys.stdout.flush()
    except LostProcess as e:
        if not e.ranks or caffe_extensions.solver_rank() == e.first_left:  # one of those that are left says it
            _complain("error: %s" % e)
        sys.stdout.flush()
        os._exit(1)     # the usual way out may wait for what the lost process was to send
    except (UserError, CaffeError) as e:
        if caffe_extensions.solver_rank():
            time.sleep(RANK_0_FIRST)
        _complain("error: %s" % ' '.join(str(e).split()))
        sys.exit(1)
    except OSError as e:
        from _given import is_users  # not before: it loads all data sets
        if not is_users(e):
            raise
        if e.errno == errno.EPIPE:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)    # nothing more can be said there
        _complain("error: %s: %s; see that it is there, can be read and written, and that the disk has room"
                  % (e.filename or "input or output", e.strerror or e))
        sys.exit(1)
    except KeyboardInterrupt:
        _complain("stopped by the keyboard")
        sys.exit(130)


def _complain(line):
    """Write a line to stderr at once: under torchrun Python is unbuffered, where print writes the end of a line by
    itself, and other processes write there too."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def take_rank():
    """Under torchrun, tell caffe which of how many processes this is; only rank 0 speaks."""
    count, rank = int(os.environ.get('WORLD_SIZE', 1)), int(os.environ.get('RANK', 0))
    if count > 1:
        caffe_extensions.take_rank(count, rank)
    if rank:
        sys.stdout = open(os.devnull, 'w', encoding='utf-8')
        progress.hidden = True


def configure(args):
    """Settings from --cfg and --set into cfg, the device from --gpu and --precision; prints what holds."""
    print("Called with args:\n%s" % args)
    for filename in args.cfg_files:
        cfg_from_file(filename)
    cfg_from_list(args.set_cfgs)
    use_device(args)
    print("Using config:\n%s" % pprint.pformat(plain(cfg)), flush=True)


def use_device(args):
    """Run on the GPU or CPU of --gpu, multiply as --precision says."""
    if args.deterministic:
        caffe_extensions.set_deterministic()
    _set_mode(args.gpu)
    caffe_extensions.set_precision(args.precision)
    print("Precision: %s" % args.precision, flush=True)


def _set_mode(gpu):
    if gpu == 'cpu':
        caffe.set_mode_cpu()
        return
    if not gpu.isdecimal():
        raise UserError("--gpu must be the number of a GPU or cpu, got %r" % gpu)
    cfg.GPU_ID = int(gpu) + int(os.environ.get('LOCAL_RANK', 0))     # under torchrun: each process the next GPU
    try:
        caffe.set_device(cfg.GPU_ID)
        caffe.set_mode_gpu()
    except CaffeError as e:
        raise UserError("--gpu %s cannot be used (%s); --gpu cpu runs without a GPU" % (gpu, e)) from e


def seed(fresh=False):
    """Seed numpy and Caffe with cfg.RNG_SEED, or with a fresh number, which is put there."""
    if fresh:
        cfg.RNG_SEED = int.from_bytes(os.urandom(4), 'little')
        cfg.RNG_SEED = int(caffe_extensions.join().mean([cfg.RNG_SEED])[0])     # the same in all
    np.random.seed(cfg.RNG_SEED)
    caffe.set_random_seed(cfg.RNG_SEED)
    print("Seed: %d" % cfg.RNG_SEED, flush=True)


def need_file(path, flag, remedy):
    """UserError unless `path`, given by `flag`, is a file."""
    if not path:
        raise UserError("%s is missing; %s" % (flag, remedy))
    if not os.path.isfile(path):
        raise UserError("%s %s: no such file; %s" % (flag, path, remedy))


def record_run(path, start, **facts):
    """Write the json record of a run that began at time.monotonic() == `start`; `facts` are added."""
    record = describe_run(
        seconds=round(time.monotonic() - start, 3),
        peak_rss_mb=round(peak_rss_mb(), 1),
        **facts)
    write_record(path, record)
    print("Took %.1f s, at most %.0f MB of memory; record: %s" % (record['seconds'], record['peak_rss_mb'], path),
          flush=True)
