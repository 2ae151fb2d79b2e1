"""Plots as SVG text, styled by page.css: lines over iterations, precision over recall, bars, points.

Colours are CSS classes: run0 and run1, the two runs; fg and bg, foreground and background RoIs.
"""
import math
from html import escape

import numpy as np

LEFT, BOTTOM, TOP, RIGHT = 46, 34, 20, 18      # margins around the plotted area, pixels


class Axes:
    """A plotted area of width x height pixels, margins included, with the ranges x = (low, high) and y; log: of y, or
    "xy" of both."""

    def __init__(self, width, height, x, y, log=""):
        self.width, self.height, self.log = width, height, log
        self._ranges = [self._scaled(np.array(r, float), axis) for r, axis in ((x, "x"), (y, "y"))]
        self._parts = []

    def _scaled(self, values, axis):
        return np.log10(np.maximum(values, 1e-12)) if axis in self.log else np.asarray(values, float)

    def place(self, values, axis):
        """Pixel coordinates of values."""
        low, high = self._ranges[axis == "y"]
        part = (self._scaled(np.asarray(values, float), axis) - low) / ((high - low) or 1)
        if axis == "x":
            return LEFT + part * (self.width - LEFT - RIGHT)
        return self.height - BOTTOM - part * (self.height - BOTTOM - TOP)

    def grid(self, x_label, y_label):
        """Lines and numbers at round values, and what the axes are."""
        right, floor = self.width - RIGHT, self.height - BOTTOM
        for value in self._ticks("y"):
            y = self.place(value, "y")
            self._parts.append('<path class="grid" d="M%d %.1fH%d"/>' % (LEFT, y, right))
            self._text(LEFT - 6, y + 3.5, "end", _number(value))
        for value in self._ticks("x"):
            x = self.place(value, "x")
            self._parts.append('<path class="grid" d="M%.1f %dV%d"/>' % (x, TOP, floor))
            self._text(x, floor + 14, "middle", _number(value))
        self._text(right, floor + 28, "end", x_label)
        self._text(LEFT, TOP - 8, "start", y_label)

    def _text(self, x, y, anchor, text):
        self._parts.append('<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>' % (x, y, anchor, escape(text)))

    def _ticks(self, axis):
        low, high = self._ranges[axis == "y"]
        if axis in self.log:
            return powers(low, high)
        return round_values(low, high, 5 if axis == "y" else 4)

    def line(self, x, y, css):
        """A polyline; it is broken where y is nan."""
        points, down = [], False
        for px, py in zip(self.place(x, "x"), self.place(y, "y")):
            if math.isnan(py):
                down = False
                continue
            points.append("%s%.1f %.1f" % ("L" if down else "M", px, py))
            down = True
        self._parts.append('<path class="line %s" d="%s"/>' % (css, "".join(points)))

    def points(self, x, y, css):
        circles = "".join("M%.1f %.1fh0" % p for p in zip(self.place(x, "x"), self.place(y, "y")))
        self._parts.append('<path class="points %s" d="%s"/>' % (css, circles))

    def svg(self, title):
        return ('<svg viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>'
                % (self.width, self.height, escape(title), "".join(self._parts)))


def curves(series, y_label, log=False, title=""):
    """Lines over iterations.  series: [(x, y, css class)]; more than 30 points: faint, with a running mean above."""
    values = np.concatenate([np.asarray(y, float) for _, y, _ in series])
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        return ""
    low, high = (values.min() / 1.1, values.max() * 1.1) if log else (0, values.max() * 1.05)
    last = max(max(x) for x, _, _ in series)
    axes = Axes(520, 240, (0, last), (low, high), "y" if log else "")
    axes.grid("iteration", y_label)
    for x, y, css in series:
        if len(x) > 30:
            axes.line(x, y, css + " faint")
        axes.line(x, running_mean(y, max(1, len(x) // 25)), css)
    return axes.svg(title or y_label)


def precision_recall(series, title):
    """Precision over recall of one class.  series: [(recall, precision, css class)]."""
    axes = Axes(210, 170, (0, 1), (0, 1.02))
    axes.grid("recall", "precision")
    for recall, precision, css in series:
        if len(recall) and np.isfinite(recall).all():
            rises = np.flatnonzero(np.diff(recall, prepend=0) > 0)      # most of many detections change nothing to see
            keep = rises[np.unique(np.linspace(0, max(0, len(rises) - 1), 200).round().astype(int))[:len(rises)]]
            axes.line(recall[keep], precision[keep], css)
    return axes.svg("precision over recall of " + title)


def scatter(series, x_label, y_label):
    """Points on two logarithmic axes of the same range, with the diagonal.  series: [(x, y, css class)]."""
    values = np.concatenate([np.concatenate(pair[:2]) for pair in series])
    span = max(1e-4, values.min() / 1.3), values.max() * 1.3
    axes = Axes(430, 400, span, span, "xy")
    axes.grid(x_label, y_label)
    axes.line(span, span, "diagonal")
    for x, y, css in series:
        axes.points(np.maximum(x, span[0]), np.maximum(y, span[0]), css)
    return axes.svg("%s against %s" % (y_label, x_label))


def stacked_bar(parts):
    """One bar of the whole width, as HTML.  parts: [(amount, css class, name, text)]; from 7 % on with the text."""
    total = max(sum(amount for amount, *_ in parts), 1e-9)
    cells = ['<i class="%s" style="flex-grow:%g" title="%s: %s">%s</i>'
             % (css, amount, escape(name), text, text if amount >= 0.07 * total else "")
             for amount, css, name, text in parts if amount]
    return '<div class="stack">%s</div>' % "".join(cells)


def running_mean(values, width):
    """(N,) mean of the last `width` values that are numbers, nan where the value itself is none."""
    values = np.asarray(values, float)
    counts = np.cumsum(np.isfinite(values))
    sums = np.cumsum(np.nan_to_num(values))
    counts[width:], sums[width:] = counts[width:] - counts[:-width], sums[width:] - sums[:-width]
    return np.where(np.isfinite(values), sums / np.maximum(counts, 1), np.nan)


def round_values(low, high, count):
    """About `count` round numbers between low and high: multiples of 1, 2 or 5 times a power of 10."""
    raw = (high - low) / count or 1
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def powers(low, high):
    """Ticks of a logarithmic axis from 10**low to 10**high: powers of 10; where it is short, 2 and 5 times them too."""
    if high - low < 1.5:
        values = [m * 10.0 ** k for k in range(math.floor(low), math.ceil(high)) for m in (1, 2, 5)]
        return [value for value in values if low <= math.log10(value) <= high]
    return [10.0 ** k for k in range(math.ceil(low), math.floor(high) + 1, max(1, math.ceil((high - low) / 6)))]


def _number(value):
    return "%g" % value if value < 10000 else "%gk" % (value / 1000)
