"""What train_net.py logs is read by Caffe's log parsers."""
import csv
import re

from caffe.commands import main


def test_log_parsers_read_the_log_of_a_detectors_training(train, tmp_path):
    result = train(iters=3)
    assert result.returncode == 0, result.stderr
    log = tmp_path / "train.log"
    log.write_text(result.stdout + result.stderr)       # as `2>&1`: prints between the log's own lines
    assert main(["parse_log", str(log), str(tmp_path)]) == 0
    rows = list(csv.DictReader(open("%s.train" % log, encoding="utf-8")))
    assert [float(row["NumIters"]) for row in rows] == [0, 1, 2]
    assert {"loss_cls", "loss_bbox"} < set(rows[0]) and all(float(row["LearningRate"]) > 0 for row in rows)
    assert all(0 <= float(row["Seconds"]) < 600 for row in rows)
    own = [line for line in result.stderr.splitlines() if re.match(r"I\d{4} ", line)]
    # The shell parser wants the line with the start, and the loss as the ninth word of its line.
    assert any("] Solving " in line for line in own)
    losses = [line.split()[8] for line in own if ", loss = " in line]
    assert len(losses) == 3 and all(float(loss) > 0 for loss in losses)
