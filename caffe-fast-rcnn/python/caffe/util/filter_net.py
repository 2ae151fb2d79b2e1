"""Keep the layers that a net's state (phase, level, stages) asks for."""
from ..common import CaffeError, Phase
from ..proto import caffe_pb2


def filter_net(net_param):
    """A copy of `net_param` with the layers whose include/exclude rules meet net_param.state."""
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net_param)
    del out.layer[:]
    for layer in net_param.layer:
        if layer.include and layer.exclude:
            raise CaffeError("layer %s: give include rules or exclude rules, not both" % layer.name)
        rules = layer.include or layer.exclude
        met = any(meets(net_param.state, rule) for rule in rules)
        if (met or not layer.include) and not (met and layer.exclude):
            out.layer.add().CopyFrom(layer)
    return out


def meets(state, rule):
    """Whether a NetState meets a NetStateRule: all of its conditions hold."""
    if rule.HasField("phase") and Phase(rule.phase) != state.phase:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    return set(rule.stage) <= set(state.stage) and not set(rule.not_stage) & set(state.stage)
