"""Give every consumer of a blob its own copy: a Split layer behind each top that is used more than once.

Names as Caffe makes them: blob b of layer l, top number t, gives the layer "b_l_t_split" with tops "b_l_t_split_<k>".
"""
from collections import Counter

from ..common import CaffeError
from ..proto import caffe_pb2


def insert_splits(net_param):
    """A copy of `net_param` in which no top is a bottom of two layers (a loss weight counts as a use)."""
    sources, uses, weights = _count_uses(net_param)
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net_param)
    del out.layer[:]
    next_copy = Counter()
    for i, layer in enumerate(net_param.layer):
        new = out.layer.add()
        new.CopyFrom(layer)
        for j, name in enumerate(layer.bottom):
            top = sources[i, j]
            if uses[top] > 1:
                new.bottom[j] = _split_name(net_param, top, name) + "_%d" % next_copy[top]
                next_copy[top] += 1
        for j, name in enumerate(layer.top):
            if uses[i, j] > 1:
                _add_split(out, _split_name(net_param, (i, j), name), name, uses[i, j], weights.get((i, j), 0))
                if weights.get((i, j)):
                    new.ClearField("loss_weight")
                    next_copy[i, j] += 1    # copy 0 carries the loss
    return out


def _count_uses(net_param):
    """sources[layer, bottom] = the (layer, top) it reads; uses[layer, top]; loss weights[layer, top]."""
    last, sources, uses, weights = {}, {}, Counter(), {}
    for i, layer in enumerate(net_param.layer):
        for j, name in enumerate(layer.bottom):
            if name not in last:
                raise CaffeError("layer %s (%s): unknown bottom blob %r (bottom %d): no layer before it has such a top"
                                 % (layer.name, layer.type, name, j))
            sources[i, j] = last[name]
            uses[last[name]] += 1
        for j, name in enumerate(layer.top):
            last[name] = (i, j)
        for j, weight in enumerate(layer.loss_weight[:len(layer.top)]):
            weights[i, j] = weight
            uses[i, j] += bool(weight)
    return sources, uses, weights


def _split_name(net_param, top, blob):
    return "%s_%s_%d_split" % (blob, net_param.layer[top[0]].name, top[1])


def _add_split(out, name, blob, copies, loss_weight):
    split = out.layer.add(name=name, type="Split", bottom=[blob], top=["%s_%d" % (name, k) for k in range(copies)])
    if loss_weight:
        split.loss_weight.extend([loss_weight] + [0] * (copies - 1))
