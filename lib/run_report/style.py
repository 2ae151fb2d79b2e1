"""The page's colours, and matplotlib in the page's style without a change to its global state."""
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

from run_report.runs import as_unicode

STYLE_SHEET = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
COLOURS = dict(re.findall(r"--(\w+): (#[0-9a-f]+)", STYLE_SHEET))
# Settings of a process, not of a drawing; matplotlib's own styles leave them alone too.
NOT_OF_A_DRAWING = ("backend", "interactive", "toolbar", "timezone", "date.epoch", "docstring.",
                    "webagg.", "tk.", "figure.max_open", "figure.raise", "savefig.directory")
SETTINGS = {
    **{key: value for key, value in matplotlib.rcParamsDefault.items()
       if not key.startswith(NOT_OF_A_DRAWING)},
    "svg.fonttype": "none",             # text as text
    "svg.hashsalt": "run_report",       # the same bytes in every run
    "text.parse_math": False,           # names of runs and classes may hold $
    "font.family": ["DejaVu Sans"],     # comes with matplotlib: the same measures everywhere
    "font.size": 11,
    "axes.titlesize": 11,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "butt",
    "legend.frameon": False,
}


@contextmanager
def page_style() -> Iterator[None]:
    """matplotlib's defaults and the page's style, whatever the user's matplotlibrc says.

    Afterwards matplotlib's settings are as before.
    """
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")     # the browser has others
        yield


def printable(text: str) -> str:
    """text in one line of Unicode, with U+FFFD for control characters, which XML and fonts lack."""
    line = " ".join(as_unicode(text).split())
    return re.sub("[^ -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", line)


def bgr(name: str) -> tuple[int, int, int]:
    """A colour of page.css as OpenCV takes it."""
    red, green, blue = bytes.fromhex(COLOURS[name][1:])
    return blue, green, red
