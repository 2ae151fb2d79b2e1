"""The classes that a net scores, from --classes, its caffemodel, or the record of its training."""
import json
from pathlib import Path

import _cli
import numpy as np
from datasets.voc_layout import read_classes
from fast_rcnn.class_names import BACKGROUND, class_columns, count_classes, read_class_names
from training.run_folder import record_folder
from utils.errors import UserError

REMEDY = "use a data set of its classes, or set its class names with --classes FILE"


def add_classes_flag(parser):
    parser.add_argument('--classes', metavar='FILE',
                        help="names of the net's classes, one a line, in the order of its scores "
                             "(default: those in the caffemodel)")


def net_classes(caffemodel, file=None):
    """Names (K,) of the net's classes, the background first; None if they are unknown.

    file: of --classes.
    """
    own = read_class_names(caffemodel)
    if file is not None:
        return _of_file(file, caffemodel, own)
    if own is None:
        own = training_record(caffemodel).get('classes')
        if own is not None:
            print(f"{caffemodel} has no class names; those of the run.json next to it are used",
                  flush=True)
    return None if own is None else tuple(own)


def classes_for(imdb, caffemodel, file=None):
    """(the net's classes (K,), for each class of imdb its column among them).

    A net with unknown classes is assumed to have those of imdb.  Raises UserError if the classes differ.
    """
    classes = net_classes(caffemodel, file)
    if classes is None:
        classes = assumed_classes(caffemodel, tuple(imdb.classes), imdb.name)
    columns = class_columns(classes, imdb.classes, str(caffemodel), imdb.name, REMEDY)
    if (columns != np.arange(len(columns))).any():
        print(f"{caffemodel} has the classes of {imdb.name} in another order; scores and boxes are "
              "reordered", flush=True)
    return classes, columns


def assumed_classes(caffemodel, names, whose):
    """`names`, the classes of `whose`; prints that the net is assumed to have them.

    Raises UserError if the net scores another number of classes.
    """
    count = count_classes(caffemodel)
    if count not in (None, len(names)):
        raise UserError(f"{caffemodel} has no class names and scores {count} classes, {whose} has "
                        f"{len(names)}, counting the background; set them with --classes FILE")
    print(f"{caffemodel} has no class names; its scores are assumed to be for the classes of "
          f"{whose}, in that order (to change this, use --classes FILE)", flush=True)
    return names


def training_record(caffemodel):
    """The record that train_net.py wrote next to a caffemodel; {} if there is none."""
    caffemodel = Path(caffemodel)
    path = Path(record_folder(caffemodel)) / 'run.json'
    try:
        record = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as e:
        raise UserError(f"{path} cannot be read ({e}); remove it, or train again") from e
    is_its_own = isinstance(record, dict) and caffemodel.name.startswith(str(record.get('prefix', '\0')))
    return record if is_its_own and 'config' in record else {}


def _of_file(file, caffemodel, own):
    _cli.need_file(file, '--classes', "write the names of the net's classes there, one a line")
    classes = (BACKGROUND,) + read_classes(file)
    if own is not None and len(own) != len(classes):
        raise UserError(f"--classes {file} names {len(classes) - 1} classes, but {caffemodel} has "
                        f"{len(own) - 1}: {', '.join(own[1:])}")
    if own is not None and own != classes:
        print(f"The class names of {caffemodel} are replaced by those of {file}", flush=True)
    return classes
