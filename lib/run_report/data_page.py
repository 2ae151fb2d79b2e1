"""The page on data sets, to be looked at before training: one HTML file that needs nothing else."""
from collections.abc import Callable
from html import escape

import numpy as np

from run_report import charts, data_grid
from run_report import data_statistics as statistics
from run_report.data_findings import DataAnalysis, analyse_data, findings, percent
from run_report.data_sets import load_data_set
from run_report.page import html_page
from run_report.runs import as_unicode
from run_report.tables import plot, swatch

LISTED = 50         # problems and remarks that the page lists
SIZE_EDGES = np.geomspace(2, 1024, 37)
RATIO_EDGES = np.geomspace(1 / 10, 10, 41)
SIZES_NOTE = ("The shorter side of each box in the image as the net sees it. A box under %d pixels is smaller than a "
              "cell of the feature map; RoI pooling divides a box of 112 pixels into 7 x 7 of them.")
ALIKE_NOTE = ("Images that look alike (difference hashes of 64 bits, at most 3 differ) or are the same file. If some "
              "train and some test, the test flatters.")


def report_data(names: list[str], num_images: int = 24) -> tuple[str, list[str]]:
    """(the page, the findings) on one or two data sets, the training set first.

    names: of imdbs, joined by +.  num_images: images in the grid of each set.
    """
    analysis = analyse_data([load_data_set(name) for name in names])
    sentences = findings(analysis)
    return as_unicode(make_data_page(analysis, sentences, num_images)), [as_unicode(line) for line in sentences]


def make_data_page(analysis: DataAnalysis, sentences: list[str], num_images: int) -> str:
    sections = [("findings", "What to look at", _cards(analysis) + _list(sentences) + _imported(analysis)),
                ("classes", "Classes", _classes(analysis)),
                ("boxes", "Boxes", _boxes(analysis)),
                ("proposals", "Proposals", _proposals(analysis)),
                ("images", "Images", data_grid.grids(analysis.sets, num_images)),
                ("duplicates", "Duplicates", _duplicates(analysis)),
                ("problems", "Problems", _problems(analysis))]
    return html_page(" and ".join(data.name for data in analysis.sets), sections)


def _list(lines):
    """Lines as a list, the first LISTED of them."""
    if not lines:
        return "<p>Nothing.</p>"
    items = "".join(f"<li>{escape(line)}</li>" for line in lines[:LISTED])
    more = f'<p class="note">and {len(lines) - LISTED} more</p>' if len(lines) > LISTED else ""
    return f'<ul class="findings">{items}</ul>{more}'


def _cards(analysis):
    cards = ""
    for k, data in enumerate(analysis.sets):
        empty = sum(not len(picture.boxes) for picture in data.pictures)
        ignored = sum(int(picture.truth.ignored.sum()) for picture in data.pictures)
        cards += (f'<div class="card">{swatch(k, data.name)}<b id="objects{k}">{data.num_objects}</b><small>objects of '
                  f"{len(data.classes) - 1} classes in {len(data.pictures)} images; {empty} images without objects; "
                  f"{ignored} difficult objects and crowds, which neither train nor count</small></div>")
    return f'<div class="cards">{cards}</div>'


def _imported(analysis):
    """What tools/import_data.py noted."""
    records = list({str(record): record for data in analysis.sets for record in data.imported}.values())
    html = ""
    for record in records:
        left_out = record.get("left_out", [])
        lines = [f"{len(left_out)} objects and images were left out:", *left_out] if left_out else []
        lines += record.get("remarks", [])
        html += (f'<p class="note">Imported from {escape(str(record.get("source")))}: '
                 f'{escape(str(record.get("format")))}; split: {escape(str(record.get("split")))}.</p>')
        html += _list(list(map(str, lines))) if lines else ""
    return html


def _classes(analysis):
    """Images and objects of each class, with bars as long as the most frequent class's."""
    names = analysis.training.classes
    counts = [statistics.count_classes(data.pictures, len(names)) for data in analysis.sets]
    most = max(1, *(int(objects.max()) for _, objects in counts))
    head = "".join(f'<th colspan="3">{swatch(k, data.name)} images, objects</th>'
                   for k, data in enumerate(analysis.sets))
    rows = ""
    for c in range(1, len(names)):
        cells = ""
        for k, (images, objects) in enumerate(counts):
            width = 100 * objects[c] / most
            cells += (f'<td class="number">{images[c]}</td><td class="number">{objects[c]}</td>'
                      f'<td class="bar"><i class="run{k}" style="width:{width:.1f}%"></i></td>')
        rows += f"<tr><th>{escape(names[c])}</th>{cells}</tr>"
    return f'<div class="wide"><table class="scores"><tr><th>class</th>{head}</tr>{rows}</table></div>'


def _boxes(analysis):
    figures = []
    for nets, (scale, max_size) in statistics.NETS.items():
        def shorter(data, scale=scale, max_size=max_size):
            return statistics.scaled_sides(data.pictures, scale, max_size).min(axis=1, initial=np.inf)
        marks = [(statistics.STRIDE, "a cell"), (112, "7 x 7 cells")]
        shares = ", ".join(f"{percent(statistics.share_below_a_cell(data.pictures, scale, max_size))} of {data.name}"
                           for data in analysis.sets if data.num_objects)
        figures.append(_shares(analysis, f"Sizes at scale {scale}: {nets}", shorter, SIZE_EDGES, "pixels", marks,
                               SIZES_NOTE % statistics.STRIDE + f" Under a cell: {shares}."))
    figures.append(_shares(analysis, "Aspect ratios", lambda data: statistics.aspect_ratios(data.pictures), RATIO_EDGES,
                           "width / height", [(0.5, "1:2"), (1, "1:1"), (2, "2:1")]))
    figures.append(_objects_an_image(analysis))
    return f'<div class="plots">{"".join(figures)}</div>'


def _shares(analysis, title, values_of: Callable, edges, x_label, marks, note=""):
    """A histogram of values of all objects, as shares of a set's objects; those out of range are in the last bars."""
    series = []
    for k, data in enumerate(analysis.sets):
        values = np.clip(values_of(data), edges[0], edges[-1])
        counts = np.histogram(values, edges)[0]
        series.append((100 * counts / max(1, len(values)), f"run{k}"))
    return plot(title, _keys(analysis), charts.histogram(series, edges, x_label, "% of the boxes", True, marks), note)


def _objects_an_image(analysis):
    counts = [np.array([len(picture.boxes) for picture in data.pictures], int) for data in analysis.sets]
    most = max([1, *(int(count.max(initial=0)) for count in counts)])
    edges = np.arange(-0.5, most + 1) if most <= 40 else np.linspace(-0.5, most + 0.5, 41)
    series = [(100 * np.histogram(count, edges)[0] / max(1, len(count)), f"run{k}") for k, count in enumerate(counts)]
    means = "; ".join(f"{data.name}: {count.mean():.1f} on average, at most {count.max()}"
                      for data, count in zip(analysis.sets, counts) if len(count))
    svg = charts.histogram(series, edges, "objects", "% of the images")
    return plot("Objects an image", _keys(analysis), svg, means)


def _keys(analysis):
    return " ".join(swatch(k, data.name) for k, data in enumerate(analysis.sets))


def _proposals(analysis):
    of_classes, of_sizes = analysis.recalls
    if not of_classes:
        return f"<p>Not shown: {escape(analysis.training.no_proposals or 'there are no images')}.</p>"
    pictures = [picture for picture in analysis.training.pictures if picture.proposals is not None]
    mean = np.mean([len(picture.proposals) for picture in pictures])
    note = (f"Share of the objects of {escape(analysis.training.name)} that a proposal of their own overlaps by an IoU "
            f"of 0.5 and 0.7, as in tools/eval_recall.py; {mean:.0f} proposals an image. Small is up to 32 x 32 pixels "
            "of the image file, large from 96 x 96.")
    return f'<p class="note">{note}</p>{_recall_table("class", of_classes)}{_recall_table("size", of_sizes)}'


def _recall_table(head, recalls):
    rows = "".join(f'<tr><th>{escape(recall.kind)}</th><td class="number">{recall.objects}</td>'
                   f'{_recall_cells(recall.at_50)}{_recall_cells(recall.at_70)}</tr>' for recall in recalls)
    return (f'<div class="wide"><table class="scores"><tr><th>{head}</th><th>objects</th><th colspan="2">IoU 0.5</th>'
            f'<th colspan="2">IoU 0.7</th></tr>{rows}</table></div>')


def _recall_cells(share):
    text, width = ("-", 0) if np.isnan(share) else (percent(share), 100 * share)
    return f'<td class="number">{text}</td><td class="bar"><i class="run0" style="width:{width:.1f}%"></i></td>'


def _duplicates(analysis):
    groups = sorted(analysis.alike, key=lambda group: len({k for k, _ in group}), reverse=True)
    return (f"<h3>Boxes on the same place</h3>{data_grid.same_boxes(analysis)}<h3>Images that look alike</h3>"
            f'<p class="note">{ALIKE_NOTE}</p>{data_grid.alike(groups, analysis.sets)}')


def _problems(analysis):
    html = "<p>Boxes outside their image, unknown classes, broken and missing files: training stops at them.</p>"
    for k, data in enumerate(analysis.sets):
        html += f"<h3>{swatch(k, data.name)}</h3>{_list(data.problems)}"
    return html
