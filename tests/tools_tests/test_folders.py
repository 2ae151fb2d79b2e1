"""A folder as DATASET of the scripts: imported, proposed for, looked at, trained, tested and reported by one line."""
import re
import shlex
import shutil
import uuid

import pytest
from support import exports
from support.error_line import assert_error
from support.reference import ROOT

from experiments.folders import find_folder


@pytest.fixture
def name():
    """A name below data/ that is removed afterwards."""
    name = "test_" + uuid.uuid4().hex[:8]
    yield name
    shutil.rmtree(ROOT / "data" / name, ignore_errors=True)


@pytest.fixture
def export(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    exports.roboflow_yolo(folder, exports.truth(4))
    return folder


def steps(lines):
    """The tools of command lines."""
    return [word.removeprefix("tools/") for line in lines for word in shlex.split(line) if word.startswith("tools/")]


ALL_STEPS = ["import_data.py", "propose.py", "report.py", "train_net.py", "test_net.py", "report.py"]


def test_one_line_from_an_export_to_the_page(run_script, run, export, name, exp_dir):
    result = run_script("fast_rcnn_ohem.sh", "cpu", "DigitNet", export, "--set", "EXP_DIR", exp_dir, "TRAIN.SCALES", "[60]",
                        "TEST.SCALES", "[60]", ITERS="2", WEIGHTS="none")
    assert result.returncode == 0, result.stdout + result.stderr
    commands = [line.removeprefix("+ ") for line in result.stdout.splitlines() if line.startswith("+ ")]
    assert steps(commands) == ALL_STEPS
    page = (ROOT / "output" / exp_dir / f"{name}_trainval" / "report.html").read_text()
    assert "Detections" in page and "Red Cell" in page
    assert "proposals an image" in (ROOT / "data" / name / "report.html").read_text()

    first = shlex.split(commands[0])[2:]
    again = run("import_data.py", *first)
    assert again.returncode == 0 and f"data/{name} is there already, imported from {export}" in again.stdout
    (export / "train" / "labels" / "cell 1.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    assert_error(run("import_data.py", *first), "which has changed since; remove data/")


def test_training_tells_after_20_iterations_what_it_will_take(train):
    result = train(method="fast_rcnn", iters=22)
    assert result.returncode == 0, result.stderr
    forecast = re.findall(r"^After 20 iterations: (\S+) s an iteration, (\d+) MB of memory; the 2 iterations left take 0 s, "
                          r"until \d{4}-\d\d-\d\d \d\d:\d\d$", result.stdout, re.MULTILINE)
    assert len(forecast) == 1 and 0 < float(forecast[0][0]) < 60 and int(forecast[0][1]) > 50


@pytest.mark.parametrize("script, missing", [("fast_rcnn.sh", None), ("rfcn_end2end.sh", "propose.py")])
def test_dry_run_prints_every_step(commands_of, export, name, script, missing):
    lines = commands_of(script, "cpu", "SqueezeNet", str(export), "--set", "RNG_SEED", "7")
    assert steps(lines) == [step for step in ALL_STEPS if step != missing]
    assert shlex.split(lines[0])[2:] == [str(export), "--out", f"data/{name}", "--reuse"]
    assert lines[-3].endswith("--set RNG_SEED 7") and f"--imdb voc:data/{name}@trainval" in lines[-3]
    assert f"/{name}_trainval --gpu cpu" in lines[-1] and not (ROOT / "data" / name).exists()
    only_test = commands_of(script, "cpu", "SqueezeNet", str(export), TRAINED="mine.caffemodel")
    assert steps(only_test) == [step for step in ALL_STEPS[:-1] if step not in (missing, "train_net.py")]


def test_a_folder_with_both_sets_is_used_as_it_is(commands_of, voc_folder):
    lines = commands_of("fast_rcnn.sh", "cpu", "SqueezeNet", str(voc_folder))
    assert steps(lines) == ALL_STEPS[1:]
    assert shlex.split(lines[0])[2:] == ["--imdb", f"voc:{voc_folder}@trainval+voc:{voc_folder}@test"]


def test_names_of_data_sets_win_and_other_folders_are_found(tmp_path):
    """A folder of a relative path lies in the project's root, or where the user was."""
    for folder in ("coco", "cells", "voc:x"):
        (tmp_path / folder).mkdir()
    found = [find_folder("fast_rcnn", dataset, {"OLDPWD": str(tmp_path)})
             for dataset in ("coco", "voc:x", "pascal_voc", "nothing", "cells", "./coco", "tests/support")]
    assert found == [None] * 4 + [tmp_path / "cells", tmp_path / "coco", ROOT / "tests/support"]


@pytest.mark.parametrize("net, dataset, words", [
    ("DigitNet", "no/such/folder", ["folder no/such/folder does not exist", "voc:FOLDER", "pascal_voc"]),
    ("NoNet", "tests/support", ["unknown net NoNet"]),
])
def test_mistakes_are_one_line(run_script, net, dataset, words):
    result = run_script("fast_rcnn_ohem.sh", "cpu", net, dataset)
    assert result.returncode == 1 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert [word for word in words if word not in result.stderr] == []


def test_missing_weights_are_told_before_any_step(run_script, export, name):
    result = run_script("fast_rcnn_ohem.sh", "cpu", "SqueezeNet", export, WEIGHTS="nowhere/SqueezeNet.caffemodel")
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and result.stdout == ""
    for word in ("fetch_imagenet_models.sh squeezenet", "--mirror URL", "convert_squeezenet.py", "WEIGHTS=none"):
        assert word in result.stderr
    assert not (ROOT / "data" / name).exists()


def test_another_import_of_that_name_stays(run, tmp_path, export):
    other = tmp_path / "other"
    other.mkdir()
    exports.yolo_flat(other, exports.truth())
    out = tmp_path / "out"
    assert run("import_data.py", other, "--out", out).returncode == 0
    result = run("import_data.py", export, "--out", out, "--reuse")
    assert_error(result, f"was not imported from {export}, but from {other}")
