"""The parts of the page that are numbers: the headline, facts and settings of the runs, curves, scores."""
import json
import math
from html import escape

import numpy as np
from fast_rcnn.config import cfg

from run_report import charts, pictures
from run_report.runs import flatten, load_curve

# as run.json has them; taken before the report changes any
DEFAULTS = json.loads(json.dumps(flatten(cfg), default=np.ndarray.tolist))
FACTS = (("training set", lambda run: run.record["imdb"]),
         ("tested on", lambda run: run.tested["imdb"] if run.tested else "-"),
         ("iterations", lambda run: run.record["iterations"]),
         ("seed", lambda run: run.record["seed"]),
         ("started from", lambda run: run.record["weights"] or "the net's fillers"),
         ("training", lambda run: duration(run.record["seconds"])),
         ("test", lambda run: duration(run.tested["seconds"]) if run.tested else "-"),
         ("memory", lambda run: "%.0f MB" % run.record["peak_rss_mb"]),
         ("net", lambda run: run.model.name),
         ("versions", lambda run: ", ".join("%s %s" % item for item in run.record["versions"].items())),
         ("command", lambda run: run.record["command"]))
MIXED = ("Without mining the loss is the mean over sampled RoIs, with mining over the hard ones: the heights of the "
         "two are not to be compared.")


def swatch(k, name):
    return '<span class="key run%d">%s</span>' % (k, escape(name))


def percent(value):
    return "-" if value is None or math.isnan(value) else "%.1f" % (100 * value)


def duration(seconds):
    if seconds < 60:
        return "%.1f s" % seconds
    return "%d min %02d s" % divmod(round(seconds), 60) if seconds < 3600 else "%.1f h" % (seconds / 3600)


def headline(runs):
    """A card with the mean AP of each run, and one with their difference."""
    cards = ['<div class="card">%s<b id="map%d">%s</b><small>%s</small></div>'
             % (swatch(k, run.name), k, percent(run.mean_ap), _scored_on(run)) for k, run in enumerate(runs)]
    if len(runs) == 2 and None not in (runs[0].mean_ap, runs[1].mean_ap):
        gain = 100 * (runs[1].mean_ap - runs[0].mean_ap)
        cards.append('<div class="card"><span>difference</span><b id="difference" class="%s">%+.1f</b><small>points of '
                     'mean AP</small></div>' % ("up" if gain > 0 else "down", gain))
    return '<div class="cards">%s</div>' % "".join(cards)


def _scored_on(run):
    if not run.tested:
        return "not tested yet"
    text = "mean AP on %s" if run.mean_ap is not None else "tested on %s, without a score"
    return text % escape(run.results.parent.name)


def facts(runs):
    rows = ["<tr><th>%s</th>%s</tr>" % (name, "".join("<td>%s</td>" % escape(str(fact(run))) for run in runs))
            for name, fact in FACTS]
    head = "<tr><th></th>%s</tr>" % "".join("<th>%s</th>" % swatch(k, run.name) for k, run in enumerate(runs))
    return '<div class="wide"><table class="facts">%s%s</table></div>' % (head, "".join(rows))


def settings(runs):
    """What differs: between two runs, or from the defaults in one; all settings and the solver on demand."""
    trees = [flatten(run.record["config"]) for run in runs]
    columns = trees if len(runs) == 2 else [DEFAULTS, trees[0]]
    names = [run.name for run in runs] if len(runs) == 2 else ["default", runs[0].name]
    keys = sorted(set().union(*trees))
    differing = [key for key in keys if columns[0].get(key) != columns[1].get(key)]
    out = _settings_table(differing, names, columns) if differing else "<p>No setting differs.</p>"
    out += "<details><summary>all %d settings</summary>%s</details>" % (
        len(keys), _settings_table(keys, [run.name for run in runs], trees))
    for run in runs:
        out += "<details><summary>solver of %s</summary><pre>%s</pre></details>" % (
            escape(run.name), escape(run.solver))
    return out


def _settings_table(keys, names, columns):
    rows = [(key, *(str(tree.get(key, "-")) for tree in columns)) for key in keys]
    text = "".join("<tr>%s</tr>" % "".join("<td>%s</td>" % escape(cell) for cell in row) for row in rows)
    return '<table class="settings"><tr><th></th>%s</tr>%s</table>' % (
        "".join("<th>%s</th>" % escape(name) for name in names), text)


def training(runs):
    """Curves of the losses, and of what was mined."""
    figures = [_figure("Loss trained on", runs, "loss", "loss", MIXED if len({run.mines for run in runs}) > 1 else "")]
    for column, title in (("loss_cls", "Classification loss"), ("loss_bbox", "Box loss")):
        figures.append(_figure(title, runs, column, "loss"))
    mined = [(k, run) for k, run in enumerate(runs) if run.mines]
    if mined:
        figures += [_mining_loss(mined), _mining_counts(mined)]
    return '<div class="plots">%s</div>' % "".join(figures) if any(figures) else "<p>Nothing was logged.</p>"


def _figure(title, runs, column, y_label, note=""):
    series = [(run.metrics["iter"], run.metrics[column], "run%d" % k) for k, run in enumerate(runs)
              if run.metrics.get("iter")]
    if not series:
        return ""
    keys = " ".join(swatch(k, run.name) for k, run in enumerate(runs))
    return plot(title, keys, charts.curves(series, y_label, title=title), note)


def _mining_loss(mined):
    keys, series = _solid_and_dashed(mined, ("mean_loss_hard", "hard RoIs"), ("mean_loss_all", "all RoIs"))
    return plot("What mining sees", keys, charts.curves(series, "mean loss", log=True, title="losses mined"))


def _mining_counts(mined):
    keys, series = _solid_and_dashed(mined, ("hard_fg", "foreground"), ("hard_gt", "ground truth"))
    size = mined[0][1].record["config"]["TRAIN"]["BATCH_SIZE"]
    return plot("What mining picks", keys, charts.curves(series, "RoIs", title="hard RoIs"),
                "Of the %d hard RoIs of a pass; the others are background." % size)


def _solid_and_dashed(mined, solid, dashed):
    """(legend, series) of two columns, (column, name) each, of the runs that mine."""
    keys, series = [], []
    for k, run in mined:
        for (column, name), css in ((solid, "run%d" % k), (dashed, "run%d dashed" % k)):
            keys.append('<span class="key %s">%s</span>' % (css, escape("%s: %s" % (run.name, name))))
            series.append((run.metrics["iter"], run.metrics[column], css))
    return " ".join(keys), series


def plot(title, keys, svg, note=""):
    return "<figure><h3>%s</h3><p class=\"keys\">%s</p>%s<figcaption>%s</figcaption></figure>" % (
        escape(title), keys, svg, escape(note))


def captioned(im, box, others, colour, caption):
    """A piece of an image (pictures.crop) with a line below."""
    return '<figure><img alt="%s" src="%s"><figcaption>%s</figcaption></figure>' % (
        escape(caption), pictures.data_uri(pictures.crop(im, box, others, colour=colour)), escape(caption))


def scores(runs):
    """Table of AP by class, with bars, and the differences of two."""
    scored = [(k, run) for k, run in enumerate(runs) if run.ap is not None]
    if not scored:
        return "<p>There is no score: test with tools/test_net.py on a data set with annotations.</p>"
    two = len(scored) == 2 and set(scored[0][1].ap) == set(scored[1][1].ap)
    head = "<th>class</th>" + "".join('<th colspan="2">%s</th>' % swatch(k, run.name) for k, run in scored)
    rows = [_score_row(name, [(k, run.ap.get(name)) for k, run in scored], two) for name in scored[-1][1].ap]
    rows.append(_score_row("mean", [(k, run.mean_ap) for k, run in scored], two).replace("<tr>", '<tr class="total">'))
    return '<table class="scores"><tr>%s%s</tr>%s</table>' % (head, "<th>difference</th>" if two else "", "".join(rows))


def _score_row(name, values, two):
    cells = "".join('<td class="number">%s</td><td class="bar"><i class="run%d" style="width:%.1f%%"></i></td>'
                    % (percent(value), k, 100 * (value or 0)) for k, value in values)
    if two:
        cells += _difference(*(value for _, value in values))
    return "<tr><th>%s</th>%s</tr>" % (escape(name), cells)


def _difference(first, second):
    if first is None or second is None:
        return "<td>-</td>"
    gain = 100 * (second - first)
    side = "level" if abs(gain) < 0.05 else "up" if gain > 0 else "down"
    return ('<td class="gain"><span class="%s">%+.1f</span><i class="%s" style="width:%.1f%%"></i></td>'
            % (side, 0 if side == "level" else gain, side, min(50, abs(gain))))


def curves(runs):
    """Precision over recall, a small plot for each class."""
    scored = [(k, run) for k, run in enumerate(runs) if run.ap is not None]
    figures = []
    for name in scored[-1][1].ap if scored else ():
        series = [(*load_curve(run, name), "run%d" % k) for k, run in scored]
        figures.append("<figure><h4>%s</h4>%s</figure>" % (escape(name), charts.precision_recall(series, name)))
    return '<div class="small">%s</div>' % "".join(figures)
