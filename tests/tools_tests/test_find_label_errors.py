"""tools/find_label_errors.py on a small training, and experiments/label_errors.py that plants errors and scores."""
import csv
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from support.error_line import assert_error
from support.reference import ROOT
from training.resume import last_state, read_ledger


class Page(HTMLParser):
    """Counts the pictures, and keeps what would be fetched."""

    def __init__(self):
        super().__init__()
        self.pictures, self.fetched = 0, []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.pictures += tag == "img"
        self.fetched += [attrs[name] for name in ("src",) if name in attrs and not attrs[name].startswith("data:")]


@pytest.fixture
def trained(train, voc_folder, exp_dir):
    """The folder of a training of 6 iterations."""
    result = train(iters=6)
    assert result.returncode == 0, result.stderr
    return next((ROOT / "output" / exp_dir).iterdir())


def suspects_in(folder):
    with open(folder / "suspects.csv", encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def test_table_page_and_notes(run, trained, prototxt, voc_folder):
    before = {path: path.read_bytes() for path in (voc_folder / "Annotations").iterdir()}
    result = run("find_label_errors.py", trained, "--def", prototxt, "--gpu", "cpu", "--write", "--set", "TEST.SCALES", "[90]")
    assert result.returncode == 0, result.stderr
    out = trained / "label_errors"
    rows = suspects_in(out)
    assert rows and [row["rank"] for row in rows] == [str(k + 1) for k in range(len(rows))]
    assert [float(row["score"]) for row in rows] == sorted((float(row["score"]) for row in rows), reverse=True)
    assert {row["kind"] for row in rows} <= {"missing", "class", "box", "duplicate"}
    page = Page()
    page.feed((out / "suspects.html").read_text(encoding="utf-8"))
    assert page.pictures == min(len(rows), page.pictures) > 0 and page.fetched == []
    noted = list((out / "annotations").iterdir())
    assert len(noted) == len({row["image"] for row in rows})
    assert sum(len(list(ET.parse(path).iter("suspect"))) for path in noted) == len(rows)
    assert {path: path.read_bytes() for path in before} == before


def test_folds_are_trained_without_the_images_they_judge(run, trained, prototxt, exp_dir):
    try:
        result = run("find_label_errors.py", trained, "--def", prototxt, "--gpu", "cpu", "--folds", "2", "--set",
                     "TEST.SCALES", "[90]")
        assert result.returncode == 0, result.stderr
        for k in range(2):
            folder = next((ROOT / "output").glob(f"{exp_dir}_without_{k}_of_2/*"))
            assert f"--leave-out {k}/2" in json.loads((folder / "run.json").read_text())["command"]
            assert len(read_ledger(last_state(folder))["paths"]) == 2       # of 4 images
        assert suspects_in(trained / "label_errors")
    finally:
        for folder in (ROOT / "output").glob(f"{exp_dir}_without_*"):
            shutil.rmtree(folder)


@pytest.mark.parametrize("fold", ["2/2", "1", "0/1", "a/b"])
def test_a_fold_that_makes_no_sense_is_one_line(train, fold):
    result = train(**{"leave-out": fold})
    assert result.returncode == 2 and result.stderr.endswith(f"N of 2 or more, got '{fold}'\n"), result.stderr


def test_a_training_without_mining_is_one_line(run, train, exp_dir, prototxt):
    assert train(method="fast_rcnn").returncode == 0
    folder = next((ROOT / "output" / exp_dir).iterdir())
    result = run("find_label_errors.py", folder, "--def", prototxt, "--gpu", "cpu")
    assert_error(result, "has no loss ledger", "fast_rcnn_ohem.sh")


def test_a_folder_without_a_training_is_one_line(run, tmp_path):
    assert_error(run("find_label_errors.py", tmp_path, "--imdb", "voc_2007_test", "--gpu", "cpu"), "holds no state")


def label_errors(*args):
    return subprocess.run([sys.executable, "experiments/label_errors.py", *map(str, args)], cwd=ROOT, text=True,
                          capture_output=True)


def test_planted_errors_are_scored(voc_folder, tmp_path):
    """The planted errors themselves are found in full; suspects elsewhere are not."""
    spoiled = tmp_path / "spoiled"
    result = label_errors("plant", voc_folder, spoiled, "--share", "0.25")
    assert result.returncode == 0, result.stderr
    with open(spoiled / "planted_errors.csv", encoding="utf-8", newline="") as f:
        planted = list(csv.DictReader(f))
    kinds = [row["kind"] for row in planted]
    assert kinds.count("missing") == kinds.count("class") > 0
    count = {folder: sum(len(list(ET.parse(path).iter("object"))) for path in (folder / "Annotations").iterdir())
             for folder in (voc_folder, spoiled)}
    assert count[voc_folder] - count[spoiled] == kinds.count("missing")
    for name, shift, figure in (("right.csv", 0, "1.000"), ("wrong.csv", 500, "0.000")):
        with open(tmp_path / name, "w", encoding="utf-8", newline="") as f:
            writer = csv.DictWriter(f, planted[0])
            writer.writeheader()
            writer.writerows({**row, "x1": float(row["x1"]) + shift, "x2": float(row["x2"]) + shift} for row in planted)
        said = label_errors("score", spoiled, tmp_path / name).stdout
        assert said.count(f"by score: precision at k {figure}, recall within 2k {figure}") == 2, said
