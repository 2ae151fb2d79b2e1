"""Settings changed for one test only."""
from contextlib import contextmanager

from fast_rcnn.config import cfg


@contextmanager
def settings(changes=None):
    """Within it cfg has `changes` {'TEST.SCALES': (176,), ...}; afterwards whatever was changed in cfg is undone."""
    saved = [(branch, dict(branch)) for branch in (cfg, cfg.TRAIN, cfg.TEST)]
    try:
        for key, value in (changes or {}).items():
            *path, leaf = key.split('.')
            branch = cfg[path[0]] if path else cfg
            if leaf not in branch:
                raise KeyError(key)
            branch[leaf] = value
        yield cfg
    finally:
        for branch, values in saved:
            branch.update(values)
