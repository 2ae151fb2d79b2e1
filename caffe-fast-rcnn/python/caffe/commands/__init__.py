"""The command `caffe` and Caffe's tools: `caffe train -solver FILE`, `caffe convert_imageset ...`.

A command is a module with FLAGS, a list of `flags.Flag`, USAGE, its arguments in words, and run(flags, arguments).
"""
import importlib
import sys

from ..common import CaffeError, log, solver_rank
from ..host_memory import keep_freed_memory
from .flags import parse_flags, usage

# command: (module, what it does)
COMMANDS = {
    "train": ("train", "train or finetune a model"),
    "test": ("test", "score a model"),
    "time": ("time", "benchmark the execution time of a model, layer by layer"),
    "device_query": ("device_query", "show GPU diagnostic information"),
    "upgrade_net_proto_text": ("upgrade_net_proto_text", "upgrade an old net prototxt to the current format"),
    "upgrade_net_proto_binary": ("upgrade_net_proto_binary", "upgrade an old caffemodel to the current format"),
    "upgrade_solver_proto_text": ("upgrade_solver_proto_text", "upgrade an old solver prototxt to the current format"),
    "convert_imageset": ("convert_imageset", "write a list of labelled images to an LMDB"),
    "compute_image_mean": ("compute_image_mean", "compute the mean image of an LMDB"),
    "extract_features": ("extract_features", "write blobs of a net to LMDBs"),
    "draw_net": ("draw_net", "draw a net as a graph"),
    "parse_log": ("parse_log", "write the numbers of a training log as CSV"),
    "classify": ("classify", "classify images"),
    "detect": ("detect", "classify windows of images"),
}
# Caffe's binary `caffe` has these commands and one set of flags for all of them.
BINARY = ("train", "test", "time", "device_query")


def main(argv=None):
    """Run `caffe COMMAND ...`; returns the exit code.  A user's mistake prints one line on stderr and returns 1."""
    argv = _command_first(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "-help", "--help", "help"):
        print(_overview())
        return 0 if argv else 1
    if argv[0].lstrip("-") == "version":
        from .. import __version__
        print("caffe version %s" % __version__)
        return 0
    try:
        return _run(argv[0], argv[1:]) or 0
    except CaffeError as e:
        if not solver_rank():
            print("error: caffe %s: %s" % (argv[0], " ".join(str(e).split())), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()      # the reader of our output has gone; Python would complain when it flushes
        return 1


def _command_first(argv):
    """The arguments with the command moved in front of any flags before it."""
    if not argv or not argv[0].startswith("-"):
        return argv
    place = next((i for i, item in enumerate(argv) if item in BINARY), 0)
    return [argv[place], *argv[:place], *argv[place + 1:]]


def _run(name, argv):
    if name not in COMMANDS:
        raise CaffeError("unknown command; the commands are %s" % ", ".join(COMMANDS))
    module = _module(name)
    if {"-h", "-help", "--help"} & set(argv):
        print(usage(name, COMMANDS[name][1], module))
        return 0
    others = _flags_of_the_others(name, module)
    flags, arguments = parse_flags([*module.FLAGS, *others], argv)
    for flag in others:
        if flags[flag.name] != flag.default:
            log("caffe.cpp:437", "-%s %s has no effect on caffe %s" % (flag.name, flags[flag.name], name), "W")
    if name in BINARY and arguments:
        raise CaffeError("takes flags only; got %s" % " ".join(arguments))
    keep_freed_memory()
    return module.run(flags, arguments)


def _module(name):
    return importlib.import_module("." + COMMANDS[name][0], __name__)


def _flags_of_the_others(name, module):
    """The flags that a command of Caffe's binary accepts and ignores."""
    own = {flag.name for flag in module.FLAGS}
    others = [flag for other in BINARY if name in BINARY for flag in _module(other).FLAGS]
    return list({flag.name: flag for flag in others if flag.name not in own}.values())


def _overview():
    lines = ["usage: caffe COMMAND [flags]", "", "commands:"]
    lines += ["  %-26s %s" % (name, what) for name, (_module, what) in COMMANDS.items()]
    return "\n".join(lines + ["", "caffe COMMAND -help shows the flags of a command."])
