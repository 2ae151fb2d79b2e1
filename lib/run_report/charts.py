"""Plots of the page: matplotlib's as SVG elements, stacked bars as HTML.

Series say how they look by the names of page.css: run0 and run1, the two runs, or "run0 dashed";
fg and bg, foreground and background RoIs.
"""
from html import escape

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import IdentityTransform

from run_report.style import COLOURS, page_style, printable
from run_report.svg import svg_element

LEFT, BOTTOM, TOP, RIGHT = 46, 34, 20, 18      # margins around the plotted area, pixels
DPI = 72                                        # of matplotlib's SVG: a point is a pixel


def curves(series, y_label, log=False, title=""):
    """Lines over iterations; more than 30 points: faint, with a running mean above.

    series: [(x, y, look)].  log: of the y axis.
    """
    values = np.concatenate([np.asarray(y, float) for _, y, _ in series])
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        return ""
    low, high = (values.min() / 1.1, values.max() * 1.1) if log else (0, values.max() * 1.05)
    last = max(max(x) for x, _, _ in series)
    with page_style():
        axes = _make_axes(520, 240, (0, last), (low, high), "y" if log else "")
        _name_axes(axes, "iteration", y_label)
        for x, y, look in series:
            y = np.maximum(y, low)      # zeros, where the axis is logarithmic
            if len(x) > 30:
                _line(axes, x, y, look, alpha=.22, linewidth=1)
            _line(axes, x, running_mean(y, max(1, len(x) // 25)), look)
        return svg_element(axes.figure, title or y_label)


def precision_recall(series, title):
    """Precision over recall of one class.  series: [(recall, precision, look)]."""
    with page_style():
        axes = _make_axes(210, 170, (0, 1), (0, 1.02))
        _name_axes(axes, "recall", "precision")
        for recall, precision, look in series:
            if len(recall) and np.isfinite(recall).all():
                keep = _visible(recall)
                _line(axes, recall[keep], precision[keep], look)
        return svg_element(axes.figure, "precision over recall of " + title)


def scatter(series, x_label, y_label):
    """Points on two logarithmic axes of the same range, with the diagonal.

    series: [(x, y, look)].
    """
    values = np.concatenate([np.concatenate(pair[:2]) for pair in series])
    span = max(1e-4, values.min() / 1.3), values.max() * 1.3
    with page_style():
        axes = _make_axes(430, 400, span, span, "xy")
        _name_axes(axes, x_label, y_label)
        _line(axes, span, span, "dim", linewidth=1)
        for x, y, look in series:
            _points(axes, np.maximum(x, span[0]), np.maximum(y, span[0]), look)
        return svg_element(axes.figure, f"{y_label} against {x_label}")


def histogram(series, edges, x_label, y_label, log=False, marks=()):
    """Outlines of bars over `edges` (B + 1,).

    series: [(heights (B,), look)].  log: of the x axis.  marks: [(x, text)], upright lines.
    """
    highest = max([0, *(max(heights) for heights, _ in series)])
    with page_style():
        axes = _make_axes(520, 240, (edges[0], edges[-1]), (0, highest * 1.1 or 1), "x" if log else "")
        _name_axes(axes, x_label, y_label)
        for x, text in marks:
            _line(axes, [x, x], [0, highest * 1.1 or 1], "dim", linewidth=1)
            axes.annotate(printable(text), (x, highest * 1.1 or 1), (4, -4), textcoords="offset points", va="top")
        for heights, look in series:
            _line(axes, np.repeat(edges, 2), np.concatenate([[0], np.repeat(heights, 2), [0]]), look)
        return svg_element(axes.figure, f"{y_label} over {x_label}")


def stacked_bar(parts):
    """One bar of the whole width, as HTML.

    parts: [(amount, css class, name, text)]; the text is shown where there is room: from 7 % on.
    """
    total = max(sum(amount for amount, *_ in parts), 1e-9)
    cells = ['<i class="%s" style="flex-grow:%g" title="%s: %s">%s</i>'
             % (css, amount, escape(name), text, text if amount >= 0.07 * total else "")
             for amount, css, name, text in parts if amount]
    return '<div class="stack">%s</div>' % "".join(cells)


def running_mean(values, width):
    """(N,) mean of the last `width` values that are finite, nan where the value itself is not."""
    values = np.asarray(values, float)
    known = np.isfinite(values)
    counts = np.cumsum(known)
    sums = np.cumsum(np.where(known, values, 0))
    counts[width:] -= counts[:-width].copy()
    sums[width:] -= sums[:-width].copy()
    return np.where(known, sums / np.maximum(counts, 1), np.nan)


def _make_axes(width, height, x, y, log="") -> Axes:
    """Axes over x = (low, high) and y in a figure of width x height pixels.

    log: the names of the axes that are logarithmic.
    """
    figure = Figure((width / DPI, height / DPI), DPI, frameon=False)
    inner = 1 - (LEFT + RIGHT) / width, 1 - (BOTTOM + TOP) / height
    axes = figure.add_axes((LEFT / width, BOTTOM / height, *inner), frameon=False)
    axes.set_axisbelow(True)
    axes.grid(True, color=COLOURS["rule"], linewidth=1, clip_on=False)
    axes.tick_params("y", length=0, pad=5)
    axes.tick_params("x", length=0, pad=6)
    for name, (low, high), count in (("x", x, 4), ("y", y, 5)):
        high = high if high > low else low + 1
        axes.set(**{name + "scale": "log" if name in log else "linear", name + "lim": (low, high)})
        axis = getattr(axes, name + "axis")
        axis.set_major_locator(_ticks(low, high, count, name in log))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(_number))
    return axes


def _ticks(low, high, count, log) -> Locator:
    """About `count` round values; powers of 10, and on a short axis 2 and 5 times them too."""
    if not log:
        return MaxNLocator(count, steps=[1, 2, 5, 10])
    return LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,), numticks=8)


def _number(value, _):
    return f"{value:g}" if value < 10000 else f"{value / 1000:g}k"


def _name_axes(axes, x_label, y_label):
    """x_label at the right end of its axis; y_label, which stays horizontal, above its axis."""
    axes.set_xlabel(printable(x_label), loc="right")
    axes.set_title(printable(y_label), loc="left", y=1, pad=8)     # y: no search for room


def _line(axes, x, y, look, **properties):
    """A line, broken where y is not finite."""
    colour, *dashed = look.split()
    if dashed:
        properties["dashes"] = 3, 1.5
    axes.plot(x, y, color=COLOURS[colour], clip_on=False, **properties)


def _points(axes, x, y, colour):
    """Dots, all in one path: the round ends of lines that have no length once they are rounded.

    Markers would take ten times the text, and lines without any length are left out by matplotlib.
    """
    if not len(x):
        return
    places = axes.transData.transform(np.column_stack([x, y]))
    ends = np.stack([places, places + (.001, 0)], axis=1).reshape(-1, 2)
    path = Path(ends, np.tile([Path.MOVETO, Path.LINETO], len(x)))
    path.should_simplify = False
    axes.add_patch(PathPatch(
        path, transform=IdentityTransform(), fill=False, edgecolor=COLOURS[colour], linewidth=3.6,
        capstyle="round", alpha=.8 if colour == "fg" else .45, clip_on=False, zorder=3))


def _visible(recall):
    """Indices of at most 200 detections that change something to see: where the recall rises."""
    rises = np.flatnonzero(np.diff(recall, prepend=0) > 0)
    spread = np.linspace(0, max(0, len(rises) - 1), 200).round().astype(int)
    return rises[np.unique(spread)[:len(rises)]]
