"""Window files: images and boxes in them, the text files that the layer WindowData reads."""
from typing import NamedTuple

from ..common import CaffeError


class Window(NamedTuple):
    """A box, in pixels with both ends included, in image number `image`."""
    image: int
    label: int
    overlap: float
    box: tuple[int, int, int, int]


def read_window_file(path):
    """([paths], channels of the last image, [Window]) of a window file.  Raises CaffeError.

    For each image: # number, path, channels, height, width, number of windows; for each window: label overlap x1 y1
    x2 y2.
    """
    try:
        with open(path, encoding="utf-8") as f:
            tokens = _Tokens(path, f.read())
    except (OSError, UnicodeDecodeError) as e:
        raise CaffeError("%s: cannot read this window file: %s"
                         % (path, getattr(e, "strerror", "it is not text"))) from None
    if tokens.at_end():
        raise CaffeError("%s: this window file is empty; expected # 0 in its first line" % path)
    images, windows, channels = [], [], 0
    while not tokens.at_end():
        number = _read_number(tokens, len(images))
        images.append(tokens.take(str, "the path of image %d" % number))
        channels, _height, _width = (tokens.take(int, "%s of image %d" % (what, number))
                                     for what in ("channels", "height", "width"))
        count = tokens.take(int, "the number of windows of image %d" % number)
        windows += [_read_window(tokens, number) for _ in range(count)]
    return images, channels, windows


def _read_number(tokens, expected):
    if tokens.take(str, "#") != "#":
        tokens.fail("# and the number %d of the next image" % expected)
    number = tokens.take(int, "the image's number")
    if number != expected:
        tokens.fail("image number %d, as images are numbered from 0" % expected)
    return number


def _read_window(tokens, image):
    what = "a window of image %d: label overlap x1 y1 x2 y2" % image
    kinds = (int, float, int, int, int, int)
    label, overlap, *box = [tokens.take(kind, what) for kind in kinds]
    return Window(image, label, overlap, tuple(box))


class _Tokens:
    """The words of a file, with the lines in which they stand."""

    def __init__(self, path, text):
        self._path, self._next = path, 0
        self._words = [(word, number) for number, line in enumerate(text.splitlines(), 1) for word in line.split()]

    def at_end(self):
        return self._next == len(self._words)

    def take(self, kind, what):
        """The next word as an int, float or str; `what` says what it should be."""
        self._next += 1
        if self._next > len(self._words):
            raise CaffeError("%s: this window file ends early; expected %s" % (self._path, what))
        try:
            return kind(self._words[self._next - 1][0])
        except ValueError:
            self.fail(what)

    def fail(self, what):
        word, line = self._words[self._next - 1]
        raise CaffeError("%s:%d: not a valid window file: expected %s, got %r" % (self._path, line, what, word))
