"""caffe draw_net: a net prototxt as a picture of its graph, by graphviz."""
from ..common import CaffeError
from ..proto import caffe_pb2
from ..util.files import read_text_proto
from ..util.upgrade import upgrade_net
from .flags import Flag, need_arguments

USAGE = """NET IMAGE

NET is a net prototxt; the name of IMAGE tells its kind: .png, .pdf, .svg, ..."""
FLAGS = [Flag("rankdir", "LR", "direction of the graph: LR, RL, TB or BT", ("LR", "RL", "TB", "BT")),
         Flag("phase", "ALL", "phase whose layers are drawn: TRAIN, TEST or ALL", ("TRAIN", "TEST", "ALL")),
         Flag("display_lrm", False, "show the layers' learning rate multipliers")]


def run(flags, arguments):
    """Draw the net."""
    need_arguments(arguments, ("NET", "IMAGE"))
    model, image = arguments
    if "." not in image.rpartition("/")[2]:
        raise CaffeError("%s: its name has no extension for the image format; use %s.png" % (image, image))
    net = upgrade_net(read_text_proto(model, caffe_pb2.NetParameter()), model)
    phase = None if flags.phase == "ALL" else caffe_pb2.Phase.Value(flags.phase)
    from .. import draw
    print("Drawing net to %s" % image)
    draw.draw_net_to_file(net, image, flags.rankdir, phase, flags.display_lrm)
