"""summary.json: the numbers by which runs are compared first, and the same as a table of text."""
import json
import math

from run_report.runs import Run, as_unicode


def summarise(runs: list[Run]) -> list[dict]:
    """A row for each run; None for what is not known, such as the scores of an untested run."""
    return [{"run": run.name,
             "mAP": _number(run.mean_ap),
             "AP": {name: _number(ap) for name, ap in (run.ap or {}).items()},
             "training_seconds": run.record["seconds"],
             "test_seconds": run.tested["seconds"] if run.tested else None,
             "peak_rss_mb": run.record["peak_rss_mb"],
             "iterations": run.record["iterations"],
             "seed": run.record["seed"]} for run in runs]


def as_json(summary: list[dict]) -> str:
    rows = [{**row, "run": as_unicode(row["run"])} for row in summary]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def as_table(summary: list[dict]) -> str:
    width = max(len(row["run"]) for row in summary)
    lines = [f"{'run':{width}} {'mAP':>6} {'training s':>12} {'memory MB':>12}"]
    for row in summary:
        score = "-" if row["mAP"] is None else f"{row['mAP']:.3f}"
        lines.append(f"{row['run']:{width}} {score:>6} {row['training_seconds']:12.1f} "
                     f"{row['peak_rss_mb']:12.0f}")
    return "\n".join(lines)


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
