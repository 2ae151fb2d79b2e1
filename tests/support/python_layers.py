"""One Python layer behind inputs, as a net."""
from support.nets import net_from_text


def layer_net(module, class_name, bottoms, tops, param_str, phase):
    """A net of one Python layer; bottoms {name: array}, whose shapes the inputs take; tops: names."""
    inputs = "".join('layer { name: "%s" type: "Input" top: "%s" input_param { shape { %s } } } ' % (
        name, name, " ".join("dim: %d" % d for d in array.shape)) for name, array in bottoms.items())
    blobs = " ".join(['bottom: "%s"' % name for name in bottoms] + ['top: "%s"' % name for name in tops])
    return net_from_text(inputs + 'layer { name: "it" type: "Python" %s python_param { module: "%s" layer: "%s" '
                         'param_str: "%s" } }' % (blobs, module, class_name, param_str), phase)


def run_layer(module, class_name, bottoms, tops, param_str, phase):
    """[array of each top] of one forward pass."""
    net = layer_net(module, class_name, bottoms, tops, param_str, phase)
    net.forward(**bottoms)
    return [net.blobs[name].data.copy() for name in tops]
