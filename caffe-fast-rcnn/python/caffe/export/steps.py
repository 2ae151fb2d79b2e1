"""A net as a list of steps in which every value is made once: what both targets are written from."""
from collections import namedtuple

from .. import common

# layer: the Layer;  bottoms: value names;  tops: value names, one for each top of the layer
Step = namedtuple("Step", "layer bottoms tops shapes")


def net_steps(net):
    """([Step, ...], {output blob: value name}) of a net in TEST.

    A blob that a layer changes in place becomes a new value, named after that layer; the last value of an output has
    the blob's name.  Inputs are values without a step; Split layers and a Dropout that does nothing are left out: their
    tops are their bottom's value.  A step's `shapes` are those of its bottoms.  Raises CaffeError for a net in TRAIN,
    and where two layers have one name.
    """
    if net.phase != common.TEST:
        raise common.CaffeError("net %s: only a net in TEST can be exported; build it with caffe.TEST" % net.name)
    if len(net.layer_dict) != len(net.layers):
        raise common.CaffeError("net %s: two layers have the same name; give each its own to export the net" % net.name)
    maker_of = {name: layer for layer in net.layers if not _does_nothing(layer) for name in net.top_names[layer.name]}
    value_of, taken, steps = {}, set(net.outputs), []
    for layer in net.layers:
        names = net.top_names[layer.name]
        bottoms = [value_of[name] for name in net.bottom_names[layer.name]]
        if _does_nothing(layer):
            value_of.update((name, bottoms[0]) for name in names)
            continue
        tops = [name if name in net.outputs and maker_of[name] is layer
                else _free_name(name if name not in value_of else layer.name, taken) for name in names]
        shapes = [net.blobs[name].shape for name in net.bottom_names[layer.name]]
        value_of.update(zip(names, tops))
        if layer.type != "Input":
            steps.append(Step(layer, bottoms, tops, shapes))
    return steps, {name: value_of[name] for name in net.outputs}


def _does_nothing(layer):
    """Split, and Dropout at TEST in its usual form (scale_train: true)."""
    return layer.type == "Split" or (layer.type == "Dropout" and layer.layer_param.dropout_param.scale_train)


def _free_name(name, taken):
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def function_for(table, layer, target):
    """The entry of `table` for a layer; CaffeError naming the layer and the types that have one."""
    if layer.type not in table:
        layer.fail("has no counterpart in %s; the types that have one: %s" % (target, ", ".join(sorted(table))))
    return table[layer.type]
