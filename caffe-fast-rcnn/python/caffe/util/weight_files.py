"""caffemodel and solverstate files: protobuf messages whose float arrays are read and written as whole byte strings.

A packed `repeated float` and a `bytes` field look the same on the wire, so arrays are read through a copy of the schema
in which BlobProto's arrays are bytes, and written straight from their memory: 500 MB at the speed of the disk, instead
of a number at a time and several times over in memory.
"""
import math

import numpy as np
from google.protobuf import descriptor_pb2, message

from .. import common
from ..common import CaffeError
from ..proto import caffe_pb2
from ..proto.message_classes import file_descriptor, message_class
from .files import write_atomically
from .upgrade import v1_type_name

_ARRAYS = {"data": "<f4", "diff": "<f4", "double_data": "<f8", "double_diff": "<f8"}


def _bytes_schema():
    """The message classes of caffe.proto with BlobProto's arrays as bytes."""
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    blob = next(m for m in file.message_type if m.name == "BlobProto")
    for field in blob.field:
        if field.name in _ARRAYS:
            field.type, field.label = field.TYPE_BYTES, field.LABEL_OPTIONAL
            field.ClearField("options")
    messages = file_descriptor(file).message_types_by_name
    classes = {name: message_class(descriptor, __name__) for name, descriptor in messages.items()}
    return {name: classes[name] for name in ("BlobProto", "NetParameter", "SolverState")}


_BYTES = _bytes_schema()


def read_weights(path):
    """[(layer name, layer type, [arrays])] of a caffemodel in file order, layers without arrays left out.

    Arrays are read-only views of the file's bytes, in the shape the file states.  Reads the `layer` form, and the older
    `layers` and `layers { layer }`.  Raises CaffeError naming the file when it is missing, cut off or no caffemodel.
    """
    net = _read(path, "NetParameter", "caffemodel")
    layers = [(layer.name, layer.type, layer.blobs) for layer in net.layer]
    layers += [_of_old_format(layer) for layer in net.layers]
    if not layers:
        raise CaffeError("%s: holds no layers: not a caffemodel (a prototxt, or an HTML page saved as one?)" % path)
    return [(name, kind, _arrays(path, name, blobs)) for name, kind, blobs in layers if blobs]


def _of_old_format(layer):
    """(name, type, blobs) of a V1LayerParameter, or of the V0LayerParameter in it."""
    if layer.HasField("layer"):
        return layer.layer.name, layer.layer.type, layer.layer.blobs or layer.blobs
    return layer.name, v1_type_name(layer.type), layer.blobs


def _arrays(path, name, blobs):
    """The arrays of a layer; the error line for one of them names file and layer."""
    try:
        return [blob_to_array(b) for b in blobs]
    except CaffeError as e:
        raise CaffeError("%s: layer %s: %s" % (path, name, e)) from None


def write_weights(path, net_param, arrays):
    """Write a caffemodel: `net_param` (NetParameter without blobs), and for each of its layers a list of arrays."""
    layers = [_message(100, [layer.SerializeToString()] + _blobs(7, blobs))
              for layer, blobs in zip(net_param.layer, arrays, strict=True)]
    head = caffe_pb2.NetParameter()
    head.CopyFrom(net_param)
    head.ClearField("layer")
    _write(path, [head.SerializeToString()] + [chunk for layer in layers for chunk in layer])


def read_state(path):
    """(iter, learned_net, [history arrays], current_step, random state bytes, data positions) of a solverstate."""
    s = _read(path, "SolverState", "solverstate")
    positions = [(p.net, p.layer, list(p.number)) for p in s.data_position]
    return s.iter, s.learned_net, [blob_to_array(b) for b in s.history], s.current_step, s.random_state, positions


def write_state(path, iteration, learned_net, history, current_step, positions):
    """Write a solverstate, with caffe's random state; positions: [(net, layer name, [whole numbers])]."""
    state = caffe_pb2.SolverState(iter=iteration, learned_net=learned_net, current_step=current_step,
                                  random_state=common.random_state())
    for net, layer, numbers in positions:
        state.data_position.add(net=net, layer=layer, number=numbers)
    _write(path, [state.SerializeToString()] + _blobs(3, history))


def read_blob(path):
    """The array of a binaryproto.  Raises CaffeError."""
    return blob_to_array(_read(path, "BlobProto", "binaryproto"))


def blob_to_array(blob):
    """The numpy array of a (bytes-schema) BlobProto; legacy num/channels/height/width count as a shape of four."""
    field = "double_data" if blob.double_data else "data"
    data, kind = getattr(blob, field), np.dtype(_ARRAYS[field])
    if len(data) % kind.itemsize:
        raise CaffeError("weights: %d bytes of a blob are no numbers of %d bytes: the file is damaged"
                         % (len(data), kind.itemsize))
    array = np.frombuffer(data, kind)
    legacy = any(blob.HasField(f) for f in ("num", "channels", "height", "width"))
    shape = (blob.num, blob.channels, blob.height, blob.width) if legacy else tuple(blob.shape.dim)
    if min(shape, default=0) < 0 or len(shape) > 32:
        raise CaffeError("weights: a blob of shape %s; expected at most 32 lengths, 0 or more: the file is damaged"
                         % (shape[:40],))
    if array.size != math.prod(shape):
        array = _unpacked(blob)
    if array.size != math.prod(shape):
        raise CaffeError("weights: a blob of shape %s holds %d numbers: the file is damaged" % (shape, array.size))
    return array.reshape(shape)


def _unpacked(blob):
    """The numbers of a blob that was written one by one (legal, rare): parse it by the ordinary schema."""
    try:
        plain = caffe_pb2.BlobProto.FromString(blob.SerializeToString())
    except message.DecodeError:
        raise CaffeError("weights: the numbers of a blob cannot be decoded: the file is damaged") from None
    return np.array(plain.double_data or plain.data, np.float32)


def _blobs(number, arrays):
    """Wire chunks of arrays as BlobProtos in field `number`; the arrays themselves are not copied.

    A file is the concatenation of its fields, each a tag, a length and that many bytes, so that weights of any size
    go to the disk from where they lie.
    """
    chunks = []
    for array in arrays:
        field, kind = (8, "<f8") if array.dtype == np.float64 else (5, "<f4")     # BlobProto's double_data, data
        shape = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=array.shape)).SerializeToString()
        data = memoryview(np.ascontiguousarray(array, kind)).cast("B") if array.size else b""
        chunks += _message(number, [shape] + _message(field, [data]))
    return chunks


def _message(number, chunks):
    """A length-delimited field: its tag and length, then its chunks."""
    return [_varint(number << 3 | 2) + _varint(sum(len(chunk) for chunk in chunks))] + list(chunks)


def _varint(value):
    """Protobuf's integers: seven bits a byte, least first, the top bit says that more follow."""
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def _read(path, name, what):
    try:
        with open(path, "rb") as f:
            data = f.read()
    except (OSError, ValueError) as e:      # ValueError: a NUL in the name
        raise CaffeError("%s: cannot read this %s: %s" % (path, what, getattr(e, "strerror", e))) from None
    try:
        return _BYTES[name].FromString(data)
    except message.DecodeError:
        raise CaffeError("%s: not a %s, or cut off (%d bytes); fetch or write it again"
                         % (path, what, len(data))) from None


def _write(path, chunks):
    size = sum(len(chunk) for chunk in chunks)
    if size >= 2 ** 31:
        raise CaffeError("%s: %d bytes are more than the 2 GB that protobuf reads from one file" % (path, size))
    write_atomically(path, chunks)
