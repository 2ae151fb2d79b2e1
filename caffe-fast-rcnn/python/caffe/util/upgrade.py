"""Bring nets and solvers of earlier formats to today's: V1 layers, `input` fields, enum solver types."""
from ..common import CaffeError, log
from ..proto import caffe_pb2
from .upgrade_v0 import is_v0, upgrade_v0_net

# V1's enum names whose layer type is not the words joined: SOFTMAX_LOSS -> SoftmaxWithLoss.
_V1_TYPES = {"ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data",
             "HDF5_OUTPUT": "HDF5Output", "IM2COL": "Im2col", "LRN": "LRN", "MVN": "MVN", "RELU": "ReLU",
             "SOFTMAX_LOSS": "SoftmaxWithLoss", "TANH": "TanH"}
# Fields of V1LayerParameter that are not simply carried over by name.
_V1_CHANGED = {"layer", "type", "blobs", "blobs_lr", "weight_decay", "param", "blob_share_mode"}
_TRANSFORMED = {"Data": ("data_param",), "ImageData": ("image_data_param",), "WindowData": ("window_data_param",)}


def upgrade_net(net_param, source="net"):
    """A copy of `net_param` with `layer` entries only, inputs as Input layers, transform_param where it belongs.

    source: what to name in messages.  Raises CaffeError for a net that mixes formats.
    """
    if is_v0(net_param):
        log("upgrade_proto.cpp:21", "Upgrading %s from the V0LayerParameter format" % source)
        net_param = upgrade_v0_net(net_param, source)
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net_param)
    if out.layers:
        if out.layer:
            raise CaffeError("%s: has both `layers` (old format) and `layer` entries; use one of them" % source)
        log("upgrade_proto.cpp:53", "Upgrading %s from the V1LayerParameter format" % source)
        out.ClearField("layers")
        for v1 in net_param.layers:
            _upgrade_v1_layer(v1, out.layer.add())
        _data_transformations(out)
    _inputs_to_layer(out, source)
    _fix_batch_norm(out)
    return out


def _data_transformations(net):
    """scale, mean_file, crop_size and mirror were settings of the data layers; now they are transform_param's.

    As in Caffe, in nets of the old format only.
    """
    for layer in net.layer:
        for message in _TRANSFORMED.get(layer.type, ()):
            old = getattr(layer, message)
            for name in ("scale", "mean_file", "crop_size", "mirror"):
                if old.HasField(name):
                    setattr(layer.transform_param, name, getattr(old, name))
                    old.ClearField(name)


def _upgrade_v1_layer(v1, layer):
    for field, value in v1.ListFields():
        if field.name in _V1_CHANGED:
            continue
        target = getattr(layer, field.name)
        if hasattr(target, "MergeFrom"):        # a message, or repeated
            target.MergeFrom(value)
        else:
            setattr(layer, field.name, value)
    layer.type = v1_type_name(v1.type)
    layer.blobs.MergeFrom(v1.blobs)
    _upgrade_v1_params(v1, layer)


def v1_type_name(number):
    """Today's type string of a V1 LayerType number: 4 -> "Convolution"."""
    name = caffe_pb2.V1LayerParameter.LayerType.Name(number)
    return _V1_TYPES.get(name, "".join(word.capitalize() for word in name.split("_")))


def _upgrade_v1_params(v1, layer):
    """param (names), blob_share_mode, blobs_lr and weight_decay were parallel lists; now one ParamSpec a blob."""
    for i in range(max(len(v1.param), len(v1.blob_share_mode), len(v1.blobs_lr), len(v1.weight_decay))):
        spec = layer.param.add()
        if i < len(v1.param) and v1.param[i]:
            spec.name = v1.param[i]
        if i < len(v1.blob_share_mode):
            spec.share_mode = v1.blob_share_mode[i]
        if i < len(v1.blobs_lr):
            spec.lr_mult = v1.blobs_lr[i]
        if i < len(v1.weight_decay):
            spec.decay_mult = v1.weight_decay[i]


def _inputs_to_layer(net, source):
    """`input: "data"` with input_shape or four input_dim each becomes one Input layer named "input" in front."""
    if not net.input:
        return
    shapes = [list(s.dim) for s in net.input_shape] or [
        list(net.input_dim[i:i + 4]) for i in range(0, len(net.input_dim), 4)]
    if len(shapes) != len(net.input):
        raise CaffeError("%s: %d inputs but %d input shapes; give one input_shape (or four input_dim) for each input"
                         % (source, len(net.input), len(shapes)))
    layer = caffe_pb2.LayerParameter(name="input", type="Input", top=net.input)
    for shape in shapes:
        layer.input_param.shape.add(dim=shape)
    rest = list(net.layer)
    del net.layer[:]
    net.layer.extend([layer] + rest)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def _fix_batch_norm(net):
    """Three ParamSpecs of BatchNorm were once given as lr_mult 0; its statistics never learn, so the specs say so."""
    for layer in net.layer:
        if layer.type == "BatchNorm":
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0


def upgrade_solver(solver_param):
    """A copy of `solver_param` in which the enum solver_type has become the string type."""
    out = caffe_pb2.SolverParameter()
    out.CopyFrom(solver_param)
    if out.HasField("solver_type"):
        if out.HasField("type"):
            raise CaffeError("solver: give type or solver_type, not both")
        names = {0: "SGD", 1: "Nesterov", 2: "AdaGrad", 3: "RMSProp", 4: "AdaDelta", 5: "Adam"}
        out.type = names[out.solver_type]
        out.ClearField("solver_type")
    return out
