"""Lists of image files and labels: the text files that convert_imageset and the layer ImageData read."""
from ..common import CaffeError


def read_list(path):
    """[(file name, label)] of a list file: the label is what follows a line's last space."""
    try:
        with open(path, encoding="utf-8") as f:
            lines = [line.rstrip() for line in f if line.strip()]
    except (OSError, UnicodeDecodeError) as e:
        raise CaffeError("%s: cannot read this list: %s" % (path, getattr(e, "strerror", "it is not text"))) from None
    pairs = [line.rpartition(" ")[::2] for line in lines]
    for number, (name, label) in enumerate(pairs, 1):
        if not name.strip() or not label.lstrip("-").isdecimal():
            raise CaffeError("%s: entry %d is %r; expected a file name, a space and a label, a whole number"
                             % (path, number, lines[number - 1]))
    return [(name.rstrip(), int(label)) for name, label in pairs]


def read_bytes(path):
    """The bytes of a file, empty if it cannot be read."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""
