"""Loading start weights: of an ImageNet model, or of a detector, which may have other classes."""
import os
import tempfile

import numpy as np
from caffe.proto import caffe_pb2
from fast_rcnn.class_names import class_columns, difference, read_class_names, shorten
from google.protobuf.message import DecodeError

# By the beginning of the layer's name: the rows of the weights are scores, or boxes, of the classes.
SCORE_LAYERS, BOX_LAYERS = ("cls_score", "rfcn_cls"), ("bbox_pred", "rfcn_bbox")


def load_pretrained(net, path, classes=None, names=None):
    """Load a caffemodel into net by layer names.

    classes: names of the net's classes, the background's first; None: unknown.
    names: the classes of the file, used if the file has no class names.

    1. If the file is a detector with other classes (other names, or another number), its last layers are not
       loaded and keep the values of their fillers.
    2. If it has the same classes in another order, the rows of these layers are sorted.
    Both are logged.  copy_from raises an error for an earlier layer with another shape.
    """
    print("Loading pretrained model weights from %s" % path, flush=True)
    names, model = read_class_names(path) or names, _read_model(path)
    last = [] if model is None else _last_layers(net, model)
    changed = _drop_foreign(net, last, names, classes, path)
    if not changed and classes:
        changed = _put_in_order(net, last, names, classes, path)
    if not changed:
        model = last = None     # or a large file would lie in memory twice
        net.copy_from(str(path))
        return
    with tempfile.TemporaryDirectory() as folder:
        fitting = os.path.join(folder, os.path.basename(path))
        with open(fitting, "wb") as f:
            f.write(model.SerializeToString())
        net.copy_from(fitting)


def load_detector(net, path, classes, names, whose):
    """Load a trained detector, its last layers in the order of `classes`, those of `whose`.

    names: the classes of the file, used if the file has no class names.
    Raises UserError if the file has other classes.
    """
    names = read_class_names(path) or names
    class_columns(names, classes, str(path), whose)
    load_pretrained(net, path, classes, names)


def _read_model(path):
    """NetParameter of a caffemodel; None for any other file, for which copy_from gives the error."""
    try:
        with open(path, "rb") as f:
            return caffe_pb2.NetParameter.FromString(f.read())
    except (OSError, DecodeError):
        return None


def _last_layers(net, model):
    """The file's layers whose shapes follow the classes, where the net has them; either format."""
    return [layer for layer in list(model.layer) + list(model.layers)
            if layer.name.startswith(SCORE_LAYERS + BOX_LAYERS)
            and layer.blobs and layer.name in net.params]


def _drop_foreign(net, last, names, classes, path):
    """Remove the layers with other classes from the model; returns whether there are any."""
    unfit = [(layer, there, here) for layer, there, here in _shapes(net, last)
             if [_significant(s) for s in there] != [_significant(s) for s in here]]
    reasons = ["%s has %s there and %s here" % (layer.name, _text(there), _text(here))
               for layer, there, here in unfit]
    foreign = [layer for layer, _, _ in unfit]
    differs = difference(names, classes) if names and classes else ""
    if differs:
        dropped = {layer.name for layer in foreign}
        fitting = [layer for layer in last if layer.name not in dropped]
        foreign += _rows_of_classes(net, fitting, len(classes))
        reasons.insert(0, differs)
    if foreign:
        print("%s has other classes: %s; %s are initialised by their fillers"
              % (path, ", ".join(reasons), _names(foreign)), flush=True)
    for layer in foreign:
        del layer.blobs[:]
        layer.name += "_of_other_classes"
    return bool(foreign)


def _put_in_order(net, last, names, classes, path):
    """Sort the rows of the layers by `classes`, in the model; returns whether any changed."""
    if last and not names:
        print("%s has no class names; the rows of its %s are assumed to be those of %s"
              % (path, _names(last), shorten(classes)), flush=True)
    if not last or not names or difference(names, classes):
        return False
    columns = class_columns(names, classes, str(path), "the training set")
    if (columns == np.arange(len(columns))).all():
        return False
    moved = _rows_of_classes(net, last, len(columns))
    for blob in [blob for layer in moved for blob in layer.blobs]:
        for numbers in (blob.data, blob.double_data):
            if numbers:
                numbers[:] = np.array(numbers).reshape(len(columns), -1)[columns].ravel()
    if moved:
        print("%s has the same classes in another order; the rows of its %s are sorted"
              % (path, _names(moved)), flush=True)
    return bool(moved)


def _rows_of_classes(net, fitting, count):
    """The layers with rows for each of `count` classes; class-agnostic boxes have none."""
    rows = {layer.name: net.params[layer.name][0].data.shape[0] for layer in fitting}
    scores = [layer for layer in fitting
              if layer.name.startswith(SCORE_LAYERS) and rows[layer.name] % count == 0]
    return scores + [layer for layer in fitting if layer.name.startswith(BOX_LAYERS)
                     and rows[layer.name] in [4 * rows[score.name] for score in scores]]


def _shapes(net, layers):
    """(layer of the file, the shapes of its blobs, those of the net's)."""
    return [(layer, [_shape(blob) for blob in layer.blobs],
             [tuple(blob.data.shape) for blob in net.params[layer.name]]) for layer in layers]


def _shape(blob):
    """Shape of a BlobProto, in either of the two ways files give it."""
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return blob.num, blob.channels, blob.height, blob.width


def _significant(shape):
    """The shape without leading ones, with which older files pad shapes."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return tuple(shape)


def _names(layers):
    return " and ".join(layer.name for layer in layers)


def _text(shapes):
    return " and ".join("x".join(map(str, _significant(shape))) or "1" for shape in shapes)
