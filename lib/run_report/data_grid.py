"""Images of a data set with their objects, and those that look doubtful, as HTML."""
import os
from collections import Counter
from html import escape

import numpy as np
from utils.images import read_image

from run_report import pictures
from run_report.data_findings import DataAnalysis
from run_report.data_sets import DataSet, Picture
from run_report.tables import captioned, swatch

WIDTH = 280         # pixels of an image in a grid
SHOWN = 12          # duplicates
PALETTE = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#f032e6", "#9a6324", "#808000", "#000075")


def grids(sets: list[DataSet], count: int) -> str:
    """`count` images of each set with their boxes: one of each class, rare ones first, then images spread evenly."""
    html = '<p class="note">Difficult objects and crowds have thin lines.</p>'
    for k, data in enumerate(sets):
        chosen = choose_pictures(data, count)
        html += f"<h3>{swatch(k, data.name)}</h3>"
        html += f'<div class="grid">{"".join(_figure(data.pictures[i], data.classes) for i in chosen)}</div>'
    return html


def choose_pictures(data: DataSet, count: int) -> list[int]:
    """Indices of at most `count` pictures, in rising order."""
    images_of: dict[int, list[int]] = {}
    for i, picture in enumerate(data.pictures):
        for c in set(picture.classes.tolist()):
            images_of.setdefault(c, []).append(i)
    chosen: list[int] = []
    for c in sorted(images_of, key=lambda c: len(images_of[c])):
        if not set(images_of[c]) & set(chosen):
            chosen.append(images_of[c][0])
    spread = np.linspace(0, len(data.pictures) - 1, min(count, len(data.pictures))).round().astype(int).tolist()
    return sorted(list(dict.fromkeys(chosen[:count] + spread))[:count])


def same_boxes(analysis: DataAnalysis) -> str:
    """Pairs of boxes on the same place, those of different classes first."""
    classes = analysis.training.classes
    pairs = sorted(analysis.same_boxes, key=lambda pair: pair.is_one_class)
    html = ""
    for pair in pairs[:SHOWN]:
        truth = pair.picture.truth
        names = [classes[truth.classes[i]] for i in (pair.first, pair.second)]
        caption = f"{os.path.basename(pair.picture.path)}: {names[0]}, {names[1]}"
        html += captioned(read_image(pair.picture.path), truth.boxes[pair.first],
                          [(truth.boxes[pair.second], pictures.WRONG)], pictures.OBJECT, caption)
    return _strip(html, len(pairs))


def alike(groups: list, sets: list[DataSet]) -> str:
    """The first two images of each group [[(set, picture)]]."""
    html = ""
    for group in groups[:SHOWN]:
        other = next((item for item in group if item[0] != group[0][0]), group[1])
        for k, picture in (group[0], other):
            html += _figure(picture, sets[0].classes, f"{sets[k].name}: ")
    return f'<div class="grid">{html}</div>{_more(len(groups))}' if html else "<p>None.</p>"


def _strip(html, count):
    return f'<div class="crops">{html}</div>{_more(count)}' if html else "<p>None.</p>"


def _more(count):
    return f'<p class="note">and {count - SHOWN} more</p>' if count > SHOWN else ""


def _figure(picture: Picture, classes, before=""):
    truth = picture.truth
    boxes = [(box, _bgr(c), 1 if ignored else 2) for box, c, ignored in zip(truth.boxes, truth.classes, truth.ignored)]
    image = pictures.data_uri(pictures.scene(read_image(picture.path), boxes, WIDTH))
    name = before + os.path.basename(picture.path)
    counts = Counter(truth.classes.tolist())
    labels = ", ".join(f'<span style="color:{_colour(c)}">{counts[c]} {escape(classes[c])}</span>'
                       for c in sorted(counts))
    return (f'<figure><img alt="{escape(name)}" src="{image}"><figcaption>{escape(name)}: {labels or "no objects"}'
            "</figcaption></figure>")


def _colour(c):
    return PALETTE[(int(c) - 1) % len(PALETTE)]


def _bgr(c):
    red, green, blue = bytes.fromhex(_colour(c)[1:])
    return blue, green, red
