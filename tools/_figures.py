"""The pictures of tools/demo_report.py: matplotlib figures from arrays and numbers."""
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  (after the backend is chosen)
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

PLAIN, OHEM = "#d1791f", "#1f5fa8"  # told apart by colour-blind eyes and in grey
RIGHT, WRONG, MISSED = "#17a34a", "#dc2626", "#facc15"
HARD_FG, HARD_BG, EASY = "#22c55e", "#ef4444", "#60a5fa"

plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
                     "grid.alpha": 0.25, "figure.dpi": 110, "savefig.bbox": "tight", "legend.frameon": False})


def save(figure, path):
    figure.savefig(path)
    plt.close(figure)


def loss_curves(plain, ohem):
    """plain, ohem: {column of metrics.csv: list}.  Left the losses trained on, right what mining sees."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    left.plot(plain["iter"], plain["loss"], color=PLAIN, label="plain: sampled RoIs")
    left.plot(ohem["iter"], ohem["loss"], color=OHEM, label="OHEM: the hard RoIs")
    left.set(title="Loss trained on (not the same RoIs, so not to be compared)", xlabel="iteration", ylabel="loss")
    right.plot(ohem["iter"], ohem["mean_loss_hard"], color=OHEM, label="mean loss of the hard RoIs")
    right.plot(ohem["iter"], ohem["mean_loss_all"], color=OHEM, linestyle="--", label="mean loss of all RoIs")
    right.set(title="OHEM: hard RoIs and all RoIs", xlabel="iteration", ylabel="loss", yscale="log")
    for axes in (left, right):
        axes.legend()
    left.set_ylim(bottom=0)
    return figure


def pr_curves(classes, plain, ohem, mean_aps):
    """plain, ohem: {class: (recall, precision, AP)}; mean_aps: (plain, OHEM)."""
    figure, grid = plt.subplots(2, (len(classes) + 1) // 2, figsize=(13, 5.6), sharex=True, sharey=True,
                                constrained_layout=True)
    for axes, name in zip(grid.flat, classes):
        for curves, colour in ((plain, PLAIN), (ohem, OHEM)):
            recall, precision, ap = curves[name]
            axes.plot(recall, precision, color=colour, label="AP %.3f" % ap)
        axes.set(title=name, xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="lower left", fontsize=9)
    figure.supxlabel("recall")
    figure.supylabel("precision")
    lines = [Line2D([], [], color=colour, label="%s, mAP %.3f" % (name, ap))
             for name, colour, ap in zip(("plain", "OHEM"), (PLAIN, OHEM), mean_aps)]
    figure.legend(handles=lines, loc="outside upper center", ncols=2, fontsize=11)
    return figure


def detections(columns, threshold):
    """columns: list of (image RGB, marks of plain, marks of OHEM); marks: list of (kind, box, text)."""
    figure, grid = plt.subplots(2, len(columns), figsize=(3.1 * len(columns), 5.9), constrained_layout=True)
    for j, (image, *both) in enumerate(columns):
        for axes, marks, method in zip(grid[:, j], both, ("plain", "OHEM")):
            _picture(axes, image)
            for kind, box, text in marks:
                _labelled(axes, box, {"right": RIGHT, "wrong": WRONG, "missed": MISSED}[kind], text)
            if j == 0:
                axes.text(-0.04, 0.5, method, rotation=90, transform=axes.transAxes, ha="right", va="center",
                          fontsize=13)
    handles = [Line2D([], [], color=colour, linewidth=2.5, label=label) for colour, label in
               ((RIGHT, "right"), (WRONG, "wrong"), (MISSED, "missed object"))]
    figure.legend(handles=handles, loc="outside upper center", ncols=3,
                  title="Detections above %.1f on test images where the two nets differ" % threshold)
    return figure


def mined_rois(rows):
    """rows: dicts of image RGB, easy (n, 4), hard (m, 4), hard_loss (m,), hard_fg (m,) bool, mean_easy, mean_hard."""
    figure, grid = plt.subplots(len(rows), 2, figsize=(8.6, 3.5 * len(rows)), constrained_layout=True, squeeze=False)
    for (left, right), row in zip(grid, rows):
        _picture(left, row["image"])
        _picture(right, row["image"])
        for box in row["easy"]:
            _box(left, box, EASY, 0.8)
        for box, loss, fg in zip(row["hard"], row["hard_loss"], row["hard_fg"]):
            _box(right, box, HARD_FG if fg else HARD_BG, min(0.6 + 1.5 * loss, 3.5))
        left.set_title("%d RoIs not chosen, mean loss %.3f" % (len(row["easy"]), row["mean_easy"]), fontsize=10)
        right.set_title("%d hard RoIs, mean loss %.3f" % (len(row["hard"]), row["mean_hard"]), fontsize=10)
    handles = [Line2D([], [], color=colour, linewidth=2, label=label) for colour, label in
               ((EASY, "not chosen"), (HARD_FG, "hard foreground"), (HARD_BG, "hard background (wider: larger loss)"))]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _picture(axes, image):
    axes.imshow(image)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _box(axes, box, colour, width):
    x1, y1, x2, y2 = box
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))


def _labelled(axes, box, colour, text):
    _box(axes, box, colour, 2)
    top = box[1] if box[1] > 18 else box[3] + 16
    axes.text(box[0], top - 2, text, color="black" if colour == MISSED else "white", fontsize=7.5, va="bottom",
              bbox={"facecolor": colour, "edgecolor": "none", "pad": 1}, clip_on=True)
