"""The table of results: its rows, their commands and what was measured, from outside."""
import json
import shlex

import numpy as np
import pytest
from support.reference import ROOT

from experiments.plan import default_exp_dir
from experiments.tables import read_table, settings_of

ROWS = [line.split() for line in (ROOT / "experiments/table.txt").read_text().splitlines() if line and line[0] != "#"]
PUBLISHED = [     # VGG16 on VOC: what the paper and its code say, as in the original's README
    ("fast_rcnn", "-", "pascal_voc", "66.9", "67.6"), ("fast_rcnn_ohem", "-", "pascal_voc", "69.9", "71.5"),
    ("fast_rcnn", "M+B", "pascal_voc", "72.4", "-"), ("fast_rcnn_ohem", "M+B", "pascal_voc", "75.1", "-"),
    ("fast_rcnn", "-", "pascal_voc_07+12", "70.0", "-"), ("fast_rcnn_ohem", "-", "pascal_voc_07+12", "74.6", "75.5"),
    ("fast_rcnn_ohem", "M+B", "pascal_voc_07+12", "78.9", "-"), ("fast_rcnn", "-", "pascal_voc_12", "65.7", "-"),
    ("fast_rcnn_ohem", "-", "pascal_voc_12", "69.8", "-"), ("fast_rcnn_ohem", "M+B", "pascal_voc_12", "72.9", "-"),
    ("fast_rcnn", "-", "pascal_voc_07++12", "68.4", "-"), ("fast_rcnn_ohem", "-", "pascal_voc_07++12", "71.9", "-"),
    ("fast_rcnn_ohem", "M+B", "pascal_voc_07++12", "76.3", "-"),
    ("fast_rcnn_ohem", "M+B", "pascal_voc_07++12+coco", "80.1", "-")]


def cells_of(line):
    return [cell.strip() for cell in line.strip("|\n").split(" | ")]


def printed(result):
    """The cells of both tables' lines."""
    assert result.returncode == 0, result.stderr
    tables = [[cells_of(line) for line in part.splitlines() if line.startswith("|")]
              for part in result.stdout.split("Measured with this code")]
    return [table[2:] for table in tables]


@pytest.mark.parametrize("row", PUBLISHED, ids="_".join)
def test_every_published_row_is_there(row):
    method, plus, dataset, paper, code = row
    assert [method, plus, "VGG16", dataset, paper, code] in ROWS


def test_the_rows_are_printed_with_their_commands(run):
    published, measured = printed(run("results_table.py"))
    assert len(published) == len(ROWS) and measured
    assert ["Fast R-CNN + OHEM, +M, +B", "VGG16", "VOC 07 + 12 trainval", "VOC 07 test", "78.9", "-"] in [
        row[:6] for row in published]
    commands = [row[-1].strip("`") for row in published]
    assert "PLUS=M+B ./experiments/scripts/fast_rcnn_ohem.sh 0 VGG16 pascal_voc_07+12" in commands
    assert len(set(commands)) == len(commands)
    for row in measured:
        assert len(row) == 6 and 0 < float(row[3]) < 100 and "./experiments/scripts/" in row[-1]


@pytest.mark.parametrize("row", read_table(), ids=lambda row: row.key)
def test_the_command_leaves_its_scores_where_the_table_looks(commands_of, row):
    *variables, script, gpu, net = row.command().removesuffix(" " + row.dataset).split()
    variables += ["WEIGHTS=coco.caffemodel"] if row.dataset.endswith("+coco") else []
    test = commands_of(script.rpartition("/")[2], gpu, net, row.dataset, **dict(v.split("=") for v in variables))[-1]
    words = shlex.split(test)
    assert "tools/test_net.py" in words and words[words.index("--imdb") + 1] == settings_of(row).test_imdb
    own_folder = test.partition(" EXP_DIR ")[2] or {"fast_rcnn": "default"}.get(row.method, row.method)
    assert default_exp_dir(row.method, row.net, row.plus, row.dataset) == own_folder


def test_what_was_measured_is_read_from_the_output_folder(run, tmp_path):
    """Of several snapshots the last; with the number of images, as a cut of the data set is not the data set.

    Nets of other training sets are tested into the same folder.
    """
    both = "voc_2007_trainval+voc_2012_trainval"
    for iters, mean_ap, train_imdb in ((900, 0.2, "voc_2007_trainval"), (40000, 0.7154, "voc_2007_trainval"),
                                       (80000, 0.75, both)):
        folder = tmp_path / "fast_rcnn_ohem" / "voc_2007_test" / ("vgg16_fast_rcnn_iter_%d" % iters)
        folder.mkdir(parents=True)
        (folder / "ap.json").write_text(json.dumps({"mean_ap": mean_ap}))
        (folder / "run.json").write_text(json.dumps({"caffemodel": "output/fast_rcnn_ohem/%s/net.caffemodel" % train_imdb}))
        np.savez(folder / "detections.npz", image_ids=["%d" % i for i in range(500)])
    published, _ = printed(run("results_table.py", "--output", tmp_path))
    measured = {row[-1]: row[6] for row in published}
    assert measured.pop("`./experiments/scripts/fast_rcnn_ohem.sh 0 VGG16`") == "71.5 on 500 images"
    assert measured.pop("`./experiments/scripts/fast_rcnn_ohem.sh 0 VGG16 pascal_voc_07+12`") == "75.0 on 500 images"
    assert set(measured.values()) == {"-"}


def test_the_readme_shows_the_table(run):
    readme = (ROOT / "README.md").read_text().splitlines()
    shown = [cells_of(line) for line in readme if line.startswith("| ")]
    for row in printed(run("results_table.py", "--output", "/nowhere"))[0]:
        assert row in shown, row
