"""Flags in the style of Caffe's tools (gflags): -name value, --name=value; switches: -name, -noname, -name=false."""
from dataclasses import dataclass, field

from ..common import CaffeError, set_log_level
from .log_file import open_log_file


@dataclass
class Flag:
    """A flag; its values have the type of `default` (bool: a switch)."""

    name: str
    default: object
    help: str
    choices: tuple = field(default=())


class Flags(dict):
    """A dict of the values by name, also available as attributes."""

    __getattr__ = dict.__getitem__


# Those of glog that scripts give to every tool.
LOG_FLAGS = [Flag("logtostderr", False, "write the log to stderr only, not to a file"),
             Flag("log_dir", "", "write the log to a file in this folder too"),
             Flag("minloglevel", 0, "0: all lines of the log, 1: warnings and errors, 2: errors"),
             # Accepted: the whole log goes to stderr, at once, without colours, and has no verbose lines.
             Flag("alsologtostderr", True, ""), Flag("stderrthreshold", 0, ""), Flag("colorlogtostderr", False, ""),
             Flag("v", 0, ""), Flag("vmodule", "", ""), Flag("logbufsecs", 0, ""), Flag("max_log_size", 0, "")]


def parse_flags(flags, argv):
    """(Flags, [the other arguments]) of a command line.  Raises CaffeError for an unknown flag or a wrong value."""
    known = {flag.name: flag for flag in [*flags, *LOG_FLAGS]}
    values = Flags({name: flag.default for name, flag in known.items()})
    arguments, rest = [], iter(argv)
    for item in rest:
        if item == "--":
            arguments += rest
        elif item.startswith("-") and len(item) > 1 and not _is_number(item):
            flag, text = _split(item, known)
            if text is None:
                text = next(rest, None)
            values[flag.name] = _value(flag, text)
        else:
            arguments.append(item)
    if values.minloglevel:
        set_log_level(values.minloglevel)
    if values.log_dir and not values.logtostderr:
        open_log_file(values.log_dir)
    return values, arguments


def _split(item, known):
    """(flag, text of its value or None where the next argument is it)."""
    name, equals, text = item.lstrip("-").partition("=")
    if name in known:
        alone = "true" if isinstance(known[name].default, bool) else None
        return known[name], text if equals else alone
    if name.startswith("no") and isinstance(getattr(known.get(name[2:]), "default", None), bool) and not equals:
        return known[name[2:]], "false"
    raise CaffeError("unknown flag %s; the flags are %s"
                     % (item, " ".join("-" + name for name in known if known[name] not in LOG_FLAGS) or "none"))


def _value(flag, text):
    if text is None:
        raise CaffeError("flag -%s has no value" % flag.name)
    if flag.choices and text not in flag.choices:
        raise CaffeError("-%s %s: expected %s" % (flag.name, text, " or ".join(flag.choices)))
    try:
        return _bool(text) if isinstance(flag.default, bool) else type(flag.default)(text)
    except ValueError:
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(flag.default)]
        raise CaffeError("-%s %s: expected %s" % (flag.name, text, kind)) from None


def _bool(text):
    words = {"true": True, "t": True, "yes": True, "y": True, "1": True,
             "false": False, "f": False, "no": False, "n": False, "0": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _is_number(item):
    try:
        float(item)
    except ValueError:
        return False
    return True


def usage(name, what, module):
    """The help of a command."""
    lines = ["usage: caffe %s [flags] %s" % (name, module.USAGE), "", what, "", "flags:"]
    for flag in module.FLAGS:
        default = "" if flag.default in ("", False) else " (default: %s)" % flag.default
        lines.append("  -%-20s %s%s" % (flag.name, flag.help, default))
    return "\n".join(lines).rstrip()


def need_arguments(arguments, names):
    """CaffeError unless there are exactly as many arguments as `names`."""
    if len(arguments) != len(names):
        raise CaffeError("takes %d arguments, %s; got %d (%s)"
                         % (len(names), " ".join(names), len(arguments), " ".join(arguments) or "none"))


def whole_list(text):
    """["a", "b"] of "a,b", without empty parts."""
    return [part.strip() for part in text.split(",") if part.strip()]
