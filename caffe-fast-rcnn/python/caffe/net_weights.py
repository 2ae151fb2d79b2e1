"""Weights in and out of a net: caffemodel files, and sharing with another net."""
from .common import CaffeError, log
from .proto import caffe_pb2
from .util.weight_files import read_weights, write_weights


def copy_trained_layers(net, path):
    """Load the caffemodel at `path` into the layers of the same names.

    Logs for each layer whether it came from the file, keeps its filler, or found no layer here.
    Raises CaffeError, before anything is changed, when a layer's arrays do not fit.
    """
    targets = _by_name(net)
    source = [(name, arrays, _next(targets, name)) for name, _, arrays in read_weights(path)]
    fitting = [(name, arrays, layer) for name, arrays, layer in source if layer is not None]
    for name, arrays, layer in fitting:
        _check_fit(path, name, arrays, layer.blobs)
    loaded = set()
    for name, arrays, layer in fitting:
        for blob, array in zip(layer.blobs, arrays):
            blob.data[...] = array.reshape(blob.shape)
            loaded.add(id(blob))
        log("net.cpp:817", "Copying source layer %s" % name)
    for name, arrays, layer in source:
        if layer is None:
            log("net.cpp:805", "Ignoring source layer %s (%s): no layer of this name with parameters here"
                % (name, " ".join("x".join(map(str, a.shape)) for a in arrays)))
    for layer in net.layers:
        if not all(id(b) in loaded for b in layer.blobs):
            log("net.cpp:821", "Layer %s is not in %s: keeps the values of its fillers (%s)"
                % (layer.layer_param.name, path, _filler_names(layer.layer_param)))
    if not fitting:
        log("net.cpp:823", "No layer of %s fits this net by name: nothing was loaded" % path, "W")


def _by_name(net):
    """{name: [layers with parameters]}: names may come twice."""
    found = {}
    for layer in net.layers:
        if layer.blobs:
            found.setdefault(layer.layer_param.name, []).append(layer)
    return found


def _next(targets, name):
    """The layer for the next weights under `name`: one after the other, and the last of them for all that follow."""
    layers = targets.get(name, [None])
    return layers.pop(0) if len(layers) > 1 else layers[0]


def _check_fit(path, name, arrays, blobs):
    if len(arrays) != len(blobs):
        raise CaffeError("%s: layer %s has %d arrays in the file and %d parameters in the net"
                         % (path, name, len(arrays), len(blobs)))
    for i, (array, blob) in enumerate(zip(arrays, blobs)):
        if not _same_shape(array.shape, blob.shape):
            raise CaffeError("%s: layer %s, parameter %d: shape %s in the file, %s in the net; to learn this layer "
                             "from scratch, rename it in the prototxt" % (path, name, i, array.shape, blob.shape))


def _same_shape(stored, wanted):
    """Files of old state four dimensions: (1, 1, 4096, 25088) fits a parameter of (4096, 25088)."""
    if len(stored) == 4 and len(wanted) < 4:
        wanted = (1,) * (4 - len(wanted)) + tuple(wanted)
    return tuple(stored) == tuple(wanted)


def _filler_names(layer_param):
    """For the log: "weight_filler xavier, bias_filler constant 0.1"."""
    found = []
    for field, setting in layer_param.ListFields():
        if field.name.endswith("_param") and field.message_type:
            for name in ("weight_filler", "bias_filler", "filler"):
                if name in setting.DESCRIPTOR.fields_by_name:
                    filler = getattr(setting, name)
                    value = " %g" % filler.value if filler.type == "constant" else ""
                    found.append("%s %s%s" % (name, filler.type, value))
    return ", ".join(found) or "zero"


def save_trained_layers(net, path):
    """Write net's parameters as a caffemodel, whole or not at all.

    A layer that never runs backward and shares every parameter with layers that do is left out, so that the weights of
    a read-only branch stand in the file once, under the trainable names.
    """
    trained = {id(b) for layer in net.layers if layer.needs_backward for b in layer.blobs}
    param = caffe_pb2.NetParameter(name=net.name)
    arrays = []
    for layer in net.layers:
        if layer.blobs and not layer.needs_backward and all(id(b) in trained for b in layer.blobs):
            continue
        entry = param.layer.add()
        entry.CopyFrom(layer.layer_param)
        entry.ClearField("blobs")
        arrays.append([b.tensor.cpu().numpy() for b in layer.blobs])     # b.data would count as written
    write_weights(path, param, arrays)


def share_trained_layers(net, other):
    """Let the parameters of `net` be those of the same-named layers of `other`."""
    sources = _by_name(other)
    for layer in net.layers:
        source = _next(sources, layer.layer_param.name) if layer.blobs else None
        for i, (blob, shared) in enumerate(zip(layer.blobs, source.blobs if source else ())):
            if blob.shape != shared.shape:
                raise CaffeError("share_with: layer %s, parameter %d: shape %s here, %s in the other net"
                                 % (layer.layer_param.name, i, blob.shape, shared.shape))
            blob.share_data(shared)
