"""A training goes on from states of its own run only, and no other run's folder is written over unasked."""
import csv
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from support.reference import ROOT
from support.voc_folder import CLASSES, make_voc_folder, small_images

NAME = "tinynet_fast_rcnn_iter_%d.caffemodel"
SEEDED = ("RNG_SEED", "17")


@pytest.fixture
def output(exp_dir):
    """The folder of train_args' run."""
    return ROOT / "output" / exp_dir / "things_trainval"


@pytest.fixture
def start(train_args):
    """start(...) as train(...): a training that goes on for ever, past its second iteration."""
    running = []

    def call(*settings, **flags):
        command = [sys.executable, "tools/train_net.py", *train_args(*settings, **{"iters": 10 ** 6, **flags})]
        process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env={**os.environ, "OMP_NUM_THREADS": "1"})
        running.append(process)
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Iteration 2:"):
                return process
        raise AssertionError("".join(said))
    yield call
    for process in running:
        end(process)


def end(process):
    """As the kernel ends a process that takes too much memory: no snapshot, nothing put in order."""
    process.kill()
    process.wait()
    process.stdout.close()


def succeed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def refused(result, *words):
    """The one line of a refusal."""
    lines = result.stderr.splitlines()
    errors = [line for line in lines if line.startswith(("error:", "Traceback"))]
    assert result.returncode == 1 and errors == lines[-1:], result.stdout + result.stderr
    assert all(word in errors[0] for word in words), errors[0]
    return errors[0]


def content(folder):
    """{name: bytes} of all files below a folder but the lock, whose text is for messages only."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"}


def record(folder):
    return json.loads((folder / "run.json").read_text())


def rows(folder):
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as f:
        return [int(row["iter"]) for row in csv.DictReader(f)]


def test_resume_after_a_kill_before_the_first_snapshot_takes_no_older_runs_state(train, start, output):
    """Case a: the fresh run of another seed starts over, from its own seed's weights.  Its record was there at once."""
    succeed(train(*SEEDED, iters=3))
    expected = (output / (NAME % 3)).read_bytes()
    succeed(train(iters=4, overwrite=True))
    end(start(*SEEDED, overwrite=True))
    begun = record(output)
    assert begun["seed"] == begun["identity"]["seed"] == 17 and "train_net.py" in begun["command"]
    assert begun["device"] and "numpy" in begun["versions"] and begun["classes"] == ["__background__", *CLASSES]
    assert begun["revision"] is None or len(begun["revision"]) >= 40
    assert (output / (NAME % 4)).exists()
    said = succeed(train(*SEEDED, iters=3, resume="auto"))
    assert "at iteration 4" not in said and "Training starts from the net's fillers" in said
    assert (output / (NAME % 3)).read_bytes() == expected
    assert record(output)["seed"] == 17 and rows(output) == [1, 2, 3]


def test_another_data_set_of_the_same_name_is_refused_and_changes_nothing(train, output, tmp_path):
    """Case b, by --resume auto and without."""
    a, b = (make_voc_folder(tmp_path / name / "things", small_images("a", 4), "trainval", CLASSES, seed=seed)
            for name, seed in (("projA", 0), ("projB", 1)))
    succeed(train(imdb="voc:%s@trainval" % a))
    before = content(output)
    for flags in ({}, {"resume": "auto"}):
        line = refused(train(imdb="voc:%s@trainval" % b, iters=4, **flags), str(output), "data", "--set EXP_DIR",
                       "--overwrite")
        assert "seed" not in line and content(output) == before
    said = succeed(train(imdb="voc:%s@trainval" % b, overwrite=True))
    assert str(output) in said and content(output)[NAME % 2] != before[NAME % 2]


def test_a_copied_or_moved_folder_goes_on_from_its_own_weights(train, output, exp_dir):
    """Case c: the state's own field names the caffemodel of the folder it was written in."""
    succeed(train(iters=4))
    whole = (output / (NAME % 4)).read_bytes()
    shutil.rmtree(output)
    succeed(train(iters=2))
    copy, moved = output.parent / "copy" / output.name, output.parent / "moved" / output.name
    shutil.copytree(output, copy)
    shutil.copytree(output, moved)
    shutil.rmtree(output)
    succeed(train("RNG_SEED", "5", iters=2))            # the original is trained again, and has other weights there
    for folder in (copy, moved):
        said = succeed(train("EXP_DIR", "%s/%s" % (exp_dir, folder.parent.name), iters=4, resume="auto"))
        assert "at iteration 2" in said and (folder / (NAME % 4)).read_bytes() == whole
        shutil.rmtree(output, ignore_errors=True)       # and then it is gone


def test_weights_that_are_not_the_states_are_refused(train, output):
    succeed(train(iters=2, overwrite=True))
    other = (output / (NAME % 2)).read_bytes()
    shutil.rmtree(output)
    succeed(train(*SEEDED, iters=2))
    (output / (NAME % 2)).write_bytes(other)
    before = content(output)
    state = output / "tinynet_fast_rcnn_iter_2.solverstate"
    for resume in (state, "auto"):
        refused(train(*SEEDED, iters=4, resume=resume), NAME % 2, "does not hold the weights")
        assert content(output) == before
    os.remove(output / (NAME % 2))
    refused(train(*SEEDED, iters=4, resume=state), NAME % 2, "does not exist")


def test_a_second_training_in_a_folder_is_refused_while_testing_in_it_works(train, run, start, output, tiny_net,
                                                                            voc_folder, exp_dir):
    """Case d; after a kill the folder is free."""
    process = start("TRAIN.SNAPSHOT_ITERS", "2")
    for flags in ({}, {"resume": "auto"}, {"overwrite": True}):
        refused(train(**flags), str(output), "process %d" % process.pid, "EXP_DIR")
    assert rows(output) == sorted(set(rows(output)))
    model = output / (NAME % 2)
    while not model.exists():
        assert process.stdout.readline()
    succeed(run("test_net.py", "--gpu", "cpu", "--def", tiny_net / "fast_rcnn_ohem" / "test.prototxt", "--net", model,
                "--imdb", "voc:%s@test" % voc_folder, "--set", "EXP_DIR", exp_dir, "TEST.SCALES", "[90]"))
    assert process.poll() is None
    end(process)
    succeed(train(iters=2))


def test_the_same_run_starts_over_and_keeps_the_old_files_until_its_first_snapshot(train, start, output):
    succeed(train(iters=4))
    before = content(output)
    end(start())
    kept = content(output)
    assert all(data in kept.values() for data in before.values()), "every old file is there under some name"
    assert kept[NAME % 4] == before[NAME % 4]
    said = succeed(train(iters=6, resume="auto"))
    assert "tinynet_fast_rcnn_iter_4.solverstate at iteration 4" in said and rows(output) == [1, 2, 3, 4, 5, 6]
    said = succeed(train(iters=2))
    assert "starts over" in said and rows(output) == [1, 2]
    assert "tinynet_fast_rcnn_iter_2.solverstate" in succeed(train(iters=3, resume="auto"))


@pytest.mark.parametrize("what, change", [
    ("seed", lambda folder: ("RNG_SEED", "9")),
    ("TRAIN.FG_FRACTION", lambda folder: ("TRAIN.FG_FRACTION", "0.5")),
    ("data", lambda folder: rewrite(folder / "Annotations" / "a001.xml", "<xmin>10<", "<xmin>11<")),
    ("data", lambda folder: rewrite(folder / "ImageSets" / "Main" / "trainval.txt", "a003\n", "")),
    ("data", lambda folder: cv2.imwrite(str(folder / "JPEGImages" / "a001.jpg"),
                                        cv2.imread(str(folder / "JPEGImages" / "a001.jpg"))[::-1])),
    ("classes", lambda folder: rewrite(folder / "classes.txt", "ball\ncup", "cup\nball")),
    ("data", lambda folder: make_voc_folder(folder, {}, "trainval", CLASSES)),
])
def test_what_changes_the_updates_makes_another_run(train, output, voc_folder, what, change):
    """Refused whether it would resume, by name or not, or start over."""
    succeed(train(iters=2))
    settings = change(voc_folder)
    settings = settings if isinstance(settings, tuple) else ()
    if not (voc_folder / "ImageSets" / "Main" / "trainval.txt").read_text():
        make_voc_folder(voc_folder, small_images("a", 4), "trainval", CLASSES, proposals=41)     # other proposals
    for flags in ({}, {"resume": "auto"}, {"resume": output / "tinynet_fast_rcnn_iter_2.solverstate"}):
        refused(train(*settings, iters=4, **flags), what)


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_another_net_solver_or_start_makes_another_run(train, output, tiny_net, weights):
    succeed(train(iters=2))
    refused(train(iters=4, resume="auto", weights=weights), "start")
    solver, net = (tiny_net / "fast_rcnn_ohem" / (name + ".prototxt") for name in ("solver", "train"))
    text = solver.read_text()
    solver.write_text(text + "clip_gradients: 10\n")
    refused(train(iters=4, resume="auto"), "solver")
    solver.write_text("# another comment\n" + text + "max_iter: 7\n")
    rewrite(net, "dropout_ratio: 0.5", "dropout_ratio: 0.25")
    refused(train(iters=4, resume="auto"), "net")


def test_what_changes_no_update_is_told_in_one_line(train, output, tiny_net, voc_folder, tmp_path):
    """Paths, iterations, precision, display and snapshot intervals; the data may have moved."""
    succeed(train(iters=2))
    moved = tmp_path / "elsewhere" / "things"
    shutil.copytree(voc_folder, moved)
    rewrite(tiny_net / "fast_rcnn_ohem" / "solver.prototxt", "display: 1", "display: 2")
    said = succeed(train("TRAIN.SNAPSHOT_ITERS", "3", "TRAIN.USE_PREFETCH", "False", iters=4, resume="auto", precision="bf16",
                         imdb="voc:%s@trainval" % moved))
    line, = [line for line in said.splitlines() if line.startswith("Changed since the last start:")]
    for part in ("iterations 4, not 2", "precision bf16, not float32", "display 2, not 1", "snapshot interval 3, not 10000",
                 str(moved)):
        assert part in line, line
    assert "Changed since the last start" not in succeed(train("TRAIN.SNAPSHOT_ITERS", "3", "TRAIN.USE_PREFETCH", "False", iters=4,
                                                resume="auto", precision="bf16", imdb="voc:%s@trainval" % moved))


def test_a_resumed_run_goes_on_with_its_own_seed(train, output):
    """--rand with --resume asks for no particular one; the record names the one that goes on."""
    said = succeed(train(rand=True, iters=2))
    seed = record(output)["seed"]
    assert "Seed: %d" % seed in said
    said = succeed(train(rand=True, iters=3, resume="auto"))
    assert "with seed %d" % seed in said and record(output)["seed"] == record(output)["config"]["RNG_SEED"] == seed
    refused(train(iters=4, resume="auto"), "seed", str(seed))


def without_identity(folder):
    """Make the folder one of an older version."""
    path = folder / "tinynet_fast_rcnn_iter_2.resume.npz"
    with np.load(path) as stored:
        kept = {name: stored[name] for name in stored.files if name not in ("identity", "weights_hash")}
    np.savez(path, **kept)
    os.remove(folder / "run.json")


def test_a_state_of_an_older_version_resumes_with_one_line(train, output):
    succeed(train(iters=4))
    whole = (output / (NAME % 4)).read_bytes()
    shutil.rmtree(output)
    succeed(train(iters=2))
    without_identity(output)
    said = succeed(train(iters=4, resume="auto"))
    assert len([line for line in said.splitlines() if "does not name its run" in line]) == 1
    assert "at iteration 2" in said and (output / (NAME % 4)).read_bytes() == whole


def test_temporary_files_of_a_killed_run_are_removed(train, output):
    output.mkdir(parents=True)
    part = output / ".tinynet_fast_rcnn_iter_9.caffemodel.0123abcd.part"
    part.write_bytes(b"half")
    succeed(train())
    assert not part.exists()


def test_resume_without_the_weights_takes_a_state_but_does_not_start_over_from_fillers(train, output, weights):
    succeed(train(weights=weights))
    assert "at iteration 2" in succeed(train(iters=3, resume="auto"))
    for name in list(output.glob("*.solverstate")):
        name.unlink()
    refused(train(iters=3, resume="auto"), "its start weights differ")
