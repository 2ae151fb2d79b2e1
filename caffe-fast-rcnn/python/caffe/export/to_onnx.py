"""A net as an ONNX file."""
import numpy as np

from ..common import CaffeError
from ..util.files import write_atomically
from .onnx_ops import OPS
from .steps import function_for, net_steps

OPSET, IR_VERSION = 17, 8       # of 2022; every runtime since reads them


def to_onnx(net, path, metadata=None):
    """Write `net`, which is in TEST, to `path`.  metadata: {key: text}, which become metadata_props.

    Inputs and outputs have the blobs' names; axis 0 of an input and the height and width of an image are free.
    Parameters are called <layer>.weight and <layer>.bias.  Raises CaffeError naming the first layer without a
    counterpart, before anything is written.
    """
    onnx = import_onnx("onnx")
    steps, outputs = net_steps(net)
    for step in steps:
        function_for(OPS, step.layer, "ONNX")
    graph = Graph(onnx)
    for step in steps:
        OPS[step.layer.type](graph, step.layer, step.bottoms, step.tops, step.shapes)
    for name, value in outputs.items():
        if name != value:
            graph.node("Identity", [value], [name])
    inputs = [graph.value(name, _free_axes(name, net.blobs[name].shape)) for name in net.inputs]
    results = [graph.value(name, [None] * len(net.blobs[name].shape)) for name in net.outputs]
    body = onnx.helper.make_graph(graph.nodes, net.name or "net", inputs, results, list(graph.constants.values()))
    model = onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                   producer_name="caffe-fast-rcnn")
    onnx.helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    write_atomically(path, [model.SerializeToString()])


def import_onnx(name):
    """The package `name`; CaffeError with the remedy when it is missing."""
    try:
        return __import__(name)
    except ImportError:
        raise CaffeError("ONNX needs the packages onnx and onnxruntime; %s is missing: pip install onnx onnxruntime"
                         % name) from None


class Graph:
    """Nodes and constants, collected."""

    def __init__(self, onnx):
        self._onnx, self.nodes, self.constants, self._param_names = onnx, [], {}, {}

    def node(self, op_type, inputs, outputs, **attributes):
        self.nodes.append(self._onnx.helper.make_node(op_type, inputs, outputs, name=outputs[0], **attributes))

    def constant(self, name, array):
        """Enter an array; returns its name."""
        self.constants[name] = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def params(self, layer, *kinds):
        """Names of the layer's parameters, each blob entered once however many layers share it."""
        for blob, kind in zip(layer.blobs, kinds):
            if id(blob) not in self._param_names:
                self._param_names[id(blob)] = self.constant("%s.%s" % (layer.name, kind), blob.data)
        return [self._param_names[id(blob)] for blob in layer.blobs]

    def value(self, name, shape):
        return self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape)


def _free_axes(name, shape):
    """(1, 3, 224, 224) -> ["data_n", 3, "data_height", "data_width"];  (1, 5) -> ["rois_n", 5]."""
    free = {0: "n", 2: "height", 3: "width"} if len(shape) == 4 else {0: "n"}
    return ["%s_%s" % (name, free[axis]) if axis in free else size for axis, size in enumerate(shape)]
