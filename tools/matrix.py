#!/usr/bin/env python
"""Run every row of experiments/table.txt small: its script, on digits, with DigitNet, for a few iterations.

    python tools/matrix.py                          # all rows; what was done is not done again
    python tools/matrix.py --rows ohem M+B          # those whose name holds one of the words

Prints row, script, seconds, mAP and the net each leaves, and writes output/matrix/matrix.json.  The mAP of so short a
training means nothing; that it is there means that the row's nets, settings and scripts work from end to end.
"""
import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import _cli
import _small_sets
from _init_paths import ROOT
from utils.errors import UserError
from utils.launch import call
from utils.whole_file import remove_parts, whole_file

from experiments.plan import Options, outcome
from experiments.tables import read_table

NET = "DigitNet"
WEIGHTS = "data/digits_pretrained/DigitNet.caffemodel"
STOPPED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", metavar="WORD", help="only the rows whose name holds one of these")
    parser.add_argument("--iters", type=_cli.parse_count(1), default=40,
                        help="iterations of training (default: %(default)s)")
    parser.add_argument("--weights", default=WEIGHTS, metavar="FILE",
                        help="where training starts, none: from the fillers (default: %(default)s)")
    parser.add_argument("--gpu", default="cpu", metavar="ID", help="number of the GPU (default: cpu)")
    parser.add_argument("--name", default="matrix", help="folder below output/ (default: %(default)s)")
    return parser.parse_args()


def plan(row, args):
    """What to run for a row: {command, env}; env's WEIGHTS may be "of <another row>"."""
    data = _small_sets.stand_in(row.dataset, ROOT / "output" / args.name / "data")
    env = {"ITERS": str(args.iters), "WEIGHTS": args.weights, "PLUS": row.plus, "OVERWRITE": "1"}
    if row.dataset.endswith("+coco"):
        env["WEIGHTS"] = f"of {coco_row(row).key}"
    settings = ["EXP_DIR", f"{args.name}/{row.key}"]
    return {"command": ["./" + row.script, args.gpu, NET, data, "--set", *settings], "env": env}


def result_of(row, todo):
    """(net, ap.json) that the row's script leaves."""
    _, gpu, net, dataset, _, *settings = todo["command"]
    trained, results = outcome(row.method, net, dataset, Options.from_variables(gpu, settings, todo["env"]))
    return trained, results / "ap.json"


def coco_row(row):
    """The row that trains on COCO what `row` starts from: the same method's."""
    for other in read_table():
        if other.method == row.method and other.dataset == "coco_trainval":
            return other
    raise UserError(f"experiments/table.txt has {row.key}, but no row of {row.method} on coco_trainval, which it "
                    "starts from")


def run_row(row, todo, args):
    """Run the script of a row; returns its record.  All it says is kept in <folder>/log.txt."""
    env, start, folder = dict(todo["env"]), time.monotonic(), ROOT / "output" / args.name / row.key
    if env["WEIGHTS"].startswith("of "):
        before = coco_row(row)
        weights, _ = result_of(before, plan(before, args))
        if not weights.exists():
            return {"row": row.key, "script": row.script,
                    "failed": f"its first weights are those of {before.key}, which is not done"}
        env["WEIGHTS"] = str(weights)
    shutil.rmtree(folder, ignore_errors=True)    # what an earlier, failed run may have left
    folder.mkdir(parents=True)
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        code = call(todo["command"], cwd=ROOT, env={**os.environ, **env}, stdout=log, stderr=subprocess.STDOUT)
    if code in STOPPED:
        sys.exit(code)
    record = {"row": row.key, "script": row.script, **todo, "seconds": round(time.monotonic() - start, 1)}
    net, scores = result_of(row, todo)
    if code or not net.exists() or not scores.exists():
        said = (folder / "log.txt").read_text(encoding="utf-8").strip().splitlines() or ["it said nothing"]
        return {**record, "failed": "exit code %d: %s" % (code, said[-1])}
    return {**record, "net": str(net.relative_to(ROOT)), "mean_ap": json.loads(scores.read_text())["mean_ap"]}


def finished(path, todo):
    """The record of an earlier run with the same command; None where there is none, or it failed."""
    if not path.exists():
        return None
    record = json.loads(path.read_text())
    return record if record.get("command") == todo["command"] and record.get("env") == todo["env"] else None


def write_json(path, tree):
    with whole_file(path, "w") as f:
        f.write(json.dumps(tree, indent=1) + "\n")


def line(record, again):
    what = record.get("failed") or "mAP %s, %s" % (
        "-" if record["mean_ap"] is None else "%.3f" % record["mean_ap"], record["net"])
    return "%-52s %-46s %6s s%s  %s" % (record["row"], record["script"], record.get("seconds", "-"),
                                        " (before)" if again else "", what)


def choose(rows, words):
    """The rows whose key holds one of the words; all where there are none."""
    chosen = [row for row in rows if not words or any(word in row.key for word in words)]
    if not chosen:
        raise UserError("--rows %s: no row's name holds that; the rows are %s"
                        % (" ".join(words), ", ".join(row.key for row in rows)))
    return chosen


def run_all(chosen, args, out):
    """Records of all rows, each printed when it is done and written to matrix.json with those before it."""
    records = []
    for row in chosen:
        todo, folder = plan(row, args), out / row.key
        before = finished(folder / "row.json", todo)
        record = before or run_row(row, todo, args)
        if not before and "failed" not in record:
            write_json(folder / "row.json", record)
        records.append(record)
        print(line(record, before is not None), flush=True)
        write_json(out / "matrix.json", {"rows": records, "machine": platform.platform(), "cores": os.cpu_count()})
    return records


def main():
    args, rows = parse_args(), read_table()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = choose(rows, args.rows)
    if args.weights != "none":
        _cli.need_file(args.weights, "--weights", "make it by: make %s" % WEIGHTS)
    out = ROOT / "output" / args.name
    print("%d rows, %d iterations each, into %s" % (len(chosen), args.iters, out), flush=True)
    remove_parts(out)
    records = run_all(chosen, args, out)
    failed = sum("failed" in record for record in records)
    print("%d rows in %.0f s, %d failed%s" % (len(records), sum(r.get("seconds", 0) for r in records), failed,
                                              "; what they said: %s/<row>/log.txt" % out if failed else ""))
    sys.exit(bool(failed))


if __name__ == "__main__":
    _cli.run(main)
