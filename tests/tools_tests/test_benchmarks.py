"""The benchmarks from outside, with small problems: rows in the table, in the JSON and in the plot; no timing."""
import json
import os
import subprocess
import sys

import pytest
import torch
from support.reference import ROOT

FOLDER_ROWS = ["mining/1_image", "mining/2_images", "ends/roidb", "ends/roidb/cached", "ends/roidb/memory", "ends/scores",
               "boxes/nms", "boxes/overlaps", "views/VGG16/conv1_2", "views/VGG16/conv5_3", "views/VGG16/all"]


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
    result = bench("--only", "mining", "ends", "boxes", "views")
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
                                         (("--caffe-python", "/no/python"), ("/no/python",)),
                                         (("--show",), ("bench.json", "without --show"))])
def test_mistakes_are_one_line(bench, args, words):
    result = bench(*args)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    assert all(word in lines[0] for word in words), lines[0]


def run_gpu_benchmark(folder, *args):
    return subprocess.run([sys.executable, "benchmarks/gpu.py", "--out", str(folder / "gpu.json"), *args], cwd=ROOT,
                          text=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_gpu_benchmark_without_a_gpu_says_so_in_one_line(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    result = run_gpu_benchmark(tmp_path)
    assert result.returncode == 1 and result.stderr.startswith("error: benchmarks/gpu.py: PyTorch")
    assert result.stderr.count("\n") == 1 and not (tmp_path / "gpu.json").exists()


def test_gpu_benchmark_runs_its_kernels_on_the_cpu_too(tmp_path):
    result = run_gpu_benchmark(tmp_path, "--device", "cpu", "--tiny", "--repeats", "1", "--nets")
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert {row["name"] for row in rows} >= {"gpu/roi_pooling/float32/" + way for way in ("readonly", "forward", "backward")}
    assert all(row["ours"] > 0 and row["limit"] > 0 and row["machine"]["device"] == "CPU" for row in rows)
