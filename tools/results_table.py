#!/usr/bin/env python
"""Print the table of results: published figures, the command that trains each row, and what was measured here.

    python tools/results_table.py       # as Markdown

Rows are those of experiments/table.txt.  The column "measured here" is read from output/, where the row's script leaves
its scores; what was measured on other data or with smaller nets is listed below it, from experiments/measured.txt.
"""
import argparse
import json
import re
from pathlib import Path

import _cli
import numpy as np
from _init_paths import ROOT
from fast_rcnn.detections import DETECTIONS_FILE

from experiments.plan import default_exp_dir
from experiments.tables import DATASETS, METHODS, plus_title, read_table, settings_of

MEASURED = ROOT / "experiments" / "measured.txt"


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default=str(ROOT / "output"), metavar="DIR", help="default: output/")
    return parser.parse_args()


def markdown(heads, rows):
    """Lines of a table."""
    return ["| %s |" % " | ".join(cells) for cells in (heads, ["---"] * len(heads), *rows)]


def newest_score(row, output):
    """'71.2 on 4952 images' of the last net that the row's script tested into `output`, '-' where there is none."""
    data = settings_of(row)
    experiment = default_exp_dir(row.method, row.net, row.plus, row.dataset)
    folders = [path.parent for path in output.glob(f"{experiment}/{data.test_imdb}/{row.net.lower()}_*/ap.json")]
    folders = [folder for folder in folders if trained_on(folder) == data.train_imdb]
    if not folders:
        return "-"
    folder = max(folders, key=lambda path: int((re.findall(r"_iter_(\d+)", path.name) or [0])[-1]))
    mean_ap = json.loads((folder / "ap.json").read_text())["mean_ap"]
    with np.load(folder / DETECTIONS_FILE, allow_pickle=False) as detections:
        images = len(detections["image_ids"])
    return "-" if mean_ap is None else "%.1f on %d images" % (100 * mean_ap, images)


def trained_on(folder):
    """The data set whose folder the tested net came from; None where test_net.py left no record."""
    path = folder / "run.json"
    return Path(json.loads(path.read_text())["caffemodel"]).parent.name if path.is_file() else None


def published_rows(output):
    """Cells of the table of the published figures."""
    return [[row.title, row.net, *DATASETS[row.dataset], row.paper, row.code, newest_score(row, output),
             "`%s`" % row.command()] for row in read_table()]


def measured_rows():
    """Cells of what experiments/measured.txt holds."""
    lines = [line for line in MEASURED.read_text().splitlines() if line and not line.startswith("#")]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [[METHODS.get(method, method) + plus_title(plus.replace("-", "")), data, net,
             value, how, "`%s`" % command] for method, plus, data, net, value, how, command in cells]


def main():
    args = parse_args()
    print("\n".join(markdown(["method", "net", "training data", "test data", "paper", "original code", "measured here",
                              "command"], published_rows(Path(args.output)))))
    print("\nMeasured with this code on data that can be had here:\n")
    print("\n".join(markdown(["method", "data", "net", "mAP", "how", "command"], measured_rows())))


if __name__ == "__main__":
    _cli.run(main)
