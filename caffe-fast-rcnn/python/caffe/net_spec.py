"""Nets written in Python: pycaffe's NetSpec.

    from caffe import layers as L, params as P
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(shape=[dict(dim=[8, 1, 28, 28]), dict(dim=[8])], ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.loss = L.SoftmaxWithLoss(L.InnerProduct(n.pool1, num_output=10), n.label)
    print(n.to_proto())                                     # a NetParameter; str() of it is a prototxt

`L.Type(bottoms..., settings...)` makes a layer and returns its top, or a tuple of ntop tops; with
`in_place=True` the layer overwrites its bottom.  Settings are the fields of the layer's own message
(`convolution_param` for Convolution) and of the layer itself (`param`, `include`, `loss_weight`, any
`..._param`), for all layers in the schema.
A top has the name under which it was assigned, else its type and a number; a layer has the name of
its first top.
"""
from collections import Counter, OrderedDict

from google.protobuf.message import Message

from .proto import caffe_pb2


def param_name_dict():
    """{layer type: prefix of its message in LayerParameter}: {"InnerProduct": "inner_product", ...}."""
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields
    return {f.message_type.name[:-len("Parameter")]: f.name[:-len("_param")] for f in fields
            if f.name.endswith("_param") and f.message_type and f.message_type.name.endswith("Parameter")}


_param_names = param_name_dict()


def assign_proto(proto, name, val):
    """Set field `name` of a message: dicts fill messages, lists repeated fields (one value counts as a list of one)."""
    if name not in proto.DESCRIPTOR.fields_by_name:
        raise AttributeError(f"{proto.DESCRIPTOR.name} has no field {name!r}")
    field = getattr(proto, name)
    if hasattr(field, "extend"):
        values = list(val) if isinstance(val, (list, tuple)) else [val]
        if hasattr(field, "add"):
            for value in values:
                _fill(field.add(), name, value)
        else:
            field.extend(values)
    elif isinstance(field, Message):
        _fill(field, name, val)
    else:
        setattr(proto, name, val)


def _fill(message, name, val):
    if not isinstance(val, dict):
        raise AttributeError(f"{name} is a {message.DESCRIPTOR.name}: expected a dict of its fields, got {val!r}")
    message.SetInParent()
    for key, value in val.items():
        assign_proto(message, key, value)


def to_proto(*tops):
    """The NetParameter of everything these tops are made from."""
    return _Writer({}).write(tops)


class Top:
    """One output of a layer; `to_proto()` returns the net up to it."""

    def __init__(self, fn, n):
        self.fn, self.n = fn, n

    def to_proto(self):
        return to_proto(self)


class Function:
    """A layer: its type, its input tops, its settings, and `tops`, its outputs."""

    def __init__(self, type_name, inputs, params):
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(given)})")
        self.type_name, self.inputs, self.params = type_name, inputs, dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))


class _Writer:
    """Writes layers in order, each after the layers that it reads."""

    def __init__(self, names):
        self._names, self._counts = names, Counter()        # {Top or Function: name}
        self._layers = OrderedDict()                        # Function -> LayerParameter

    def write(self, ends):
        for end in ends:
            if not isinstance(end, (Top, Function)):
                raise TypeError(f"expected a top of a layer, got {end!r}; a layer of ntop=2 gives two: n.a, n.b = ...")
            self._add(end.fn if isinstance(end, Top) else end)
        return caffe_pb2.NetParameter(layer=self._layers.values())

    def _add(self, last):
        """Add function `last` and all functions it needs, bottoms first (no recursion: nets are deep)."""
        waiting = [(last, iter(last.inputs))]
        while waiting:
            fn, inputs = waiting[-1]
            needed = next((top.fn for top in inputs if top.fn not in self._layers), None)
            if needed is not None:
                waiting.append((needed, iter(needed.inputs)))
                continue
            waiting.pop()
            if fn not in self._layers:
                self._layers[fn] = self._layer(fn)

    def _layer(self, fn):
        layer = caffe_pb2.LayerParameter(type=fn.type_name)
        layer.bottom.extend(self._layers[top.fn].top[top.n] for top in fn.inputs)
        layer.top.extend(layer.bottom if fn.in_place else [self._name(top, fn) for top in fn.tops])
        layer.name = self._name(fn.tops[0] if fn.tops else fn, fn)
        for name, value in fn.params.items():
            try:
                _assign_setting(layer, name, value)
            except (TypeError, ValueError) as e:
                raise type(e)(f"{fn.type_name}: {name}={value!r}: {e}") from None
        return layer

    def _name(self, named, fn):
        if named not in self._names:
            self._counts[fn.type_name] += 1
            self._names[named] = f"{fn.type_name}{self._counts[fn.type_name]}"
        return self._names[named]


def _assign_setting(layer, name, value):
    """Set field `name` of the layer's own message if it has that field, else of the layer."""
    own = _param_names.get(layer.type, "") + "_param"
    own_fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name.get(own)
    if not name.endswith("param") and own_fields and name in own_fields.message_type.fields_by_name:
        assign_proto(getattr(layer, own), name, value)
    elif name in layer.DESCRIPTOR.fields_by_name:
        if name in ("name", "type"):
            layer.ClearField(name)
        assign_proto(layer, name, value)
    else:
        known = list(own_fields.message_type.fields_by_name) if own_fields else []
        raise AttributeError(f"{layer.type} has no setting {name!r}; its own are {', '.join(known) or 'none'}, and "
                             "every layer takes those of LayerParameter (param, include, loss_weight, ..._param)")


class _UnknownTop(AttributeError, KeyError):
    """An AttributeError, for `hasattr`, and a KeyError, as in pycaffe."""

    __str__ = Exception.__str__


class NetSpec:
    """Named tops, assigned as attributes or items; `to_proto()` returns the net.  See the module docstring."""

    def __init__(self):
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name, value):
        self.tops[name] = value

    def __getattr__(self, name):
        if name == "tops" or name not in self.tops:         # "tops": while it is unpickled
            raise _UnknownTop(f"this NetSpec has no top {name!r}")
        return self.tops[name]

    def __delattr__(self, name):
        del self[name]

    def __setitem__(self, key, value):
        self.tops[key] = value

    def __getitem__(self, key):
        return getattr(self, key)

    def __delitem__(self, key):
        if key not in self.tops:
            raise _UnknownTop(f"this NetSpec has no top {key!r}")
        del self.tops[key]

    def to_proto(self):
        """The NetParameter of all assigned tops, in that order."""
        return _Writer({top: name for name, top in self.tops.items()}).write(self.tops.values())


class Layers:
    """`layers.Type(...)` makes a layer; returns its top, the tuple of its tops, or the layer itself if ntop=0."""

    def __getattr__(self, name):
        def layer_fn(*inputs, **settings):
            fn = Function(name, inputs, settings)
            if fn.ntop == 0:
                return fn
            return fn.tops[0] if fn.ntop == 1 else fn.tops
        return layer_fn


class Parameters:
    """`params.Pooling.MAX`: a value of an enum of a layer's message."""

    def __getattr__(self, name):
        return _Enums(name)


class _Enums:
    def __init__(self, layer):
        self._message = layer + "Parameter"

    def __getattr__(self, name):
        message = getattr(caffe_pb2, self._message, None)
        if message is None:
            raise AttributeError(f"params: the schema has no message {self._message}")
        value = message.DESCRIPTOR.enum_values_by_name.get(name)
        if value is None:
            raise AttributeError(f"params: {self._message} has no value {name!r}; it has "
                                 f"{', '.join(message.DESCRIPTOR.enum_values_by_name) or 'none'}")
        return value.number


layers, params = Layers(), Parameters()
