"""The part of the page on the RoIs of training images: which are hard to which net, and what changed."""
from html import escape

import numpy as np
from fast_rcnn.config import cfg

from run_report import charts, pictures
from run_report.rankings import movers, sampled_share
from run_report.tables import captioned, plot

SHOWN = 20      # hard RoIs drawn of an image; all of them would hide it
TABLE_NOTE = ("On %d training images. %.0f %% of the hard RoIs are hard to both. Hard RoIs are taken after NMS at %g: "
              "of those that overlap the hardest stays. Sampling without mining takes a quarter foreground, and no "
              "background that overlaps every object by less than 0.1 (FG_FRACTION 0.25, BG_THRESH_LO 0.1).")
HARD_NOTE = """<h3>Hard RoIs of training images</h3>
<p class="note">The %d hardest, on the images where the two agree least.</p>
<p class="keys"><span class="key fg">foreground, hard only here</span>
<span class="key bg">background, hard only here</span> <span class="key both">hard to both</span></p>"""


def rois(rankings, names, classes, count):
    """names: of the two nets.  Table of losses, one net's loss against the other's, hard RoIs, RoIs that moved."""
    out = _roi_table(rankings, names)
    out += '<div class="plots">%s%s</div>' % (_scatter(rankings, names), _mixtures(rankings, names))
    out += HARD_NOTE % SHOWN
    for ranking in sorted(rankings, key=lambda r: r.both)[:3]:
        out += '<div class="pair">%s</div>' % "".join(_hard_scene(ranking, k, names[k]) for k in range(2))
    note = ("RoIs that %%s most in the ranking of their image; the loss of %s, then of %s." % tuple(map(escape, names)))
    for title, verb, chosen in zip(("Easier to ", "Harder to "), ("fell", "rose"), movers(rankings, count)):
        out += '<h3>%s</h3><p class="note">%s</p><div class="crops">%s</div>' % (
            escape(title + names[1]), note % verb, "".join(_moved(*item, classes) for item in chosen))
    return out


def groups(ranking):
    """[(name, weight of each RoI (R,))] of the rows of the table."""
    count = len(ranking.rois)
    hard = [np.isin(np.arange(count), inds).astype(float) for inds in ranking.hard]
    return [("all RoIs", np.ones(count)), ("hard to the first", hard[0]), ("hard to the second", hard[1]),
            ("sampled without mining", sampled_share(ranking))]


def group_means(rankings):
    """[(name, [RoIs an image, mean loss of the first net, of the second, share of the second's loss, foreground,
    background of IoU >= 0.1, background below])]; shares are 0 to 1."""
    rows = []
    for g, (name, _) in enumerate(groups(rankings[0])):
        weights = np.concatenate([groups(ranking)[g][1] for ranking in rankings])
        losses = [np.concatenate([ranking.losses[k] for ranking in rankings]) for k in range(2)]
        fg = np.concatenate([ranking.labels > 0 for ranking in rankings])
        near = ~fg & (np.concatenate([ranking.overlaps for ranking in rankings]) >= 0.1)
        total = max(weights.sum(), 1e-9)
        rows.append((name, [weights.sum() / len(rankings), *((weights * loss).sum() / total for loss in losses),
                            (weights * losses[1]).sum() / max(losses[1].sum(), 1e-9),
                            *((weights * kind).sum() / total for kind in (fg, near, ~fg & ~near))]))
    return rows


def _roi_table(rankings, names):
    heads = ("RoIs an image", "mean loss, " + escape(names[0]), "mean loss, " + escape(names[1]),
             "share of the loss of " + escape(names[1]),
             "foreground", "background, IoU &ge; 0.1", "background, IoU &lt; 0.1")
    forms = ("%.0f", "%.3f", "%.3f") + ("%.0f %%",) * 4
    rows = ""
    for label, (_, values) in zip(_group_labels(names), group_means(rankings)):
        cells = [form % (value * (100 if "%%" in form else 1)) for form, value in zip(forms, values)]
        cells = "".join('<td class="number">%s</td>' % cell for cell in cells)
        rows += "<tr><th>%s</th>%s</tr>" % (escape(label), cells)
    both = 100 * np.mean([ranking.both for ranking in rankings])
    note = TABLE_NOTE % (len(rankings), both, cfg.TRAIN.OHEM_NMS_THRESH)
    return '<div class="wide"><table class="rois"><tr><th></th>%s</tr>%s</table></div><p class="note">%s</p>' % (
        "".join("<th>%s</th>" % head for head in heads), rows, note)


def _group_labels(names):
    return "all RoIs", "hard to " + names[0], "hard to " + names[1], "sampled without mining (expected)"


def _mixtures(rankings, names):
    """A bar for each group of RoIs: foreground, background near objects and far from them."""
    kinds = (("fg", "foreground"), ("near", "background, IoU of 0.1 or more"), ("far", "background below"))
    out = "".join('<h4>%s</h4>%s' % (escape(label), charts.stacked_bar(
        [(share, css, name, "%.0f %%" % (100 * share)) for share, (css, name) in zip(values[4:], kinds)]))
        for label, (_, values) in zip(_group_labels(names), group_means(rankings)))
    return plot("What they are", " ".join('<span class="key %s">%s</span>' % kind for kind in kinds), out)


def _scatter(rankings, names, most=1500):
    """Loss of the second net against the first's, a RoI a point."""
    labels = np.concatenate([ranking.labels for ranking in rankings])
    losses = np.array([np.concatenate([ranking.losses[k] for ranking in rankings]) for k in range(2)])
    shown = np.random.default_rng(0).permutation(len(labels))[:most]
    fg = shown[labels[shown] > 0]
    bg = shown[labels[shown] == 0]
    svg = charts.scatter([(*losses[:, bg], "bg"), (*losses[:, fg], "fg")], *("loss of " + name for name in names))
    lower = [100 * np.mean((losses[1] < losses[0])[kind]) if kind.any() else 0 for kind in (labels > 0, labels == 0)]
    keys = '<span class="key fg">foreground</span> <span class="key bg">background</span>'
    return plot("Loss of each RoI", keys, svg, "Below the diagonal %s has the smaller loss: %.0f %% of the foreground, "
                "%.0f %% of the background." % (names[1], *lower))


def _hard_scene(ranking, k, name):
    mine, other = ranking.hard[k], ranking.hard[1 - k]
    boxes = [(ranking.rois[i], pictures.BOTH, 1) for i in mine[:SHOWN] if i in other]
    for i in mine[:SHOWN][::-1]:
        if i not in other:
            boxes.append((ranking.rois[i], pictures.FOREGROUND if ranking.labels[i] else pictures.BACKGROUND, 2))
    caption = "%s: %d hard RoIs, %d of them foreground, mean loss %.3f" % (
        name, len(mine), (ranking.labels[mine] > 0).sum(), ranking.losses[k][mine].mean())
    return '<figure><img alt="hard RoIs" src="%s"><figcaption>%s</figcaption></figure>' % (
        pictures.data_uri(pictures.scene(ranking.picture, boxes)), escape(caption))


def _moved(ranking, i, classes):
    label = ranking.labels[i]
    colour = pictures.FOREGROUND if label else pictures.BACKGROUND
    caption = "%s, IoU %.2f: %.3f \u2192 %.3f" % (classes[label] if label else "background", ranking.overlaps[i],
                                               ranking.losses[0][i], ranking.losses[1][i])
    return captioned(ranking.picture, ranking.rois[i], (), colour, caption)
