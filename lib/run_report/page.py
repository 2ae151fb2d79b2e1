"""The whole report as one HTML page: style, pictures and plots are in it, nothing is fetched."""
from html import escape
from pathlib import Path

from utils.errors import UserError

from run_report import found, hard, tables
from run_report.rankings import rank_images

STYLE = Path(__file__).with_name("page.css")
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s</title><style>
%(style)s</style></head>
<body><header><h1>%(title)s</h1><nav>%(nav)s</nav></header>
<main>%(sections)s</main></body></html>
"""


def make_page(runs, num_images, num_crops):
    """The page on one or two Runs as text; num_images: training images whose RoIs are ranked; num_crops: pictures in a
    row."""
    sections = [("result", "Result", tables.headline(runs) + tables.facts(runs)),
                ("training", "Training", tables.training(runs)),
                ("scores", "Average precision", tables.scores(runs) + tables.curves(runs)),
                ("detections", "Detections", found.detections(runs, num_crops)),
                ("rois", "Hard RoIs", _rois(runs, num_images, num_crops)),
                ("settings", "Settings", tables.settings(runs))]
    title = " and ".join(run.name for run in runs)
    return PAGE % {"title": escape(title), "style": STYLE.read_text(),
                   "nav": "".join('<a href="#%s">%s</a>' % section[:2] for section in sections),
                   "sections": "".join('<section id="%s"><h2>%s</h2>%s</section>' % section for section in sections)}


def _rois(runs, num_images, num_crops):
    """The ranking of RoIs; a line why there is none where the nets or images are not there."""
    try:
        rankings, classes = rank_images(runs, num_images)
    except UserError as e:
        return "<p>RoIs were not ranked: %s.</p>" % escape(str(e))
    names, nets = [run.name for run in runs], "the last net of each run"
    if len(runs) == 1:
        names, nets = ["the first net", "the last net"], "the net the run started with, and of the one it ended with"
    return '<p class="note">RoIs of training images, ranked by the loss of %s.</p>%s' % (
        nets, hard.rois(rankings, names, classes, num_crops))
