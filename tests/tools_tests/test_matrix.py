"""tools/matrix.py as its users start it: rows run small, a killed run continues, what fails is said."""
import json
import os
import shlex
import signal
import subprocess
import sys

from support.reference import ROOT

COCO, AFTER_COCO = "fast_rcnn_ohem_M_VGG16_coco_trainval", "fast_rcnn_ohem_M+B_VGG16_pascal_voc_07++12+coco"


def start(name, *args):
    return subprocess.Popen([sys.executable, "tools/matrix.py", "--name", name, "--weights", "none", "--iters", "2", *args],
                            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def remove_logs(folder):
    """Those that the scripts wrote to experiments/logs."""
    for log in folder.glob("*/log.txt"):
        for line in log.read_text().splitlines():
            if line.startswith("Logging output to "):
                (ROOT / line.split(" to ", 1)[1]).unlink(missing_ok=True)


def test_a_killed_matrix_continues(exp_dir):
    """A row on COCO at several scales, and one that starts from its net: two VOC sets, stages and voting."""
    folder = ROOT / "output" / exp_dir
    process = start(exp_dir, "--rows", COCO, AFTER_COCO)
    first = next(line for line in process.stdout if line.startswith("fast_rcnn"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143 and first.startswith(COCO + " ") and " mAP 0." in first
    assert not (folder / AFTER_COCO / "row.json").exists()
    said, errors = (process := start(exp_dir, "--rows", COCO, AFTER_COCO)).communicate(timeout=300)
    assert process.returncode == 0, said + errors
    lines = [line for line in said.splitlines() if line.startswith("fast_rcnn")]
    assert [" (before) " in line for line in lines] == [True, False] and "2 rows in " in said
    rows = json.loads((folder / "matrix.json").read_text())["rows"]
    assert [row["row"] for row in rows] == [COCO, AFTER_COCO]
    assert all((ROOT / row["net"]).is_file() and 0 <= row["mean_ap"] <= 1 and row["seconds"] > 0 for row in rows)
    log = (folder / AFTER_COCO / "log.txt").read_text()
    assert "--weights %s" % shlex.quote(str(ROOT / rows[0]["net"])) in log and "multistage.yml" in log
    remove_logs(folder)


def test_a_row_that_fails_is_said(exp_dir):
    """Here because the row it starts from has not been run."""
    said, _ = (process := start(exp_dir, "--rows", AFTER_COCO)).communicate(timeout=300)
    assert process.returncode == 1 and "1 failed" in said
    assert "its first weights are those of %s, which is not done" % COCO in said
    assert not (ROOT / "output" / exp_dir / AFTER_COCO / "row.json").exists()


def test_unknown_rows(exp_dir):
    _, errors = (process := start(exp_dir, "--rows", "mask_rcnn")).communicate(timeout=60)
    assert process.returncode == 1 and errors.startswith("error: --rows mask_rcnn") and errors.count("\n") == 1
