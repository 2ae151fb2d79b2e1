"""The record of a training run as TensorBoard reads it: the columns of metrics.csv as scalars, `tensorboard --logdir
output` shows them.

TensorBoard's own package writes the file (https://pypi.org/project/tensorboard; TensorFlow is not needed); without that
package there is no file, and training goes on.
"""
import math
import time
from pathlib import Path

SUFFIX = ".metrics"     # of the names of our files, by which an earlier run's are known


def open_event_file(folder, rows):
    """An EventFile in place of those of earlier runs, with `rows` of metrics.csv in it; None without the package."""
    try:
        return EventFile(folder, rows)
    except ImportError as e:
        print("No TensorBoard event file is written (%s); pip install tensorboard, or set TRAIN.TENSORBOARD False" % e)
        return None


class EventFile:
    """One file, events.out.tfevents.<time>.<host>.<process>.0.metrics; what is added is on disk at once."""

    def __init__(self, folder, rows):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # here: it is no must
        for path in Path(folder).glob("events.out.tfevents.*" + SUFFIX):
            path.unlink()
        self._writer = EventFileWriter(str(folder), filename_suffix=SUFFIX)
        for row in rows:
            self.add({name: float(value) if value else math.nan for name, value in row.items()})

    def add(self, row):
        """Enter {column: number} at step row['iter']; nan is left out."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()
                  if name != "iter" and not math.isnan(value)]
        self._writer.add_event(Event(step=int(row["iter"]), wall_time=time.time(), summary=Summary(value=values)))
        self._writer.flush()
