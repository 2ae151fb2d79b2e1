"""caffe upgrade_net_proto_text: converts a net prototxt of 2013 (V0) or 2014 (V1) to the current format."""
from ..common import log
from ..proto import caffe_pb2
from ..util.files import read_text_proto, write_atomically
from ..util.upgrade import upgrade_net
from .flags import Flag, need_arguments

USAGE = "OLD_FILE NEW_FILE"
FLAGS: list[Flag] = []


def run(_flags, arguments):
    """Write NEW_FILE, even if OLD_FILE is already in the current format."""
    need_arguments(arguments, ("OLD_FILE", "NEW_FILE"))
    old, new = arguments
    net = read_text_proto(old, caffe_pb2.NetParameter())
    upgraded = upgrade_net(net, old)
    say_if_unchanged(net, upgraded, old)
    write_atomically(new, [str(upgraded).encode()])
    log("upgrade_net_proto_text.cpp:46", "Wrote upgraded NetParameter text proto to %s" % new)


def say_if_unchanged(before, after, path):
    """Log that there is nothing to upgrade, as Caffe's tools do."""
    if before == after:
        log("upgrade_net_proto_text.cpp:34", "File already in latest proto format: %s" % path, "W")
