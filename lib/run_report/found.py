"""The part of the page on detections: right ones, wrong ones, missed objects."""
from utils.images import read_image

from run_report import charts, pictures
from run_report.tables import captioned, swatch
from run_report.verdicts import (
    IGNORED,
    KINDS,
    best_right,
    kinds_at_the_top,
    most_missed,
    worst_wrong,
)

TOP_NOTE = ("The best-scored detections of all classes together, as many as there are objects to find (%d): a perfect "
            "detector's bar would be green throughout. Misplaced: the IoU with an object of the class is 0.1 to 0.5. "
            "Twice: the object was found before. Wrong class: an object of another class, IoU above 0.1.")


def detections(judged, count):
    """Mistakes by kind, best and worst detections, missed objects of each Judged run."""
    if not judged:
        return "<p>No run was tested on a data set with annotations.</p>"
    out = _kinds_table(judged)
    for title, note, make in (
            ("Right, and sure", "The best of each class in turn. Green: the detection, yellow: objects.", _right_ones),
            ("Wrong, and sure", "The highest scores that are wrong. Red: the detection, yellow: objects.", _wrong_ones),
            ("Missed", "Objects (yellow) whose right detection has the lowest score, or that have none.", _missed)):
        out += '<h3>%s</h3><p class="note">%s</p>' % (title, note)
        for item in judged:
            out += '<div class="strip">%s<div class="crops">%s</div></div>' % (
                swatch(item.k, item.run.name), make(item.imdb, item.truths, item.verdicts, count))
    return out


def _kinds_table(judged):
    """A bar a run of what its best-scored detections are."""
    keys = ['<span class="key kind%d">%s</span>' % (kind, KINDS[kind]) for kind in range(IGNORED)]
    out = '<p class="keys">%s</p>' % " ".join(keys)
    for item in judged:
        counts, objects = kinds_at_the_top(item.verdicts)
        bar = charts.stacked_bar([(n, "kind%d" % kind, KINDS[kind], n) for kind, n in enumerate(counts[:IGNORED])])
        out += '<div class="kinds">%s%s</div>' % (swatch(item.k, item.run.name), bar)
    return out + '<p class="note">%s</p>' % (TOP_NOTE % objects)


def _right_ones(imdb, truths, verdicts, count):
    return _detection_crops(imdb, truths, verdicts, best_right(verdicts, count), pictures.RIGHT)


def _wrong_ones(imdb, truths, verdicts, count):
    return _detection_crops(imdb, truths, verdicts, worst_wrong(verdicts, count), pictures.WRONG) or "none"


def _detection_crops(imdb, truths, verdicts, inds, colour):
    out = ""
    for row, kind in zip(verdicts.rows[inds], verdicts.kinds[inds]):
        image, cls = int(row[0]), int(row[1])
        truth = truths[image]
        objects = [(box, pictures.OBJECT) for box, c in zip(truth.boxes, truth.classes) if c == cls or kind]
        caption = "%s %.2f" % (imdb.classes[cls], row[6]) + (": " + KINDS[kind] if kind else "")
        out += captioned(read_image(imdb.image_path_at(image)), row[2:6], objects, colour, caption)
    return out


def _missed(imdb, truths, verdicts, count):
    out = ""
    for score, image, k in most_missed(verdicts, count):
        name = imdb.classes[truths[image].classes[k]]
        caption = "%s: %s" % (name, "found at %.3f" % score if score else "not found")
        out += captioned(read_image(imdb.image_path_at(image)), truths[image].boxes[k], (), pictures.OBJECT, caption)
    return out or "none"
