"""caffe parse_log: the numbers of a training log as two CSV files, as Caffe's tools/extra/parse_log.py writes them."""
import csv
import datetime
import io
import os
import re

from ..common import CaffeError
from ..util.files import write_atomically
from .flags import Flag, need_arguments

USAGE = """LOGFILE OUTPUT_DIR

Writes <name of LOGFILE>.train and .test to OUTPUT_DIR, with the columns NumIters, Seconds, LearningRate and the
outputs of the net."""
FLAGS = [Flag("verbose", False, "print the names of the files written"), Flag("delimiter", ",", "column separator")]

_PREFIX = re.compile(r"[IWEF](?P<year>\d{4})?(?P<month>\d\d)(?P<day>\d\d) (?P<time>[\d:]+\.\d+) +\d+ \S+\] ")
_ITERATION = re.compile(r"Iteration (\d+)")
_RATE = re.compile(r"lr = (\S+)")
_OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = (\S+)")


def run(flags, arguments):
    """Write both files; CaffeError if the log contains no training."""
    need_arguments(arguments, ("LOGFILE", "OUTPUT_DIR"))
    log_file, folder = arguments
    delimiter = flags.delimiter.replace("\\t", "\t")
    if len(delimiter) != 1:
        raise CaffeError("-delimiter %s: expected one character" % flags.delimiter)
    tables = parse_log(log_file)
    for what in ("train", "test"):
        path = os.path.join(folder, os.path.basename(log_file) + "." + what)
        _write(path, tables[what], delimiter)
        if flags.verbose:
            print("Wrote %s" % path)


def parse_log(path):
    """{"train": rows, "test": rows} of a log; rows are dicts of the columns in the order they are found.

    Lines that are not the log's own, such as a program's prints, are passed over.
    """
    rows, start, iteration, rate = {"train": [], "test": []}, None, None, float("nan")
    for time, message in _log_lines(path):
        if start is None and "Solving" in message:
            start = time
        found = _ITERATION.search(message)
        iteration = float(found.group(1)) if found else iteration
        if start is None or iteration is None:
            continue
        found = _RATE.search(message)
        rate = float(found.group(1)) if found else rate
        found = _OUTPUT.search(message)
        if found:
            table, row = rows[found.group(1).lower()], {"NumIters": iteration, "LearningRate": rate}
            row["Seconds"] = (time - start).total_seconds()
            _enter(table, row, found.group(2), float(found.group(3)))
    if start is None:
        raise CaffeError("%s: has no line 'Solving ...', which begins the log of a training" % path)
    for table in rows.values():
        _fill_first_rate(table)
    return rows


def _enter(table, row, name, value):
    """Add an output to the last row if it is of this iteration, else to a new row."""
    if not table or table[-1]["NumIters"] != row["NumIters"] or name in table[-1]:
        table.append({key: row[key] for key in ("NumIters", "Seconds", "LearningRate")})
    table[-1][name] = value


def _fill_first_rate(table):
    """Give the first row the rate of the second: the rate is logged after the first outputs."""
    if len(table) > 1:
        table[0]["LearningRate"] = table[1]["LearningRate"]


def _log_lines(path):
    """(time, message) of the log's lines.  Without years in them they begin in the year that the file was made."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            year, before = datetime.datetime.fromtimestamp(os.path.getctime(path)).year, None
            for line in f:
                found = _PREFIX.match(line)
                if not found:
                    continue
                month = int(found["month"])
                year = int(found["year"] or year) + (not found["year"] and before is not None and month < before)
                before = month
                text = "%d-%s-%s %s" % (year, found["month"], found["day"], found["time"])
                yield datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f"), line[found.end():]
    except OSError as e:
        raise CaffeError("%s: cannot read this log: %s" % (path, e.strerror)) from None


def _write(path, rows, delimiter):
    columns, text = list(dict.fromkeys(name for row in rows for name in row)), io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=delimiter)
    if columns:
        writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, [text.getvalue().encode()])
