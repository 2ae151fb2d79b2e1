"""Which classes a net scores: said by --classes, its caffemodel, or its training's record."""
import json
from pathlib import Path

import _cli
import numpy as np
from datasets.voc_layout import read_classes
from fast_rcnn.class_names import BACKGROUND, class_columns, count_classes, read_class_names
from training.run_folder import record_folder
from utils.errors import UserError

REMEDY = "use a data set of its classes, or name them by --classes FILE"


def add_classes_flag(parser):
    parser.add_argument('--classes', metavar='FILE',
                        help="names of the net's classes, one a line, in the order of its scores "
                             "(default: those in the caffemodel)")


def net_classes(caffemodel, file=None):
    """Names (K,) of the net's classes, the background's first; None where nothing says them.

    file: of --classes.
    """
    own = read_class_names(caffemodel)
    if file is not None:
        return _of_file(file, caffemodel, own)
    if own is None:
        own = training_record(caffemodel).get('classes')
        if own is not None:
            print(f"{caffemodel} has no class names; they are those of the run.json beside it",
                  flush=True)
    return None if own is None else tuple(own)


def classes_for(imdb, caffemodel, file=None):
    """(the net's classes (K,), for each class of imdb its column among them).

    A net of unknown classes has imdb's.  UserError for other classes, or another number.
    """
    classes = net_classes(caffemodel, file)
    if classes is None:
        classes = assumed_classes(caffemodel, tuple(imdb.classes), imdb.name)
    columns = class_columns(classes, imdb.classes, str(caffemodel), imdb.name, REMEDY)
    if (columns != np.arange(len(columns))).any():
        print(f"{caffemodel} has the classes of {imdb.name} in another order; scores and boxes are "
              "put in the data set's", flush=True)
    return classes, columns


def assumed_classes(caffemodel, names, whose):
    """`names`, those of `whose`, with a line that they are taken for the net's.

    UserError where the net scores another number of classes.
    """
    count = count_classes(caffemodel)
    if count not in (None, len(names)):
        raise UserError(f"{caffemodel} has no class names and scores {count} classes, {whose} has "
                        f"{len(names)}, each with the background; name them by --classes FILE")
    print(f"{caffemodel} has no class names; its scores are taken for those of the classes of "
          f"{whose}, in this order (--classes FILE says otherwise)", flush=True)
    return names


def training_record(caffemodel):
    """What train_net.py wrote beside a caffemodel about its training; {} where there is nothing."""
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
