#!/usr/bin/env python
"""Measures how fast the project is, each figure beside a peer's in the same run; table, JSON and plot in output/bench.

    .venv/bin/python benchmarks/run.py [--only train/VGG16 roi_pooling] [--caffe-python /path/to/python]
    .venv/bin/python benchmarks/run.py --show          # the table of what was measured, nothing measured anew
    .venv/bin/python benchmarks/run.py --show --readme # the same, into README.md
"""
import argparse
import gc
import os
from contextlib import contextmanager
from dataclasses import dataclass, field

import _paths
import _report
import boxes
import caffe
import conv_trunk
import data_ends
import data_wait
import detect
import held_views
import mining_layer
import peak_memory
import roi_pool
import torch
import train_iteration
from _inputs import Sizes
from _machine import description
from fast_rcnn.config import cfg
from utils.progress import progress

FAMILIES = (train_iteration, conv_trunk, roi_pool, mining_layer, data_wait, data_ends, boxes, detect, held_views,
            peak_memory)


@dataclass
class Settings:
    """repeats of each median; sizes of the problems; caffe_python: an interpreter whose `caffe` is the C++ one."""

    repeats: int = 5
    sizes: Sizes = field(default_factory=Sizes)
    caffe_python: str | None = None


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose name begins so (default: all)")
    parser.add_argument("--repeats", type=int, default=5, help="runs each median is of (default: 5)")
    parser.add_argument("--caffe-python", metavar="PATH", help="a Python that has the C++ Caffe, as one more peer")
    parser.add_argument("--threads", type=int, help="threads of every side (default: PyTorch's choice)")
    parser.add_argument("--out", default=str(_paths.ROOT / "output" / "bench"), metavar="FOLDER")
    parser.add_argument("--tiny", action="store_true", help="small problems, to see that everything runs")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--show", action="store_true", help="print the table of an earlier run")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md as well")
    return parser.parse_args()


def all_cases(sizes):
    """{case name: function(settings) -> rows}."""
    return {name: case for family in FAMILIES for name, case in family.cases(sizes).items()}


@contextmanager
def kept_settings():
    """Within it a case may change cfg; afterwards cfg is as it was."""
    saved = [(branch, dict(branch)) for branch in (cfg, cfg.TRAIN, cfg.TEST)]
    try:
        yield
    finally:
        for branch, values in saved:
            branch.update(values)


def measure(cases, settings, path):
    """Run the cases; each one's rows are stored at once."""
    machine = description()
    print(_report.machine_line(machine), flush=True)
    for name, case in progress(list(cases.items()), "benchmarks", unit="cases"):
        with kept_settings():
            rows = case(settings)
        _report.save(rows, name, machine, path)
        print(_report.table([_report.load(path)[row.name] for row in rows]), flush=True)
        gc.collect()


def show(path, order, into_readme):
    """Print the table of everything measured so far, in the order of the cases, and write its plot."""
    rows = [row for row in _report.load(path).values() if row["case"] in order]
    rows.sort(key=lambda row: order.index(row["case"]))
    text = "%s\n\n%s" % (_report.machine_lines(rows), _report.table(rows))
    print(text)
    if into_readme:
        _report.put_into(_paths.ROOT / "README.md", text)
    _report.plot(rows, path.replace(".json", ".png"))
    print("written: %s and .png" % path)


def chosen_cases(cases, prefixes):
    """The cases whose names begin with one of the prefixes; all of them where there are none."""
    unknown = [prefix for prefix in prefixes or () if not any(name.startswith(prefix) for name in cases)]
    if unknown:
        raise SystemExit("error: --only %s: no such case; known: %s" % (unknown[0], " ".join(cases)))
    return {name: case for name, case in cases.items() if not prefixes or name.startswith(tuple(prefixes))}


def check_files(args, path):
    """Ends the program where a file that it needs is not there."""
    if args.caffe_python and not os.access(args.caffe_python, os.X_OK):
        raise SystemExit("error: --caffe-python %s: expected a Python interpreter that has the C++ Caffe"
                         % args.caffe_python)
    if args.show and not os.path.exists(path):
        raise SystemExit("error: --show: nothing is measured yet, %s does not exist; run without --show" % path)


def main():
    caffe.keep_freed_memory()       # as the tools
    args = parse_args()
    caffe.set_log_level(1)
    if args.threads:
        torch.set_num_threads(args.threads)
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    sizes = Sizes.tiny() if args.tiny else Sizes()
    cases, path = all_cases(sizes), os.path.join(args.out, "bench.json")
    chosen = chosen_cases(cases, args.only)
    check_files(args, path)
    if args.list:
        print("\n".join(chosen))
        return
    if not args.show:
        measure(chosen, Settings(args.repeats, sizes, args.caffe_python), path)
    show(path, list(cases), args.readme)


if __name__ == "__main__":
    main()
