"""The benchmarks from outside, with small problems: rows in the table, in the JSON and in the plot; no timing."""
import json
import os
import subprocess
import sys

import pytest
from support.reference import ROOT

FOLDER_ROWS = ["mining/1_image", "mining/2_images", "ends/roidb", "ends/roidb/cached", "ends/roidb/memory", "ends/scores",
               "boxes/nms", "boxes/overlaps"]


@pytest.fixture
def bench(tmp_path):
    """bench(arguments...) -> CompletedProcess; results in tmp_path."""
    def call(*args):
        command = [sys.executable, "benchmarks/run.py", "--tiny", "--repeats", "1", "--out", str(tmp_path), *args]
        return subprocess.run(command, cwd=ROOT, text=True, capture_output=True,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})
    return call


def rows_of(folder):
    return {row["name"]: row for row in json.loads((folder / "bench.json").read_text())["rows"]}


def test_rows_in_json_table_and_plot(bench, tmp_path):
    """The rows of a later run join those of an earlier one; --show prints them all."""
    result = bench("--only", "mining", "ends", "boxes")
    assert result.returncode == 0, result.stderr
    rows = rows_of(tmp_path)
    assert sorted(rows) == sorted(FOLDER_ROWS)
    for name, row in rows.items():
        assert row["ours"] > 0 and "| %s |" % name in result.stdout
        assert row["ratio"] == (row["ours"] / row["peer"] if row["peer"] else None)
        assert row["machine"]["threads"] == 1 and row["machine"]["torch"] and row["machine"]["processor"]
    assert rows["mining/1_image"]["met"] is (rows["mining/1_image"]["ours"] <= 0.005)
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert bench("--only", "roi_pooling/6x6").returncode == 0
    assert set(rows_of(tmp_path)) == set(rows) | {"roi_pooling/6x6/" + way for way in ("forward", "readonly", "backward", "backward to forward")}
    shown = bench("--show").stdout
    assert "| boxes/nms |" in shown and "| roi_pooling/6x6/backward |" in shown


def test_training_iteration(bench, tmp_path):
    result = bench("--only", "train/VGG_CNN_M_1024/ohem")
    assert result.returncode == 0, result.stderr
    rows = rows_of(tmp_path)
    assert set(rows) == {"train/VGG_CNN_M_1024/ohem/float32", "train/VGG_CNN_M_1024/ohem/bf16"}
    assert all(row["peer_is"].startswith("plain PyTorch") and row["peer"] > 0 < row["limit"] for row in rows.values())


def test_another_caffe_as_peer(bench, tmp_path):
    """A worker process runs the same net; here it has our own package in place of the C++ one."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nPYTHONPATH="%s" exec "%s" "$@"\n' % (ROOT / "caffe-fast-rcnn" / "python", sys.executable))
    python.chmod(0o755)
    result = bench("--only", "trunk/VGG16/forward", "--caffe-python", str(python))
    assert result.returncode == 0, result.stderr
    row = rows_of(tmp_path)["trunk/VGG16/forward/float32"]
    assert row["peer_is"] == "C++ Caffe" and row["peer"] > 0


@pytest.mark.parametrize("args, words", [(("--only", "nonsense"), ("nonsense", "mining")),
                                         (("--caffe-python", "/no/python"), ("/no/python",))])
def test_mistakes_are_one_line(bench, args, words):
    result = bench(*args)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    assert all(word in lines[0] for word in words), lines[0]
