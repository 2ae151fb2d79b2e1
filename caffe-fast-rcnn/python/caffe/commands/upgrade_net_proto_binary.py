"""caffe upgrade_net_proto_binary: converts a caffemodel of 2013 (V0) or 2014 (V1) to the current format."""
from google.protobuf.message import DecodeError

from ..common import CaffeError, log
from ..proto import caffe_pb2
from ..util.files import write_atomically
from ..util.upgrade import upgrade_net
from .flags import Flag, need_arguments
from .upgrade_net_proto_text import say_if_unchanged

USAGE = "OLD_FILE NEW_FILE"
FLAGS: list[Flag] = []


def run(_flags, arguments):
    """Write NEW_FILE, even if OLD_FILE is already in the current format."""
    need_arguments(arguments, ("OLD_FILE", "NEW_FILE"))
    old, new = arguments
    net = _read(old)
    upgraded = upgrade_net(net, old)
    say_if_unchanged(net, upgraded, old)
    write_atomically(new, [upgraded.SerializeToString()])
    log("upgrade_net_proto_binary.cpp:46", "Wrote upgraded NetParameter binary proto to %s" % new)


def _read(path):
    try:
        with open(path, "rb") as f:
            net = caffe_pb2.NetParameter.FromString(f.read())
    except OSError as e:
        raise CaffeError("%s: cannot read this caffemodel: %s" % (path, e.strerror)) from None
    except DecodeError:
        raise CaffeError("%s: not a caffemodel, or truncated; use upgrade_net_proto_text for a prototxt"
                         % path) from None
    if not net.layer and not net.layers:
        raise CaffeError("%s: holds no layers: not a caffemodel" % path)
    return net
