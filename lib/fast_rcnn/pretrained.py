"""Weights to start from: an ImageNet model, or a detector, perhaps of other classes."""
import os
import tempfile

from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

LAST_LAYERS = ("cls_score", "bbox_pred")    # by the beginning of the layer's name: their shapes follow the classes


def load_pretrained(net, path):
    """Load a caffemodel into net by layer names.

    From a detector of another number of classes the last two layers do not fit: they keep their fillers, which a line
    says.  A layer before them of another shape is an error of copy_from.
    """
    print("Loading pretrained model weights from %s" % path, flush=True)
    model = _read_model(path)
    unfit = [] if model is None else _unfit_last_layers(net, model)
    if not unfit:
        model = None            # or a large file would lie in memory twice
        net.copy_from(str(path))
        return
    print("%s is of other classes: %s; they start anew, from their fillers"
          % (path, ", ".join("%s has %s there and %s here" % (layer.name, _text(there), _text(here))
                             for layer, there, here in unfit)), flush=True)
    for layer, _, _ in unfit:
        del layer.blobs[:]
        layer.name += "_of_other_classes"
    with tempfile.TemporaryDirectory() as folder:
        fitting = os.path.join(folder, os.path.basename(path))
        with open(fitting, "wb") as f:
            f.write(model.SerializeToString())
        net.copy_from(fitting)


def _read_model(path):
    """NetParameter of a caffemodel; None where the file is something else, which copy_from judges."""
    try:
        with open(path, "rb") as f:
            return caffe_pb2.NetParameter.FromString(f.read())
    except (OSError, DecodeError):
        return None


def _unfit_last_layers(net, model):
    """(layer of the file, its shapes, the net's) of the last layers whose shapes differ; model of either format."""
    found = []
    for layer in list(model.layer) + list(model.layers):
        if layer.name.startswith(LAST_LAYERS) and layer.name in net.params:
            there = [_shape(blob) for blob in layer.blobs]
            here = [tuple(blob.data.shape) for blob in net.params[layer.name]]
            if there and [_significant(s) for s in there] != [_significant(s) for s in here]:
                found.append((layer, there, here))
    return found


def _shape(blob):
    """Shape of a BlobProto, in either of the two ways files give it."""
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return blob.num, blob.channels, blob.height, blob.width


def _significant(shape):
    """Without leading ones, which the older files pad shapes with."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return tuple(shape)


def _text(shapes):
    return " and ".join("x".join(map(str, _significant(shape))) or "1" for shape in shapes)
