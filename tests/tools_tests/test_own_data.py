"""Data of one's own, from a bare folder to mAP by the README's commands; the same as a COCO JSON; fine-tuning.

Three classes, file names with blanks, an image without objects, and one bad box, which is named first.
"""
import json
import shutil

import numpy as np
import pytest
from support.coco_files import edit_json, make_coco
from support.reference import ROOT
from support.voc_folder import make_voc_folder

SMALL = ["TRAIN.SCALES", "[100]", "TEST.SCALES", "[100]", "TRAIN.USE_FLIPPED", "False"]
CLASSES = {"kite": 4, "red apple": 2, "mug": 9}


def scenes(prefix, count, seed):
    """{file stem: (width, height, [(class, (xmin, ymin, xmax, ymax) 1-based)])}; the first has no objects."""
    rng = np.random.default_rng(seed)
    images = {prefix + " 000": (150, 100, [])}
    for i in range(1, count):
        objects = []
        for k, name in enumerate(CLASSES):
            x, y = 3 + 50 * k + rng.integers(0, 8), rng.integers(3, 40)
            objects.append((name, (x, y, x + rng.integers(25, 36), y + rng.integers(25, 50))))
        images["%s %03d" % (prefix, i)] = 150, 100, objects
    return images


@pytest.fixture
def voc_own(tmp_path):
    """A folder as its owner would bring it, without proposals."""
    folder = tmp_path / "my things"
    make_voc_folder(folder, scenes("holiday photo", 7, 1), "trainval", list(CLASSES))
    make_voc_folder(folder, scenes("city walk", 4, 2), "test", list(CLASSES))
    shutil.rmtree(folder / "selective_search_data")
    return folder


@pytest.fixture
def coco_own(tmp_path):
    folder = tmp_path / "my json"
    for split, (prefix, count, seed) in {"trainval": ("holiday photo", 7, 1), "test": ("city walk", 4, 2)}.items():
        images = {name + ".jpg": (width, height, [{"name": cls, "bbox": [int(v) for v in (x1 - 1, y1 - 1, x2 - x1 + 1,
                                                                                          y2 - y1 + 1)]}
                                                  for cls, (x1, y1, x2, y2) in objects])
                  for name, (width, height, objects) in scenes(prefix, count, seed).items()}
        make_coco(folder, images, CLASSES, split + ".json")
    return folder


def said(result):
    return result.stdout + result.stderr


def train_net(run, imdb, exp_dir, *flags):
    return run("train_net.py", "--gpu", "cpu", "--solver", "models/digits/DigitNet/fast_rcnn/solver.prototxt", "--imdb", imdb,
               "--iters", "2", *flags, "--set", "EXP_DIR", exp_dir, *SMALL)


def train_and_test(run_script, dataset, exp_dir, iters="60"):
    return run_script("fast_rcnn_ohem.sh", "cpu", "DigitNet", dataset, "--set", "EXP_DIR", exp_dir, *SMALL, ITERS=iters,
                      WEIGHTS="none")


def scores(exp_dir, imdb):
    (path,) = (ROOT / "output" / exp_dir / imdb).glob("*/ap.json")
    return json.loads(path.read_text())


def test_voc_folder_from_bare_to_map(run, run_script, voc_own, exp_dir):
    annotation = voc_own / "Annotations" / "holiday photo 003.xml"
    sound = annotation.read_text()
    annotation.write_text(sound.replace("<xmax>", "<xmax>9"))
    result = run("propose.py", "--imdb", "voc:%s@trainval+voc:%s@test" % (voc_own, voc_own), "--workers", "2")
    assert result.returncode == 0, said(result)
    assert (voc_own / "selective_search_data" / "my things_trainval.mat").exists()

    result = train_net(run, "voc:%s@trainval" % voc_own, exp_dir)
    assert result.returncode == 1 and "Iteration" not in said(result)
    named = [line for line in said(result).splitlines() if "holiday photo 003.xml, object" in line]
    assert len(named) == 4 and "has 3 problems" in named[-1]       # each of the three boxes, then the count

    annotation.write_text(sound)
    result = train_and_test(run_script, "voc:%s" % voc_own, exp_dir)
    assert result.returncode == 0, said(result)
    found = scores(exp_dir, "my things_test")
    assert list(found["ap"]) == list(CLASSES) and found["mean_ap"] > 0.3, found
    assert "Mean AP = %.4f" % found["mean_ap"] in result.stdout


def test_coco_json_from_bare_to_map(run, run_script, coco_own, exp_dir):
    names = ["coco:%s/%s.json@%s/images" % (coco_own, split, coco_own) for split in ("trainval", "test")]
    result = run("propose.py", "--imdb", "+".join(names), "--mode", "quick")
    assert result.returncode == 0, said(result)

    sound = (coco_own / "trainval.json").read_text()
    edit_json(coco_own / "trainval.json", lambda tree: tree["annotations"][4]["bbox"].__setitem__(2, 999))
    result = train_net(run, names[0], exp_dir)
    assert result.returncode == 1 and "trainval.json, annotation 4 of image holiday photo 002.jpg" in said(result)

    (coco_own / "trainval.json").write_text(sound)
    result = train_and_test(run_script, "coco:%s" % coco_own, exp_dir)
    assert result.returncode == 0, said(result)
    found = scores(exp_dir, "my json_test")
    assert list(found["ap"]) == ["red apple", "kite", "mug"] and found["coco"]["AP50"] > 0.3, found
    assert list((ROOT / "output" / exp_dir / "my json_test").glob("*/results/detections_test_results.json"))


def test_fine_tuning_from_a_detector_of_other_classes(train, voc_folder, coco_own, run, tiny_net, exp_dir):
    """Two classes to three: the last two layers start anew, said in a line; the same classes load whole."""
    assert train().returncode == 0
    (detector,) = (ROOT / "output" / exp_dir / "things_trainval").glob("*.caffemodel")
    again = train(weights=detector, overwrite=True)
    assert again.returncode == 0 and "other classes" not in said(again), said(again)

    imdb = "coco:%s/trainval.json@%s/images" % (coco_own, coco_own)
    assert run("propose.py", "--imdb", imdb, "--mode", "quick").returncode == 0
    result = train(imdb=imdb, weights=detector)
    assert result.returncode == 0, said(result)
    (line,) = [line for line in result.stdout.splitlines() if "has other classes" in line]
    assert "cls_score has 3x16 and 3 there and 4x16 and 4 here" in line and "bbox_pred has 12x16 and 12" in line
