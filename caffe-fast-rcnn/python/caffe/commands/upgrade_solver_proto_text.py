"""caffe upgrade_solver_proto_text: replaces the number solver_type in a solver prototxt by the name type."""
from ..common import log
from ..proto import caffe_pb2
from ..util.files import read_text_proto, write_atomically
from ..util.upgrade import upgrade_solver
from .flags import Flag, need_arguments
from .upgrade_net_proto_text import say_if_unchanged

USAGE = "OLD_FILE NEW_FILE"
FLAGS: list[Flag] = []


def run(_flags, arguments):
    """Write NEW_FILE, even if OLD_FILE is already in the current format."""
    need_arguments(arguments, ("OLD_FILE", "NEW_FILE"))
    old, new = arguments
    solver = read_text_proto(old, caffe_pb2.SolverParameter())
    upgraded = upgrade_solver(solver)
    say_if_unchanged(solver, upgraded, old)
    write_atomically(new, [str(upgraded).encode()])
    log("upgrade_solver_proto_text.cpp:46", "Wrote upgraded SolverParameter text proto to %s" % new)
