"""The record of a training run: a line every `display` iterations, metrics.csv for plots, and TensorBoard's file."""
import csv
import math
import os
import time

from fast_rcnn.finite import where_not_finite
from utils.errors import UserError
from utils.whole_file import whole_file

from training.event_file import open_event_file
from training.mining_stats import NAMES
from training.processes import mean_row

COLUMNS = (("iter", "loss", "loss_cls", "loss_bbox", "rpn_loss_cls", "rpn_loss_bbox") + NAMES
           + ("seconds", "data_wait"))
DIVERGED_REMEDY = "lower base_lr in the solver prototxt, or warm up with a small one first"
LOSS_TYPES = {"SoftmaxWithLoss": "loss_cls", "SmoothL1Loss": "loss_bbox"}


class TrainingLog:
    """Means over the iterations since the last row.

    Columns of metrics.csv: iter; loss, weighted sum of all losses; loss_cls, loss_bbox, and rpn_loss_cls, rpn_loss_bbox
    of losses whose blobs are called rpn...; with mining mean_loss_all and mean_loss_hard, mean loss of all RoIs and of
    the chosen ones, hard_fg and hard_gt, how many of the chosen ones of a pass are foreground and ground truth; seconds
    an iteration, data_wait of them for minibatches (`waited` of the data layers).  Losses are those of the last pass of
    an iteration, mining figures of all its passes (R-FCN's of the last one).  What does not apply is empty.
    Of several processes rank 0 writes, the means over all of them.
    """

    def __init__(self, path, display, losses, nccl, mining, start_iter=0, events=True):
        """losses: {blob: (layer type, weight)}.  Rows beyond start_iter, of a run that is resumed, are dropped.

        nccl: what binds the processes.  mining: the MiningStats of the net.
        events: whether a TensorBoard event file next to `path` gets the same rows.
        """
        self._nccl, self._mining, self._path, self._display, self._losses = nccl, mining, path, display, losses
        self._sums, self._count, self._start, self._waited = {}, 0, time.monotonic(), 0.0
        self._events = None
        if nccl.rank == 0:
            rows = _keep_rows(path, start_iter)
            self._events = open_event_file(os.path.dirname(path), rows) if events else None

    def add(self, iteration, net):
        """Add a finished iteration; if its loss is not finite, raise a UserError that names the first such blob."""
        values = self._read_losses(net)
        values = dict(zip(values, self._nccl.mean(values.values())))
        if not math.isfinite(values["loss"]):
            raise UserError("training diverged: the loss of iteration %d is %s%s; %s"
                            % (iteration, values["loss"], self._where_not_finite(net), DIVERGED_REMEDY))
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value
        self._count += 1
        if self._display and iteration % self._display == 0:
            waited = sum(getattr(layer, "waited", 0.0) for layer in net.layers)
            row = mean_row(self._nccl, self._take_row(iteration, waited))
            if row:
                self._write(row)

    def _where_not_finite(self, net):
        """In rank 0: the first blob that is not finite and its images, from the first process that has one."""
        where = where_not_finite(net)
        images = [os.path.basename(path) for layer in net.layers for path in getattr(layer, "images", ())]
        found = self._nccl.gather(", ".join(["; " + where, "images " + " ".join(images)]) if where else "")
        return next(filter(None, found or ()), "")

    def _read_losses(self, net):
        values = {"loss": 0.0}
        for blob, (layer_type, weight) in self._losses.items():
            value = weight * float(net.blobs[blob].data.sum())
            values["loss"] += value
            column = LOSS_TYPES.get(layer_type)
            if column:
                column = "rpn_" + column if blob.startswith("rpn") else column
                values[column] = values.get(column, 0) + value
        return values

    def _take_row(self, iteration, waited):
        row = {name: total / self._count for name, total in self._sums.items()}
        row.update(self._mining.take(), iter=iteration, seconds=(time.monotonic() - self._start) / self._count,
                   data_wait=(waited - self._waited) / self._count)
        self._sums, self._count, self._start, self._waited = {}, 0, time.monotonic(), waited
        return row

    def _write(self, row):
        row["iter"] = int(row["iter"])
        with open(self._path, "a", encoding="utf-8", newline="") as f:
            csv.DictWriter(f, COLUMNS).writerow({name: _text(value) for name, value in row.items()})
        if self._events:
            self._events.add(row)
        print(_line(row), flush=True)


def _keep_rows(path, last_iter):
    """Leave the header and the rows up to last_iter in the file, and return them; make it where there is none."""
    rows = _rows_up_to(path, last_iter) if last_iter and os.path.exists(path) else []
    with whole_file(path, "w") as f:
        writer = csv.DictWriter(f, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def _rows_up_to(path, last_iter):
    try:
        with open(path, encoding="utf-8", newline="") as f:
            rows = [row for row in csv.DictReader(f) if int(row["iter"]) <= last_iter]
        for row in rows:
            for value in row.values():
                float(value or 0)
        return rows
    except (KeyError, TypeError, ValueError, csv.Error) as e:
        raise UserError(f"{path} is not the table that a training writes ({type(e).__name__}: {e}); "
                        "move it away") from None


def _text(value):
    if isinstance(value, float):
        return "" if math.isnan(value) else "%.6g" % value
    return value


def _line(row):
    parts = ["Iteration %d:" % row["iter"]]
    if "mean_loss_all" in row:
        gt = "" if math.isnan(row["hard_gt"]) else ", %.1f ground truth" % row["hard_gt"]
        parts.append("mean loss of all RoIs %.4g, of the hard %.4g; hard RoIs: %.1f foreground%s;" % (
            row["mean_loss_all"], row["mean_loss_hard"], row["hard_fg"], gt))
    return " ".join(parts + ["speed: %.3fs / iter, data wait %.1f %%"
                             % (row["seconds"], 100 * row["data_wait"] / row["seconds"])])
