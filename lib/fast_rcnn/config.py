"""The settings of training and testing: one tree of defaults, `cfg`, changed by a yml file and by --set pairs.

Keys and defaults are the original's; those marked (ours) are new.  Values keep the type of their default.
"""
import ast
import difflib
import os
import os.path as osp

import numpy as np
import yaml
from easydict import EasyDict as edict
from utils.errors import UserError

cfg = edict()

# ---- Training
cfg.TRAIN = edict()
cfg.TRAIN.SCALES = (600,)       # pixels of the short side; one of them is drawn for each image
cfg.TRAIN.MAX_SIZE = 1000       # pixels, bound on the long side of a scaled image
cfg.TRAIN.IMS_PER_BATCH = 2
cfg.TRAIN.ITER_SIZE = 0         # (ours) minibatches of an iteration, in each process; 0: iter_size of the solver
# (ours) the rate falls after this part of the iterations, for a training shorter than the solver's; 0: at its stepsize
cfg.TRAIN.STEP_FRACTION = 0.0
cfg.TRAIN.BATCH_SIZE = 128      # RoIs in a minibatch, over all its images
cfg.TRAIN.FG_FRACTION = 0.25    # at most this part of a minibatch is foreground
cfg.TRAIN.FG_THRESH = 0.5       # foreground: IoU with a ground-truth box >= FG_THRESH
cfg.TRAIN.BG_THRESH_HI = 0.5    # background: IoU in [BG_THRESH_LO, BG_THRESH_HI)
cfg.TRAIN.BG_THRESH_LO = 0.1
cfg.TRAIN.USE_FLIPPED = True    # train on mirrored images too
cfg.TRAIN.BBOX_REG = True       # train bounding-box regressors
cfg.TRAIN.BBOX_THRESH = 0.5     # IoU from which a RoI is used to train them
cfg.TRAIN.SNAPSHOT_ITERS = 10000
cfg.TRAIN.SNAPSHOT_INFIX = ''   # <prefix>[_<infix>]_iter_<n>.caffemodel
cfg.TRAIN.TENSORBOARD = True    # (ours) an event file beside metrics.csv
cfg.TRAIN.USE_PREFETCH = True   # make minibatches ahead, in threads; they are the same either way
cfg.TRAIN.BBOX_NORMALIZE_TARGETS = True
cfg.TRAIN.BBOX_INSIDE_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
cfg.TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED = False  # by the two below instead of the roidb's own statistics
cfg.TRAIN.BBOX_NORMALIZE_MEANS = (0.0, 0.0, 0.0, 0.0)
cfg.TRAIN.BBOX_NORMALIZE_STDS = (0.1, 0.1, 0.2, 0.2)
cfg.TRAIN.PROPOSAL_METHOD = 'selective_search'
cfg.TRAIN.ASPECT_GROUPING = True  # images of a minibatch are all wide or all tall

# Online hard example mining
cfg.TRAIN.USE_OHEM = False
cfg.TRAIN.OHEM_USE_NMS = True    # of RoIs that overlap, only the one with the largest loss is a candidate
cfg.TRAIN.OHEM_NMS_THRESH = 0.7
# (ours) The paper's two rules, which its code does not follow.
cfg.TRAIN.OHEM_NMS_PER_CLASS = True  # NMS within each (image, label); False, the paper's: over all RoIs of an image
cfg.TRAIN.OHEM_PER_IMAGE = False     # the hardest of all images together; True, the paper's: as many of each image
cfg.TRAIN.OHEM_WARMUP_ITERS = 0      # (ours) iterations of plain sampling before mining, in a net with an RPN

# Region proposal network
cfg.TRAIN.HAS_RPN = False
# All classes share their boxes: targets (R, 8) for background and object, as in R-FCN; needs HAS_RPN
cfg.TRAIN.AGNOSTIC = False
cfg.TRAIN.RPN_POSITIVE_OVERLAP = 0.7
cfg.TRAIN.RPN_NEGATIVE_OVERLAP = 0.3
cfg.TRAIN.RPN_CLOBBER_POSITIVES = False  # an anchor that is both becomes negative
cfg.TRAIN.RPN_FG_FRACTION = 0.5
cfg.TRAIN.RPN_BATCHSIZE = 256            # anchors
cfg.TRAIN.RPN_NMS_THRESH = 0.7
cfg.TRAIN.RPN_PRE_NMS_TOP_N = 12000
cfg.TRAIN.RPN_POST_NMS_TOP_N = 2000
cfg.TRAIN.RPN_MIN_SIZE = 16              # pixels of the original image
cfg.TRAIN.RPN_BBOX_INSIDE_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
cfg.TRAIN.RPN_POSITIVE_WEIGHT = -1.0     # p / positives and (1 - p) / negatives; -1: the same for all

# ---- Testing
cfg.TEST = edict()
cfg.TEST.SCALES = (600,)   # several: see SCALE_MODE
cfg.TEST.MAX_SIZE = 1000
# (ours) With several scales.  'per_roi', the original's: each RoI is seen at the scale where its area is nearest
# 224 x 224.  'all', the paper's +M: every RoI at each of them, and all boxes together go into NMS.
cfg.TEST.SCALE_MODE = 'per_roi'
cfg.TEST.NMS = 0.3         # IoU from which the lower of two detections of a class is dropped
cfg.TEST.SVM = False       # scores are cls_score (from SVMs), not cls_prob
cfg.TEST.BBOX_REG = True
cfg.TEST.HAS_RPN = False
# The net gives boxes (R, 8) for background and object, which all classes share
cfg.TEST.AGNOSTIC = False
cfg.TEST.PROPOSAL_METHOD = 'selective_search'
# (ours) The paper's +B (lib/fast_rcnn/multi_stage.py, bbox_voting.py).  The paper leaves out the first threshold; 0.95
# and 0.5 are those of MR-CNN's code.
cfg.TEST.MULTI_STAGE = False         # boxes that score high are scored and moved once more
cfg.TEST.MULTI_STAGE_THRESH = 0.05   # the score above which they do
cfg.TEST.MULTI_STAGE_NMS = 0.95      # of such boxes of a class that overlap this much, one is enough
cfg.TEST.BBOX_VOTE = False           # each detection becomes the score-weighted mean of the boxes around it
cfg.TEST.BBOX_VOTE_THRESH = 0.5      # IoU from which a box is around it
cfg.TEST.RPN_NMS_THRESH = 0.7
cfg.TEST.RPN_PRE_NMS_TOP_N = 6000
cfg.TEST.RPN_POST_NMS_TOP_N = 300
cfg.TEST.RPN_MIN_SIZE = 16

# ---- Both
cfg.DEDUP_BOXES = 1 / 16.  # RoIs equal at this scale (1 / stride of the feature map) are run once; 0: run all
cfg.PIXEL_MEANS = np.array([[[102.9801, 115.9465, 122.7717]]])  # BGR, of the ImageNet models
cfg.RNG_SEED = 3
cfg.TRUST_PICKLE = False   # (ours) read proposals from pickles, which may run any code
cfg.EPS = 1e-14
cfg.ROOT_DIR = osp.abspath(osp.join(osp.dirname(__file__), '..', '..'))
cfg.DATA_DIR = osp.join(cfg.ROOT_DIR, 'data')
cfg.MODELS_DIR = osp.join(cfg.ROOT_DIR, 'models', 'pascal_voc')
cfg.MATLAB = 'matlab'
cfg.EXP_DIR = 'default'    # results go to output/<EXP_DIR>
cfg.USE_GPU_NMS = True     # accepted and without effect: NMS is exact and the same everywhere
cfg.GPU_ID = 0


def get_output_dir(imdb, net=None):
    """<ROOT_DIR>/output/<EXP_DIR>/<imdb.name>[/<net.name>], made where it does not exist."""
    parts = [cfg.ROOT_DIR, 'output', cfg.EXP_DIR, imdb.name] + ([net.name] if net is not None else [])
    path = osp.abspath(osp.join(*parts))
    os.makedirs(path, exist_ok=True)
    return path


def cache_dir():
    """The folder of derived files, <ROOT_DIR>/data/cache; it may not exist yet."""
    return osp.join(cfg.ROOT_DIR, 'data', 'cache')


def cfg_from_file(filename):
    """Change cfg by a yml file, a mapping like `TRAIN: {BATCH_SIZE: 64}`."""
    try:
        with open(filename) as f:
            tree = yaml.safe_load(f)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise UserError("config file %s cannot be read: %s" % (filename, ' '.join(str(e).split()))) from e
    if not isinstance(tree, (dict, type(None))):
        raise UserError("config file %s must hold 'KEY: value' lines, got a %s" % (filename, type(tree).__name__))
    for key, value in _leaves(tree or {}):
        _set(key, value, "in " + str(filename))


def cfg_from_list(cfg_list):
    """Change cfg by [key, value, key, value, ...], as after --set; values that are text are read as Python literals."""
    if len(cfg_list) % 2:
        raise UserError("--set takes pairs of KEY VALUE, got an odd number of words: %s"
                        % ' '.join(map(str, cfg_list)))
    for key, value in zip(cfg_list[0::2], cfg_list[1::2]):
        _set(key, _literal(value), "in --set", text=value)


def _literal(value):
    try:
        return ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError):
        return value  # plain text


def _leaves(tree, prefix=''):
    """('TRAIN.BATCH_SIZE', value) of every leaf; an empty mapping has none."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, '%s%s.' % (prefix, key))
        else:
            yield '%s%s' % (prefix, key), value


_DEFAULTS = dict(_leaves(cfg))


def _set(key, value, where, text=None):
    """Put a value into cfg; `text` is what stood on the command line, kept as it is where the default is text."""
    if key not in _DEFAULTS:
        raise UserError("unknown setting %s %s; the nearest known one is %s"
                        % (key, where, difflib.get_close_matches(key, _DEFAULTS, n=1, cutoff=0)[0]))
    default = _DEFAULTS[key]
    if isinstance(default, str) and isinstance(text, str) and not isinstance(value, str):
        value = text
    try:
        value = _as_type_of(default, value)
    except (TypeError, ValueError) as e:
        raise UserError("setting %s %s must be %s, got %r (%s)"
                        % (key, where, _describe(default), value, type(value).__name__)) from e
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
        return tuple(_as_type_of(default[0], v) for v in value)
    if isinstance(default, float) and not isinstance(value, bool):
        return float(value)  # an int, and text: yaml takes 1e-3 for text
    if type(value) is not type(default):
        raise TypeError
    return value


def _describe(default):
    if isinstance(default, np.ndarray):
        return "%d numbers like %s" % (default.size, default.ravel().tolist())
    if isinstance(default, tuple):
        return "a list of %s like %s" % (type(default[0]).__name__, list(default))
    return {bool: "True or False", str: "text", int: "an int", float: "a float"}[type(default)]
