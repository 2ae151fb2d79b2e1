"""caffe upgrade_solver_proto_text: a solver prototxt with the number solver_type as one with the name type."""
from ..common import log
from ..proto import caffe_pb2
from ..util.files import read_text_proto, write_atomically
from ..util.upgrade import upgrade_solver
from .flags import Flag, need_arguments
from .upgrade_net_proto_text import say_if_unchanged

USAGE = "OLD_FILE NEW_FILE"
FLAGS: list[Flag] = []


def run(_flags, arguments):
    """Write NEW_FILE, also where OLD_FILE is in the present format already."""
    need_arguments(arguments, ("OLD_FILE", "NEW_FILE"))
    old, new = arguments
    solver = read_text_proto(old, caffe_pb2.SolverParameter())
    upgraded = upgrade_solver(solver)
    say_if_unchanged(solver, upgraded, old)
    write_atomically(new, [str(upgraded).encode()])
    log("upgrade_solver_proto_text.cpp:46", "Wrote upgraded SolverParameter text proto to %s" % new)
