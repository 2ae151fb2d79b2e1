"""Nets of 2013 (V0LayerParameter: one message of all settings, types in small letters) to the V1 format of 2014."""
from ..common import CaffeError
from ..proto import caffe_pb2

# V0 type: V1 type, the messages that take its settings
_TYPES = {
    "accuracy": ("ACCURACY",), "bnll": ("BNLL",), "concat": ("CONCAT", "concat_param"),
    "conv": ("CONVOLUTION", "convolution_param"), "data": ("DATA", "data_param", "transform_param"),
    "dropout": ("DROPOUT", "dropout_param"), "euclidean_loss": ("EUCLIDEAN_LOSS",), "flatten": ("FLATTEN",),
    "hdf5_data": ("HDF5_DATA", "hdf5_data_param"), "hdf5_output": ("HDF5_OUTPUT", "hdf5_output_param"),
    "im2col": ("IM2COL", "convolution_param"), "images": ("IMAGE_DATA", "image_data_param", "transform_param"),
    "infogain_loss": ("INFOGAIN_LOSS", "infogain_loss_param"),
    "innerproduct": ("INNER_PRODUCT", "inner_product_param"), "lrn": ("LRN", "lrn_param"),
    "multinomial_logistic_loss": ("MULTINOMIAL_LOGISTIC_LOSS",), "pool": ("POOLING", "pooling_param"),
    "relu": ("RELU",), "sigmoid": ("SIGMOID",), "softmax": ("SOFTMAX",), "softmax_loss": ("SOFTMAX_LOSS",),
    "split": ("SPLIT",), "tanh": ("TANH",), "window_data": ("WINDOW_DATA", "window_data_param", "transform_param"),
}
# Settings whose names have changed; the transform's come before those of the same name in data_param and its kind.
_NAMES = {"biasterm": "bias_term", "kernelsize": "kernel_size", "batchsize": "batch_size", "meanfile": "mean_file",
          "cropsize": "crop_size", "shuffle_images": "shuffle", "det_fg_threshold": "fg_threshold",
          "det_bg_threshold": "bg_threshold", "det_fg_fraction": "fg_fraction", "det_context_pad": "context_pad",
          "det_crop_mode": "crop_mode"}
_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")
_OF_THE_LAYER = ("name", "type", "blobs", "blobs_lr", "weight_decay")


def is_v0(net_param):
    """Whether a net has layers of the V0 format."""
    return any(layer.HasField("layer") for layer in net_param.layers)


def upgrade_v0_net(net_param, source="net"):
    """A copy of a V0 net in the V1 format.  Padding layers go: the convolution or pooling after one pads itself."""
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net_param)
    out.ClearField("layers")
    padded = {}         # top of a padding layer: (its bottom, its pad)
    for connection in net_param.layers:
        v0 = connection.layer
        if v0.type == "padding":
            padded[connection.top[0]] = connection.bottom[0], v0.pad
            continue
        layer = out.layers.add(bottom=connection.bottom, top=connection.top)
        _upgrade_layer(v0, layer, source)
        for i, name in enumerate(connection.bottom):
            if name in padded:
                layer.bottom[i] = padded[name][0]
                _set_pad(v0, layer, padded[name][1], source)
    return out


def _upgrade_layer(v0, layer, source):
    if v0.type not in _TYPES:
        raise CaffeError("%s: layer %r is in the V0 format of 2013, which has no type %r; known: %s"
                         % (source, v0.name, v0.type, ", ".join(_TYPES)))
    kind, *messages = _TYPES[v0.type]
    layer.name, layer.type = v0.name, caffe_pb2.V1LayerParameter.LayerType.Value(kind)
    for field, value in v0.ListFields():
        if field.name in ("blobs", "blobs_lr", "weight_decay"):
            getattr(layer, field.name).MergeFrom(value)
        elif field.name == "hdf5_output_param":
            layer.hdf5_output_param.CopyFrom(value)
        elif field.name not in _OF_THE_LAYER:
            _set(v0, layer, messages, field.name, value, source)


def _set(v0, layer, messages, v0_name, value, source):
    """Enter a setting into the first of the layer's messages that has it."""
    name = _NAMES.get(v0_name, v0_name)
    for message in reversed(messages):
        if (message == "transform_param") != (name in _TRANSFORM and "transform_param" in messages):
            continue
        target = getattr(layer, message)
        if name not in target.DESCRIPTOR.fields_by_name:
            continue
        current = getattr(target, name)
        if hasattr(current, "CopyFrom"):
            current.CopyFrom(value)
        elif hasattr(current, "append"):
            current.append(value)
        else:
            setattr(target, name, value)
        return
    raise CaffeError("%s: layer %r (%s, V0 format) has no setting %s" % (source, v0.name, v0.type, v0_name))


def _set_pad(v0, layer, pad, source):
    if v0.type not in ("conv", "pool"):
        raise CaffeError("%s: layer %r (%s, V0 format) reads a padding layer; only conv and pool may"
                         % (source, v0.name, v0.type))
    _set(v0, layer, [_TYPES[v0.type][1]], "pad", pad, source)
