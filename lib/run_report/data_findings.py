"""What is worth a look in a data set, in sentences: at the top of its page and in the output of the tools."""
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from run_report import data_statistics as statistics
from run_report.data_sets import DataSet

FEW_OBJECTS = 50        # of a class for training; a rule of thumb of this project, not a limit
LOW_RECALL = 0.8        # of the proposals at an IoU of 0.5
MOST_RATIO = 4          # width / height, or its inverse, that is told
NAMED = 8               # classes or images that a sentence names


@dataclass(eq=False)
class DataAnalysis:
    """One or two data sets, the training set first, with what is worked out once for sentences and page.

    same_boxes: [SameBox] of all sets.  alike: groups of images that look alike, [[(set, picture)]].
    """
    sets: list[DataSet]
    same_boxes: list
    alike: list
    recalls: tuple[list, list]

    @property
    def training(self) -> DataSet:
        return self.sets[0]


def analyse_data(sets: list[DataSet]) -> DataAnalysis:
    """The DataAnalysis of one or two sets of the same classes."""
    places = [(k, picture) for k, data in enumerate(sets) for picture in data.pictures]
    pictures = [picture for _, picture in places]
    alike = [[places[i] for i in group] for group in statistics.look_alikes(pictures)]
    recalls = statistics.recalls(sets[0].pictures, sets[0].classes)
    return DataAnalysis(sets, list(statistics.same_boxes(pictures)), alike, recalls)


def findings(analysis: DataAnalysis) -> list[str]:
    """The sentences, the most important first; [] where nothing is worth a look."""
    parts = (_problems, _leaks, _sizes, _classes, _empty, _duplicates, _ratios, _proposals)
    sentences = [sentence for part in parts for sentence in part(analysis)]
    return [sentence[:1].upper() + sentence[1:] for sentence in sentences]


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _problems(analysis) -> Iterator[str]:
    for data in analysis.sets:
        if data.problems:
            yield (f"{len(data.problems)} problems in the files of {data.name}, training stops at them; the first: "
                   f"{data.problems[0]}")
        if not data.num_objects:
            yield f"no objects in {data.name} that train or count; see its annotations"


def _leaks(analysis):
    """Images of the test set that look like one of the training set."""
    leaked = [picture for group in analysis.alike if len({k for k, _ in group}) > 1 for k, picture in group if k == 1]
    if leaked:
        yield (f"{len(leaked)} test images look like a training image, so the test flatters: "
               f"{_named([os.path.basename(picture.path) for picture in leaked])}")


def _sizes(analysis):
    pictures = analysis.training.pictures
    for nets, (scale, max_size) in statistics.NETS.items():
        share = statistics.share_below_a_cell(pictures, scale, max_size)
        if not share > statistics.FEW_SMALL:        # nan without objects
            continue
        start = (f"{percent(share)} of your boxes are under {statistics.STRIDE} pixels, one cell of the feature map, "
                 f"at scale {scale} ({nets})")
        larger = statistics.larger_scale(pictures, scale)
        if larger is None:
            most = statistics.LARGER_SCALES[-1]
            rest = statistics.share_below_a_cell(pictures, most, statistics.max_size_of(most))
            yield f"{start}, and {percent(rest)} at scale {most}: cut the images into parts that overlap"
        else:
            yield f"{start}: train at scale {larger}, with {scale_settings(larger)}"


def scale_settings(scale: int) -> str:
    """The words of --set that train and test at a scale."""
    parts = [f"{part}.SCALES [{scale}] {part}.MAX_SIZE {statistics.max_size_of(scale)}" for part in ("TRAIN", "TEST")]
    return " ".join(["--set", *parts])


def _classes(analysis):
    names = analysis.training.classes
    counts = [statistics.count_classes(data.pictures, len(names))[1] for data in analysis.sets]
    few = [f"{names[c]} ({counts[0][c]})" for c in np.argsort(counts[0], kind="stable")
           if c > 0 and counts[0][c] < FEW_OBJECTS]
    if few:
        yield (f"{len(few)} of {len(names) - 1} classes have fewer than {FEW_OBJECTS} objects in "
               f"{analysis.training.name}: {_named(few)}")
    if len(counts) > 1:
        untested = [name for name, count in zip(names[1:], counts[1][1:]) if not count]
        if untested:
            yield f"{len(untested)} classes have no object in {analysis.sets[1].name}, so no AP: {_named(untested)}"


def _empty(analysis):
    pictures = analysis.training.pictures
    empty = sum(not len(picture.boxes) for picture in pictures)
    if empty:
        share = percent(empty / len(pictures))
        yield (f"{empty} of {len(pictures)} images ({share}) of {analysis.training.name} have no object; with mining "
               "they train as background, plain Fast R-CNN leaves them out (TRAIN.BG_THRESH_LO 0.1)")


def _duplicates(analysis):
    for is_one_class, what in ((True, "the same class: objects labelled twice?"),
                               (False, "different classes: which one is right?")):
        found = [pair for pair in analysis.same_boxes if pair.is_one_class == is_one_class]
        if found:
            names = list(dict.fromkeys(os.path.basename(pair.picture.path) for pair in found))
            yield (f"{len(found)} pairs of boxes overlap by an IoU of {statistics.SAME_BOX} or more and have {what} "
                   f"{_named(names)}")
    within = sum(len({k for k, _ in group}) == 1 for group in analysis.alike)
    if within:
        yield f"{within} groups of images of one set look alike"


def _ratios(analysis):
    ratios = statistics.aspect_ratios(analysis.training.pictures)
    if len(ratios):
        share = ((ratios > MOST_RATIO) | (ratios < 1 / MOST_RATIO)).mean()
        if share > statistics.FEW_SMALL:
            yield (f"{percent(share)} of the boxes are more than {MOST_RATIO} times as long as wide; the anchors of a "
                   "region proposal network have ratios from 0.5 to 2")


def _proposals(analysis):
    of_classes, of_sizes = analysis.recalls
    if analysis.training.no_proposals:
        yield f"no proposals of {analysis.training.name}: {analysis.training.no_proposals}"
    low = [f"{recall.kind} ({percent(recall.at_50)})" for recall in of_classes + of_sizes
           if recall.at_50 < LOW_RECALL]
    if low:
        yield (f"the proposals reach fewer than {percent(LOW_RECALL)} of the objects, at an IoU of 0.5, of these: "
               f"{_named(low)}; a net hardly finds an object that no proposal reaches: try tools/propose.py --mode "
               "quality, or Faster R-CNN")


def _named(names):
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"
