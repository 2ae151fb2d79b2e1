"""A net as a picture: boxes for layers, octagons for blobs, by Graphviz; pycaffe's `caffe.draw`.

The graph is written here as DOT, Graphviz's language.  Pictures need its program `dot`; text (ext "dot") needs nothing.
"""
import os
import shutil
import subprocess

from .common import CaffeError
from .proto import caffe_pb2
from .util.files import as_message, write_atomically
from .util.filter_net import meets
from .util.upgrade import upgrade_net

_BLOB = {"shape": "octagon", "style": "filled", "fillcolor": "#E0E0E0"}
_LAYER = {"shape": "record", "style": "filled", "fillcolor": "#6495ED"}
_COLORS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}
_IN_PLACE_COLOR = "#90EE90"
_WINDOW = ("kernel_size", "kernel_h", "kernel_w", "stride", "stride_h", "stride_w", "pad", "pad_h", "pad_w", "dilation")


def draw_net_to_file(caffe_net, filename, rankdir="LR", phase=None, display_lrm=False):
    """Write the picture of a NetParameter; the file's ending says which kind: png, svg, pdf, dot, ..."""
    ext = os.path.splitext(filename)[1][1:].lower() or "png"
    write_atomically(filename, [draw_net(caffe_net, rankdir, ext, phase, display_lrm)])


def draw_net(caffe_net, rankdir, ext="png", phase=None, display_lrm=False):
    """The picture of a NetParameter as the bytes of a file of kind `ext` (png, svg, pdf, ...; "dot" for the text).

    rankdir: LR, TB, RL or BT, the direction from bottoms to tops.  phase: draw the layers of TRAIN or TEST only.
    display_lrm: say each layer's learning rate multipliers.  Raises CaffeError without Graphviz's `dot`.
    """
    text = to_dot(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).encode()
    if ext in ("dot", "gv", "raw"):
        return text
    program = shutil.which("dot")
    if program is None:
        raise CaffeError(f"draw_net: a picture of kind {ext!r} needs Graphviz's program dot; install graphviz, or "
                         "write a file that ends in .dot")
    done = subprocess.run([program, "-T", ext], input=text, capture_output=True)
    if done.returncode:
        raise CaffeError(f"draw_net: dot -T {ext} failed: {' '.join(done.stderr.decode(errors='replace').split())}")
    return done.stdout


def get_pydot_graph(caffe_net, rankdir, label_edges=True, phase=None, display_lrm=False):
    """The graph of a NetParameter as a pydot.Dot."""
    try:
        import pydot
    except ImportError:
        raise CaffeError("get_pydot_graph: needs pydot; install it (pip install pydot), or use draw_net") from None
    return pydot.graph_from_dot_data(to_dot(caffe_net, rankdir, label_edges, phase, display_lrm))[0]


def to_dot(caffe_net, rankdir="LR", label_edges=True, phase=None, display_lrm=False):
    """The graph of a NetParameter as DOT text.

    Parameters as for draw_net.  label_edges: write the number of channels at what a layer makes.
    """
    net = upgrade_net(as_message(caffe_net, caffe_pb2.NetParameter))
    layers = [layer for layer in net.layer if phase is None or _is_in(layer, phase)]
    nodes, edges = {}, []
    for number, layer in enumerate(layers):
        box = f"layer {number}"
        nodes[box] = {**_layer_style(layer), "label": _layer_label(layer, rankdir, display_lrm)}
        for name in (*layer.bottom, *layer.top):
            nodes[f"blob {name}"] = {**_BLOB, "label": _escaped(name)}
        edges += [(f"blob {name}", box, "") for name in layer.bottom]
        edges += [(box, f"blob {name}", _edge_label(layer) if label_edges else "") for name in layer.top]
    lines = [f"{_quoted(name)} [{_attributes(style)}];" for name, style in nodes.items()]
    lines += [f"{_quoted(start)} -> {_quoted(end)} [{_attributes({'label': label})}];" for start, end, label in edges]
    return "\n".join([f"digraph {_quoted(net.name or 'net')} {{", f"rankdir={rankdir};", *lines, "}", ""])


def _is_in(layer, phase):
    """Whether a layer's rules let it be in a net of this phase."""
    state = caffe_pb2.NetState(phase=int(phase))
    if layer.include:
        return any(meets(state, rule) for rule in layer.include)
    return not any(meets(state, rule) for rule in layer.exclude)


def _layer_style(layer):
    in_place = list(layer.bottom) == list(layer.top)
    return {**_LAYER, "fillcolor": _COLORS.get(layer.type, _IN_PLACE_COLOR if in_place else _LAYER["fillcolor"])}


def _layer_label(layer, rankdir, display_lrm):
    """Name, type and, for windows, their sizes; below each other where the net runs sideways."""
    lines = [layer.name, f"({layer.type})"]
    for setting in _window_settings(layer):
        for name in _WINDOW:
            values = getattr(setting, name, None)
            values = list(values) if hasattr(values, "extend") else [values] * bool(values)
            if values:
                lines.append(f"{name.replace('_', ' ')}: {' x '.join(map(str, values))}")
    if layer.type == "Pooling":
        lines[1] = f"(Pooling {caffe_pb2.PoolingParameter.PoolMethod.Name(layer.pooling_param.pool)})"
    if display_lrm and layer.param:
        lines.append("lr mult: " + ", ".join(f"{param.lr_mult:g}" for param in layer.param))
    return ("\\n" if rankdir in ("LR", "RL") else " ").join(_escaped(line) for line in lines)


def _window_settings(layer):
    return [getattr(layer, name) for name in ("convolution_param", "pooling_param") if layer.HasField(name)]


def _edge_label(layer):
    """The number of channels that a layer makes, where its settings say it."""
    for name in ("convolution_param", "inner_product_param", "embed_param"):
        if layer.HasField(name):
            return str(getattr(layer, name).num_output)
    return ""


def _escaped(text):
    """For a label: backslashes and what means something in a record."""
    return "".join("\\" + c if c in '\\{}|<>"' else c for c in text)


def _quoted(text):
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def _attributes(style):
    return ", ".join(f'{name}="{value}"' for name, value in style.items())
