"""Pictures for a README, drawn by matplotlib.

detections.jpg   test images on which the runs differ, with right and wrong detections
hard_rois.jpg    a training image, with the RoIs that mining leaves out and those that it selects
"""
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from utils.images import read_image

from run_report.analysis import Analysis, Judged
from run_report.rankings import ImageRanking
from run_report.style import COLOURS, page_style, printable
from run_report.verdicts import image_marks, mistakes

DRAWN_FROM = 0.5        # score of the detections that are drawn
COLUMN = 3.1            # inches, width of a test image
ROIS = 8.6              # inches, width of hard_rois.jpg
LEGEND = 0.8            # inches, height of a legend and a title
# kind of mark: colour of its box, of its text
LOOKS = {"right": ("right", "white"), "wrong": ("wrong", "white"), "missed": ("object", "black")}


def draw_figures(analysis: Analysis) -> dict[str, np.ndarray | None]:
    """{file name: (H, W, 3) uint8 BGR, or None where there is nothing to draw}."""
    judged, rankings = analysis.judged, analysis.rankings
    return {"detections.jpg": draw_detections(judged) if judged else None,
            "hard_rois.jpg": draw_hard_rois(max(rankings, key=_foreground)) if rankings else None}


def draw_detections(judged: list[Judged], count: int = 5) -> np.ndarray:
    """A row for each run that was tested on the data set of the last one."""
    judged = [item for item in judged if item.imdb.name == judged[-1].imdb.name]
    chosen = choose_images([mistakes(item.verdicts, DRAWN_FROM) for item in judged], count)
    images = [read_image(judged[-1].imdb.image_path_at(i)) for i in chosen]
    height = COLUMN * max(image.shape[0] / image.shape[1] for image in images)
    with page_style():
        figure = Figure((COLUMN * len(chosen), height * len(judged) + LEGEND), 84, layout="constrained")
        for item, row in zip(judged, figure.subplots(len(judged), len(chosen), squeeze=False)):
            row[0].set_ylabel(printable(item.run.name), fontsize=13)
            for axes, image, i in zip(row, images, chosen):
                _picture(axes, image)
                _draw_marks(axes, item, i)
        _legend(figure, "upper", {"right": "right", "wrong": "wrong", "object": "missed object"},
                title=f"Test images, detections that score {DRAWN_FROM} or more")
        return _pixels(figure)


def draw_hard_rois(ranking: ImageRanking) -> np.ndarray:
    """The image twice: with the RoIs that are not hard for the last net, and with the hard ones."""
    losses, hard = ranking.losses[-1], ranking.hard[-1]
    easy = np.setdiff1d(np.arange(len(losses)), hard)
    height, width = ranking.picture.shape[:2]
    with page_style():
        figure = Figure((ROIS, ROIS / 2 * height / width + LEGEND), 110, layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, inds, name in ((left, easy, "RoIs not chosen"), (right, hard, "hard RoIs")):
            _picture(axes, ranking.picture)
            loss = losses[inds].mean() if len(inds) else 0
            axes.set_title(f"{len(inds)} {name}, mean loss {loss:.3f}")
        for i in easy:
            _box(left, ranking.rois[i], "easy", 0.8)
        for i in hard:
            colour = "fg" if ranking.labels[i] else "bg"
            _box(right, ranking.rois[i], colour, min(0.6 + 1.5 * losses[i], 3.5))
        _legend(figure, "lower", {"easy": "not chosen", "fg": "hard foreground",
                                  "bg": "hard background (wider: larger loss)"})
        return _pixels(figure)


def choose_images(mistakes_of_runs: list[np.ndarray], count: int) -> list[int]:
    """At most `count` images, in rising order, where the runs' numbers of mistakes (N,) differ most.

    Of one run, those with most mistakes.  Every sixth is taken, where there are enough, so that the
    row does not show the extreme ones alone.
    """
    differs = mistakes_of_runs[0]
    if len(mistakes_of_runs) > 1:
        differs = np.ptp(mistakes_of_runs, axis=0)
    order = np.argsort(-differs, kind="stable")
    step = min(6, max(1, len(order) // count))
    return sorted(order[:step * count:step].tolist())


def _foreground(ranking: ImageRanking) -> int:
    return int((ranking.labels > 0).sum())


def _picture(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image[:, :, ::-1])
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _draw_marks(axes: Axes, item: Judged, image: int) -> None:
    """Boxes with a text above them, or below them at the upper border."""
    for kind, box, text in image_marks(item.verdicts, item.truths[image], image, item.imdb.classes, DRAWN_FROM):
        colour, ink = LOOKS[kind]
        _box(axes, box, colour, 2)
        above = box[1] > 0.08 * axes.get_ylim()[0]
        corner, offset, side = (box[1], 2.5, "bottom") if above else (box[3], -2.5, "top")
        axes.annotate(printable(text), (box[0], corner), (0, offset), textcoords="offset points", va=side,
                      color=ink, fontsize=7.5, clip_on=True,
                      bbox={"facecolor": COLOURS[colour], "edgecolor": "none", "pad": 1})


def _box(axes: Axes, box: np.ndarray, colour: str, width: float) -> None:
    x1, y1, x2, y2 = box
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=COLOURS[colour],
                             linewidth=width))


def _legend(figure: Figure, side: str, entries: dict[str, str], title: str | None = None) -> None:
    """entries: {colour: text}."""
    handles = [Line2D([], [], color=COLOURS[colour], linewidth=2.5, label=label)
               for colour, label in entries.items()]
    figure.legend(handles=handles, loc=f"outside {side} center", ncols=len(handles), title=title)


def _pixels(figure: Figure) -> np.ndarray:
    """(H, W, 3) uint8 BGR."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, 2::-1].copy()
