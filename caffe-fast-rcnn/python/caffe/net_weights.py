"""Weights in and out of a net: caffemodel files, and sharing with another net."""
from .common import CaffeError, log
from .proto import caffe_pb2
from .util.hdf5_weights import is_hdf5, read_hdf5_weights, write_hdf5_weights
from .util.weight_files import read_weights, write_weights


def copy_trained_layers(net, path):
    """Load the caffemodel, or the HDF5 weights, at `path` into the layers of the same names.

    Logs for each layer whether it came from the file, keeps its filler, or found no layer here.
    Raises CaffeError, before anything is changed, when a layer's arrays do not fit.
    """
    if is_hdf5(path):
        load_hdf5_layers(net, path)
        return
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


def load_hdf5_layers(net, path):
    """Load HDF5 weights into the layers of the same names, with the rules of copy_trained_layers.

    A parameter that the file lacks is one that another layer owns, which Caffe writes once.
    """
    targets, source = _by_name(net), read_hdf5_weights(path)
    owned, loads = _owned(net), []
    for name, arrays in source.items():
        layer = _next(targets, name)
        if layer is None:
            log("net.cpp:805", "Ignoring source layer %s: no layer of this name with parameters here" % name)
            continue
        loads += _hdf5_loads(path, name, arrays, layer, owned)
        log("net.cpp:817", "Copying source layer %s" % name)
    for blob, array in loads:
        blob.data[...] = array.reshape(blob.shape)
    if not loads:
        log("net.cpp:823", "No layer of %s fits this net by name: nothing was loaded" % path, "W")


def _hdf5_loads(path, name, arrays, layer, owned):
    """[(blob, array)] for a layer; CaffeError where its arrays do not fit."""
    if max(arrays) >= len(layer.blobs):
        raise CaffeError("%s: layer %s has %d arrays in the file and %d parameters in the net"
                         % (path, name, 1 + max(arrays), len(layer.blobs)))
    for i, blob in enumerate(layer.blobs):
        if i in arrays and not _same_shape(arrays[i].shape, blob.shape):
            raise CaffeError("%s: layer %s, parameter %d: shape %s in the file, %s in the net; to learn this layer "
                             "from scratch, rename it in the prototxt" % (path, name, i, arrays[i].shape, blob.shape))
        if i not in arrays and (id(layer), i) in owned:
            raise CaffeError("%s: layer %s has no parameter %d in the file, and shares it with no other layer"
                             % (path, name, i))
    return [(layer.blobs[i], array) for i, array in arrays.items()]


def save_hdf5_layers(net, path, write_diff=False):
    """Write net's parameters (and their diffs) as HDF5, whole or not at all; a shared one stands under its owner."""
    owned = _owned(net)
    layers = [(layer.layer_param.name,
               {i: (blob.data, blob.diff if write_diff else None) for i, blob in enumerate(layer.blobs)
                if (id(layer), i) in owned}) for layer in net.layers]
    write_hdf5_weights(path, layers, write_diff)


def _owned(net):
    """{(id of a layer, number of a parameter)}: the first layer that has a parameter owns it."""
    first = {}
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            first.setdefault(id(blob), (id(layer), i))
    return set(first.values())


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
