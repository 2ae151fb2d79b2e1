"""The settings of training and testing: one tree of defaults, `cfg`, changed by a yml file and by --set pairs.

Keys and defaults are the original's; those marked (ours) are new.  Values keep the type of their default, and lie
in the range that stands with it (setting_ranges.py); one without a range may have any value of its type.
"""
import ast
import difflib
import os
import os.path as osp

import numpy as np
import yaml
from easydict import EasyDict as edict
from utils.errors import UserError
from utils.yaml_files import load_yaml

from fast_rcnn.setting_ranges import describe, expected, ranged, take_ranges

cfg = edict()
__C = cfg       # the original's name, under which forks add their settings at the end of this file

# ---- Training
cfg.TRAIN = edict()
cfg.TRAIN.SCALES = ranged((600,), '1 or more')  # pixels of the short side; one of them is drawn for each image
cfg.TRAIN.MAX_SIZE = ranged(1000, '1 or more')  # pixels, bound on the long side of a scaled image
cfg.TRAIN.IMS_PER_BATCH = ranged(2, '1 or more')
# (ours) minibatches of an iteration, in each process; 0: iter_size of the solver
cfg.TRAIN.ITER_SIZE = ranged(0, '0 to 2147483647')
# (ours) the rate falls after this part of the iterations, for a training shorter than the solver's; 0: at its stepsize
cfg.TRAIN.STEP_FRACTION = ranged(0.0, '0 or more and below 1')
cfg.TRAIN.BATCH_SIZE = ranged(128, '1 or more, or -1')  # RoIs in a minibatch, over all its images; -1: all there are
cfg.TRAIN.FG_FRACTION = ranged(0.25, '0 to 1')  # at most this part of a minibatch is foreground
cfg.TRAIN.FG_THRESH = ranged(0.5, '0 to 1')  # foreground: IoU with a ground-truth box >= FG_THRESH
cfg.TRAIN.BG_THRESH_HI = ranged(0.5, '0 to 1')  # background: IoU in [BG_THRESH_LO, BG_THRESH_HI)
cfg.TRAIN.BG_THRESH_LO = ranged(0.1, '0 to 1')
cfg.TRAIN.USE_FLIPPED = True    # train on mirrored images too
cfg.TRAIN.BBOX_REG = True       # train bounding-box regressors
cfg.TRAIN.BBOX_THRESH = ranged(0.5, '0 to 1')  # IoU from which a RoI is used to train them
cfg.TRAIN.SNAPSHOT_ITERS = ranged(10000, 'a finite number')
cfg.TRAIN.SNAPSHOT_INFIX = ranged('', 'text without /')  # <prefix>[_<infix>]_iter_<n>.caffemodel
cfg.TRAIN.TENSORBOARD = True    # (ours) an event file beside metrics.csv
cfg.TRAIN.USE_PREFETCH = True   # make minibatches ahead, in threads; they are the same either way
cfg.TRAIN.BBOX_NORMALIZE_TARGETS = True
cfg.TRAIN.BBOX_INSIDE_WEIGHTS = ranged((1.0, 1.0, 1.0, 1.0), '0 or more')
cfg.TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED = False  # by the two below instead of the roidb's own statistics
cfg.TRAIN.BBOX_NORMALIZE_MEANS = ranged((0.0, 0.0, 0.0, 0.0), 'a finite number')
cfg.TRAIN.BBOX_NORMALIZE_STDS = ranged((0.1, 0.1, 0.2, 0.2), 'more than 0')
cfg.TRAIN.PROPOSAL_METHOD = 'selective_search'
cfg.TRAIN.ASPECT_GROUPING = True  # images of a minibatch are all wide or all tall

# Online hard example mining
cfg.TRAIN.USE_OHEM = False
cfg.TRAIN.OHEM_USE_NMS = True    # of RoIs that overlap, only the one with the largest loss is a candidate
cfg.TRAIN.OHEM_NMS_THRESH = ranged(0.7, '0 or more')
# (ours) The paper's two rules, which its code does not follow.
cfg.TRAIN.OHEM_NMS_PER_CLASS = True  # NMS within each (image, label); False, the paper's: over all RoIs of an image
cfg.TRAIN.OHEM_PER_IMAGE = False     # the hardest of all images together; True, the paper's: as many of each image
# (ours) iterations of plain sampling before mining, in a net with an RPN
cfg.TRAIN.OHEM_WARMUP_ITERS = ranged(0, '0 or more')
# (ours) keep the losses of each object and of background that is mined, for tools/find_label_errors.py, in the states
cfg.TRAIN.LOSS_LEDGER = True

# Region proposal network
cfg.TRAIN.HAS_RPN = False
# All classes share their boxes: targets (R, 8) for background and object, as in R-FCN; needs HAS_RPN
cfg.TRAIN.AGNOSTIC = False
cfg.TRAIN.RPN_POSITIVE_OVERLAP = ranged(0.7, '0 to 1')
cfg.TRAIN.RPN_NEGATIVE_OVERLAP = ranged(0.3, '0 to 1')
cfg.TRAIN.RPN_CLOBBER_POSITIVES = False  # an anchor that is both becomes negative
cfg.TRAIN.RPN_FG_FRACTION = ranged(0.5, '0 to 1')
cfg.TRAIN.RPN_BATCHSIZE = ranged(256, '1 or more')  # anchors
cfg.TRAIN.RPN_NMS_THRESH = ranged(0.7, '0 or more')
cfg.TRAIN.RPN_PRE_NMS_TOP_N = ranged(12000, 'a finite number')
cfg.TRAIN.RPN_POST_NMS_TOP_N = ranged(2000, 'a finite number')
cfg.TRAIN.RPN_MIN_SIZE = ranged(16, '0 or more')  # pixels of the original image
cfg.TRAIN.RPN_BBOX_INSIDE_WEIGHTS = ranged((1.0, 1.0, 1.0, 1.0), '0 or more')
cfg.TRAIN.RPN_POSITIVE_WEIGHT = ranged(-1.0, 'at most 1')  # p / positives and (1 - p) / negatives; -1: the same for all

# ---- Testing
cfg.TEST = edict()
cfg.TEST.SCALES = ranged((600,), '1 or more')  # several: see SCALE_MODE
cfg.TEST.MAX_SIZE = ranged(1000, '1 or more')
# (ours) With several scales.  'per_roi', the original's: each RoI is seen at the scale where its area is nearest
# 224 x 224.  'all', the paper's +M: every RoI at each of them, and all boxes together go into NMS.
cfg.TEST.SCALE_MODE = ranged('per_roi', ('per_roi', 'all'))
cfg.TEST.NMS = ranged(0.3, 'a finite number')  # IoU from which the lower of two detections of a class is dropped
cfg.TEST.SVM = False       # scores are cls_score (from SVMs), not cls_prob
cfg.TEST.BBOX_REG = True
cfg.TEST.HAS_RPN = False
# The net gives boxes (R, 8) for background and object, which all classes share
cfg.TEST.AGNOSTIC = False
cfg.TEST.PROPOSAL_METHOD = 'selective_search'
# (ours) The paper's +B (lib/fast_rcnn/multi_stage.py, bbox_voting.py).  The paper leaves out the first threshold; 0.95
# and 0.5 are those of MR-CNN's code.
cfg.TEST.MULTI_STAGE = False         # boxes that score high are scored and moved once more
cfg.TEST.MULTI_STAGE_THRESH = ranged(0.05, 'a finite number')  # the score above which they do
cfg.TEST.MULTI_STAGE_NMS = ranged(0.95, '0 or more')  # of such boxes of a class that overlap this much, one is enough
cfg.TEST.BBOX_VOTE = False           # each detection becomes the score-weighted mean of the boxes around it
cfg.TEST.BBOX_VOTE_THRESH = ranged(0.5, '0 to 1')  # IoU from which a box is around it
cfg.TEST.RPN_NMS_THRESH = ranged(0.7, '0 or more')
cfg.TEST.RPN_PRE_NMS_TOP_N = ranged(6000, 'a finite number')
cfg.TEST.RPN_POST_NMS_TOP_N = ranged(300, 'a finite number')
cfg.TEST.RPN_MIN_SIZE = ranged(16, '0 or more')

# ---- Both
# RoIs equal at this scale (1 / stride of the feature map) are run once; 0: run all
cfg.DEDUP_BOXES = ranged(1 / 16., 'a finite number')
cfg.PIXEL_MEANS = ranged(np.array([[[102.9801, 115.9465, 122.7717]]]), 'a finite number')  # BGR, of the ImageNet models
# (ours) On which picture boxes were drawn where EXIF turns it and the size in their annotation fits both: 'stored',
# before it is turned, or 'turned', after; '': such an annotation is an error
cfg.BOXES_DRAWN_ON = ranged('', ('', 'stored', 'turned'))
# (ours) An annotation that gives another size than its image has: its boxes are scaled to the image; False: an error
cfg.SCALE_BOXES_TO_IMAGE = False
cfg.RNG_SEED = ranged(3, '0 to 4294967295')
cfg.TRUST_PICKLE = False   # (ours) read proposals from pickles, which may run any code
cfg.EPS = ranged(1e-14, '0 or more')
cfg.ROOT_DIR = osp.abspath(osp.join(osp.dirname(__file__), '..', '..'))
cfg.DATA_DIR = osp.join(cfg.ROOT_DIR, 'data')
cfg.MODELS_DIR = osp.join(cfg.ROOT_DIR, 'models', 'pascal_voc')
cfg.MATLAB = 'matlab'
cfg.EXP_DIR = 'default'    # results go to output/<EXP_DIR>
cfg.USE_GPU_NMS = True     # accepted and without effect: NMS is exact and the same everywhere
cfg.GPU_ID = 0


# of settings in the first versions of py-R-FCN
EARLY_NAMES = {'TRAIN.AGONISTIC': 'TRAIN.AGNOSTIC', 'TEST.AGONISTIC': 'TEST.AGNOSTIC'}


def get_output_dir(imdb, net=None):
    """<ROOT_DIR>/output/<EXP_DIR>/<imdb.name>[/<net.name>], made where it does not exist."""
    path = output_path(cfg.EXP_DIR, imdb.name)
    if net is not None:
        path = osp.join(path, net.name)
    os.makedirs(path, exist_ok=True)
    return path


def output_path(exp_dir: str, imdb_name: str) -> str:
    """<ROOT_DIR>/output/<exp_dir>/<imdb_name>; an absolute exp_dir stands for itself."""
    return osp.abspath(osp.join(cfg.ROOT_DIR, 'output', exp_dir, imdb_name))


def nets_dir():
    """The folder of nets that were fitted to a number of classes, <ROOT_DIR>/output/nets; it may not exist yet."""
    return osp.join(cfg.ROOT_DIR, 'output', 'nets')


def cache_dir():
    """The folder of derived files, <ROOT_DIR>/data/cache; it may not exist yet."""
    return osp.join(cfg.ROOT_DIR, 'data', 'cache')


def changed_folders():
    """The folders, files and output below them, that settings name which are not at their defaults."""
    changed = [cfg[key] for key in ('ROOT_DIR', 'DATA_DIR', 'MODELS_DIR') if cfg[key] != _DEFAULTS[key]]
    own_output = cfg.EXP_DIR != _DEFAULTS['EXP_DIR']
    return changed + ([osp.join(cfg.ROOT_DIR, 'output', cfg.EXP_DIR)] if own_output else [])


def cfg_from_file(filename):
    """Change cfg by a yml file, a mapping like `TRAIN: {BATCH_SIZE: 64}`."""
    try:
        with open(filename, encoding='utf-8') as f:
            tree = load_yaml(f)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as e:      # ValueError: no UTF-8, thousands of digits
        raise UserError("config file %s cannot be read: %s" % (filename, ' '.join(str(e).split()))) from e
    if not isinstance(tree, (dict, type(None))):
        raise UserError("config file %s must hold 'KEY: value' lines, got a %s" % (filename, type(tree).__name__))
    try:
        leaves = list(_leaves(tree or {}))
    except RecursionError:
        raise UserError("config file %s: a mapping holds itself, by an alias like *name, or is nested too deep; write "
                        "'KEY: value' lines" % filename) from None
    for key, value in leaves:
        _set(key, value, "in " + str(filename))
    if leaves_output(cfg.EXP_DIR) and 'EXP_DIR' in (tree or {}):
        raise UserError("config file %s: EXP_DIR %s is outside the folder output; name a folder in it, or give "
                        "that path on the command line: --set EXP_DIR %s" % (filename, cfg.EXP_DIR, cfg.EXP_DIR))


def leaves_output(exp_dir: str) -> bool:
    """Whether results of an EXP_DIR would lie outside of <ROOT_DIR>/output."""
    path = osp.normpath(exp_dir)
    return osp.isabs(path) or path.split(os.sep)[0] == os.pardir


def _merge_a_into_b(a, b):
    """Put the settings of a mapping `a` into `b`, cfg or a branch of it, as cfg_from_file does; the original's name."""
    branch = next((prefix for prefix, tree in _branches(cfg) if tree is b), None)
    if branch is None:
        raise UserError("_merge_a_into_b takes cfg, or a branch of it, to merge into; got a %s" % type(b).__name__)
    for key, value in _leaves(a):
        _set(branch + key, value, "in _merge_a_into_b")


def _branches(tree, prefix=''):
    """('TRAIN.', mapping) of every mapping in a tree, itself first with ''."""
    yield prefix, tree
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _branches(value, '%s%s.' % (prefix, key))


def cfg_from_list(cfg_list):
    """Change cfg by [key, value, key, value, ...], as after --set; values that are text are read as Python literals."""
    if len(cfg_list) % 2:
        raise UserError("--set takes pairs of KEY VALUE, got an odd number of words: %s"
                        % ' '.join(map(str, cfg_list)))
    for key, value in zip(cfg_list[0::2], cfg_list[1::2]):
        _set(key, _literal(value), "in --set", text=value)


def changed_settings():
    """{'TRAIN.BATCH_SIZE': value} of the settings that are not as they were defined; arrays and tuples are lists."""
    now = {key: _listed(value) for key, value in _leaves(cfg)}
    return {key: value for key, value in now.items() if key not in _DEFAULTS or value != _listed(_DEFAULTS[key])}


def _listed(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _literal(value):
    try:
        return ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError, MemoryError, RecursionError):      # the last two: thousands of brackets or signs
        return value  # plain text


def _leaves(tree, prefix=''):
    """('TRAIN.BATCH_SIZE', value) of every leaf; an empty mapping has none."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, '%s%s.' % (prefix, key))
        else:
            yield '%s%s' % (prefix, key), value


_RANGES = take_ranges(cfg)
_DEFAULTS = dict(_leaves(cfg))


def check_cfg(branch):
    """UserError for the first setting, of cfg.TRAIN or cfg.TEST by `branch` or common to both, that makes no sense.

    Called where training and testing begin: programs assign to cfg too, as they like.  Settings that are not ours pass.
    """
    other = {'TRAIN': 'TEST.', 'TEST': 'TRAIN.'}[branch]
    values = dict(_leaves(cfg))
    for key in _DEFAULTS:
        if key in values and not key.startswith(other):
            _require_sense(key, values[key])
    for message in _contradictions(branch):
        raise UserError(message)


def _contradictions(branch):
    """A line for each two settings that make no sense together."""
    if branch == 'TEST':
        if cfg.TEST.MULTI_STAGE and not cfg.TEST.BBOX_REG:
            yield "TEST.MULTI_STAGE runs boxes again that were moved by regression; set TEST.BBOX_REG True"
        return
    train = cfg.TRAIN
    if train.BG_THRESH_LO > train.BG_THRESH_HI:
        yield ("TRAIN.BG_THRESH_LO is %g and BG_THRESH_HI %g, so no RoI is background; set BG_THRESH_LO to at most "
               "BG_THRESH_HI" % (train.BG_THRESH_LO, train.BG_THRESH_HI))
    if train.RPN_NEGATIVE_OVERLAP > train.RPN_POSITIVE_OVERLAP:
        yield ("TRAIN.RPN_NEGATIVE_OVERLAP is %g and RPN_POSITIVE_OVERLAP %g, so anchors are both; set RPN_NEGATIVE_"
               "OVERLAP to at most RPN_POSITIVE_OVERLAP" % (train.RPN_NEGATIVE_OVERLAP, train.RPN_POSITIVE_OVERLAP))
    if train.USE_OHEM and train.BG_THRESH_LO != 0:
        yield ("TRAIN.BG_THRESH_LO is %g, but mining needs every background RoI; set it to 0 (as experiments/cfgs/"
               "fast_rcnn_ohem.yml does)" % train.BG_THRESH_LO)
    if train.BATCH_SIZE > 0 and train.BATCH_SIZE % train.IMS_PER_BATCH and (not train.USE_OHEM or train.OHEM_PER_IMAGE):
        yield ("TRAIN.BATCH_SIZE (%d RoIs) must be a multiple of TRAIN.IMS_PER_BATCH (%d images)"
               % (train.BATCH_SIZE, train.IMS_PER_BATCH))


def _require_sense(key, value, where=''):
    wanted = expected(value, _DEFAULTS[key], _RANGES.get(key))
    if wanted:
        raise UserError("setting %s%s is %s; expected %s (default: %s)"
                        % (key, where, _short(value), wanted, _short(_DEFAULTS[key])))


def _short(value):
    """The value for a message, at most 200 characters of it."""
    try:
        text = repr(value.ravel().tolist() if isinstance(value, np.ndarray) else value)
    except (ValueError, RecursionError):
        return "a value that is too long to show"
    return text if len(text) <= 200 else text[:200] + "..."


def _set(key, value, where, text=None):
    """Put a value into cfg; `text` is what stood on the command line, kept as it is where the default is text."""
    if key in EARLY_NAMES:
        print("setting %s %s is the early name of %s" % (key, where, EARLY_NAMES[key]), flush=True)
        key = EARLY_NAMES[key]
    known = {**dict(_leaves(cfg)), **_DEFAULTS}     # a fork's settings, which it added to cfg, have their values' types
    if key not in known:
        raise UserError("unknown setting %s %s; the nearest known one is %s"
                        % (key, where, difflib.get_close_matches(key, known, n=1, cutoff=0)[0]))
    default = known[key]
    if isinstance(default, str) and isinstance(text, str) and not isinstance(value, str):
        value = text
    try:
        value = _as_type_of(default, value)
    except (TypeError, ValueError, OverflowError, RecursionError) as e:
        raise UserError("setting %s %s must be %s, got %s (%s)"
                        % (key, where, describe(default), _short(value), type(value).__name__)) from e
    if key in _DEFAULTS:
        _require_sense(key, value, ' ' + where)
    *path, leaf = key.split('.')
    branch = cfg
    for name in path:
        branch = branch[name]
    branch[leaf] = value


def _as_type_of(default, value):
    """`value` in the type of `default`; TypeError or ValueError where that would lose something."""
    if isinstance(default, np.ndarray):
        return np.array(value, dtype=default.dtype).reshape(default.shape)
    if isinstance(default, tuple):
        if not isinstance(value, (list, tuple)) or not value:
            raise TypeError
        if len(default) > 1 and len(value) != len(default):
            raise ValueError
        return tuple(_as_type_of(default[0], v) for v in value) if default else tuple(value)
    if isinstance(default, float) and not isinstance(value, bool):
        return float(value)  # an int, and text: yaml takes 1e-3 for text
    if type(value) is not type(default):
        raise TypeError
    return value
