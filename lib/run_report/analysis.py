"""The analysis of the runs, computed once for the page and the pictures."""
from dataclasses import dataclass
from pathlib import Path

from datasets.drawn_boxes import take_placement_settings
from datasets.imdb import imdb
from fast_rcnn.detections import DETECTIONS_FILE, load_detections
from utils.errors import UserError

from run_report.rankings import rank_images
from run_report.runs import Run
from run_report.verdicts import Verdicts, judge, load_truth


@dataclass(eq=False)
class Judged:
    """A run that was tested on a data set with annotations.

    k: its place among the runs.  truths: a Truth for each image of imdb.
    """
    k: int
    run: Run
    imdb: imdb
    truths: list
    verdicts: Verdicts


@dataclass(eq=False)
class Analysis:
    """runs: one or two.  judged: those that could be.

    rankings: ImageRankings, whose labels are indices into classes; empty where not_ranked says why.
    """
    runs: list
    judged: list
    rankings: list
    classes: tuple
    not_ranked: str = ""


def analyse(runs: list[Run], num_images: int) -> Analysis:
    """The Analysis of one or two runs; num_images: training images whose RoIs are ranked."""
    judged = judge_runs(runs)
    try:
        return Analysis(runs, judged, *rank_images(runs, num_images))
    except UserError as e:
        return Analysis(runs, judged, [], (), str(e))


def judge_runs(runs: list[Run]) -> list[Judged]:
    """The Judged runs: those tested on a data set with annotations, which are read as in the test."""
    judged = [_judge(k, run, run.results, run.tested) for k, run in enumerate(runs)
              if run.results and run.tested]
    return [item for item in judged if any(len(truth.boxes) for truth in item.truths)]


def _judge(k: int, run: Run, results: Path, tested: dict) -> Judged:
    take_placement_settings(tested.get("config", {}))
    imdb, truths = load_truth(tested["imdb"])
    detections = load_detections(results / DETECTIONS_FILE, imdb)
    return Judged(k, run, imdb, truths, judge(detections, truths))
