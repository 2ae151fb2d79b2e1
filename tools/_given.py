"""Finds the OSErrors to report in one line: those about files that the user named, and about the machine."""
import errno
import os
import sys
from collections.abc import Iterator

from datasets import coco_layout, voc_layout
from datasets.by_name import split_names
from datasets.own_folders import OWN
from fast_rcnn.config import cfg, changed_folders

# Whatever the file, no program can help it.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EPIPE, errno.EROFS, errno.EIO}


def is_users(error: OSError) -> bool:
    """Whether an error is about the machine, or about a file at, in or above a path that the user gave."""
    if error.errno in OF_THE_MACHINE:
        return True
    paths = [os.path.abspath(os.fsdecode(path)) for path in (error.filename, error.filename2)
             if isinstance(path, (str, bytes, os.PathLike))]
    return any(_related(path, os.path.abspath(os.path.expanduser(given)))
               for given in given_paths(sys.argv[1:]) for path in paths)


def given_paths(words: list[str]) -> Iterator[str]:
    """The paths in the words of a command line, in its names of data sets, and in the settings."""
    for word in words:
        text = word.partition("=")[2] if word.startswith("--") else word
        for name in {text, *split_names(text)}:
            yield from _paths_of(name)
    yield from changed_folders()


def _paths_of(name):
    if name in voc_layout.SETS or name in coco_layout.SETS:
        yield os.path.join(cfg.DATA_DIR, "selective_search_data")
        yield os.path.join(cfg.DATA_DIR, "coco" if name in coco_layout.SETS else "VOCdevkit" + voc_layout.SETS[name][1])
        return
    kind = next((kind for kind in OWN if name.startswith(kind)), "")
    text = name[len(kind):]
    for part in [text, *text.split("@")] if kind else [text]:
        if part:
            yield part
            yield os.path.join(cfg.ROOT_DIR, part)


def _related(path, given):
    """Whether one of two absolute paths equals or contains the other."""
    return os.path.commonpath([path, given]) in (path, given)
