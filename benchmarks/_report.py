"""The rows of the benchmark: one table for the terminal and the README, JSON, and a plot."""
import json
import os
from dataclasses import asdict, dataclass

MARKS = "<!-- of benchmarks/run.py --show --readme -->", "<!-- end -->"


@dataclass
class Row:
    """One thing measured: ours and a peer's figure in `unit` ("s", "GB" or "%"), None where there is none.

    limit: the arithmetic limit or the bound that is asked for, in `unit`.  target: the largest ours / peer that is
    asked for, or with against="limit" the largest ours / limit; None: no target.
    """

    name: str
    ours: float
    peer: float | None = None
    peer_is: str = ""
    limit: float | None = None
    target: float | None = None
    against: str = "peer"
    unit: str = "s"
    note: str = ""

    @property
    def ratio(self):
        """ours / peer, or None."""
        return self.ours / self.peer if self.peer else None

    @property
    def met(self):
        """Whether the target is met; None without a target or without what it is taken against."""
        base = self.peer if self.against == "peer" else self.limit
        return None if self.target is None or not base else bool(self.ours <= self.target * base)


def save(rows, case, machine, path):
    """Write the rows of a case, each with the machine it was measured on; rows of other names in the file stay."""
    stored = load(path) if os.path.exists(path) else {}
    for row in rows:
        stored[row.name] = {**asdict(row), "case": case, "ratio": row.ratio, "met": row.met, "machine": machine}
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"rows": list(stored.values())}, f, indent=1)


def load(path):
    """{name: row as a dict} of a file of save()."""
    with open(path, encoding="utf-8") as f:
        return {row["name"]: row for row in json.load(f)["rows"]}


def table(rows):
    """The rows (dicts of load()) as a Markdown table."""
    lines = ["| what | ours | peer | ratio | target | limit | peer is |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row["name"], _figure(row["ours"], row["unit"]), _figure(row["peer"], row["unit"]),
                 "%.2g" % row["ratio"] if row["ratio"] else "-", _target(row), _figure(row["limit"], row["unit"]),
                 "; ".join(text for text in (row["peer_is"], row["note"]) if text)]
        lines.append("| %s |" % " | ".join(cells))
    return "\n".join(lines)


def machine_line(machine):
    """The machine in one line."""
    return ("%(processor)s, %(cores)d cores, %(threads)d threads, torch %(torch)s; float32 matmul %(float32_gflops).0f "
            "GFLOP/s, bf16 %(bf16_gflops).1f GFLOP/s, copy %(copy_gbs).0f GB/s" % machine)


def machine_lines(rows):
    """The machines of the rows, without the rates, which differ from run to run."""
    known = {"%(processor)s, %(cores)d cores, %(threads)d threads, torch %(torch)s" % row["machine"] for row in rows}
    rates = [row["machine"]["float32_gflops"] for row in rows]
    return "%s; float32 matmul %.0f to %.0f GFLOP/s." % ("; ".join(sorted(known)), min(rates), max(rates))


def put_into(path, text):
    """Replace what stands between the MARKS of a file."""
    before, _, rest = path.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not end:
        raise SystemExit("error: %s has no lines %s and %s to put the table between" % (path, *MARKS))
    path.write_text("%s%s\n%s\n%s%s" % (before, MARKS[0], text, MARKS[1], after))


def plot(rows, path):
    """Bars of ours / peer on a log scale, green where the target is met, with the target as a mark."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    rows = [row for row in rows if row["ratio"]][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.3 * len(rows)))
    colours = {True: "#2a9d4a", False: "#d1495b", None: "#8d99ae"}
    axes.barh(range(len(rows)), [row["ratio"] for row in rows], color=[colours[row["met"]] for row in rows])
    for i, row in enumerate(rows):
        if row["target"] and row["against"] == "peer":
            axes.plot([row["target"]] * 2, [i - 0.4, i + 0.4], color="black", linewidth=2)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    axes.set_xlabel("ours / peer (log scale; black: target)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _target(row):
    if row["target"] is None:
        return "-"
    of = "" if row["against"] == "peer" else " of limit"
    return "%.3g%s: %s" % (row["target"], of, {True: "met", False: "missed", None: "not measured"}[row["met"]])


def _figure(value, unit):
    if value is None:
        return "-"
    if unit == "s" and value < 0.1:
        return "%.3g ms" % (1000 * value)
    return "%.3g %s" % (value, unit)
