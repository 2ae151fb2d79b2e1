"""The whole report as one HTML page: style, pictures and plots are in it, nothing is fetched."""
from html import escape

from run_report import found, hard, tables
from run_report.style import STYLE_SHEET

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s</title><style>
%(style)s</style></head>
<body><header><h1>%(title)s</h1><nav>%(nav)s</nav></header>
<main>%(sections)s</main></body></html>
"""


def make_page(analysis, num_crops):
    """The page on an Analysis as text; num_crops: pictures in a row."""
    runs = analysis.runs
    sections = [("result", "Result", tables.headline(runs) + tables.facts(runs)),
                ("training", "Training", tables.training(runs)),
                ("scores", "Average precision", tables.scores(runs) + tables.curves(runs)),
                ("detections", "Detections", found.detections(analysis.judged, num_crops)),
                ("rois", "Hard RoIs", _rois(analysis, num_crops)),
                ("settings", "Settings", tables.settings(runs))]
    return html_page(" and ".join(run.name for run in runs), sections)


def html_page(title, sections):
    """A page of sections [(id, heading, HTML)] as text; title: as plain text."""
    return PAGE % {"title": escape(title), "style": STYLE_SHEET,
                   "nav": "".join('<a href="#%s">%s</a>' % section[:2] for section in sections),
                   "sections": "".join('<section id="%s"><h2>%s</h2>%s</section>' % section for section in sections)}


def _rois(analysis, num_crops):
    """The ranking of RoIs; a line why there is none where the nets or images are not there."""
    if analysis.not_ranked:
        return "<p>RoIs were not ranked: %s.</p>" % escape(analysis.not_ranked)
    names, nets = [run.name for run in analysis.runs], "the last net of each run"
    if len(names) == 1:
        names, nets = ["the first net", "the last net"], "the net the run started with, and of the one it ended with"
    return '<p class="note">RoIs of training images, ranked by the loss of %s.</p>%s' % (
        nets, hard.rois(analysis.rankings, names, analysis.classes, num_crops))
