"""tools/import_data.py: the same images in every export become the same data set; mistakes are one line."""
import json
import os

import numpy as np
import pytest
from datasets.factory import get_imdb
from support import exports
from support.error_line import assert_error

IMAGES = exports.truth()


@pytest.fixture
def export(tmp_path):
    """export(writer, images) -> the folder of an export."""
    def write(writer, images=IMAGES):
        folder = tmp_path / "export of cells"
        folder.mkdir()
        writer(folder, images)
        return folder
    return write


@pytest.fixture
def imported(run, tmp_path):
    """imported(folder, *flags) -> (CompletedProcess, the folder that was to be written)."""
    def call(folder, *flags):
        out = tmp_path / "cells"
        return run("import_data.py", str(folder), "--out", str(out), *flags), out
    return call


def boxes_by_name(out):
    """({image: [(label, [x1 y1 x2 y2] 0-based)]}, {image: set}) of both sets of a data set."""
    found, sets = {}, {}
    for split in ("trainval", "test"):
        imdb = get_imdb(f"voc:{out}@{split}")
        for name, entry in zip(imdb.image_index, imdb.gt_roidb()):
            found[name] = [(imdb.classes[c], box.tolist()) for c, box in zip(entry["gt_classes"], entry["boxes"])]
            sets[name] = split
    return found, sets


@pytest.mark.parametrize("writer", exports.WRITERS, ids=lambda writer: writer.__name__)
def test_every_export_gives_the_same_boxes(export, imported, writer):
    result, out = imported(export(writer))
    assert result.returncode == 0, result.stderr
    found, sets = boxes_by_name(out)
    expected = {name: objects for name, objects in IMAGES.items() if objects or writer not in exports.LEAVE_EMPTY_OUT}
    assert sorted(found) == sorted(expected)
    for name, objects in expected.items():
        assert [label for label, _ in found[name]] == [label for label, _ in objects]
        inclusive = [np.subtract(box, (0, 0, 1, 1)) for _, box in objects]
        np.testing.assert_allclose([box for _, box in found[name]], inclusive or np.empty((0,)), atol=0.02)
    listed = (out / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert listed == exports.CLASSES if writer in exports.LIST_CLASSES else sorted(listed) == sorted(exports.CLASSES)
    if writer in exports.HAVE_SPLITS:
        tested = dict(exports.of_splits(IMAGES))["test"]
        assert sorted(name for name, split in sets.items() if split == "test") == sorted(set(tested) & set(expected))
    else:
        assert {"trainval", "test"} == set(sets.values())


def test_images_are_links_or_copies(export, imported):
    folder = export(exports.yolo_flat)
    _, out = imported(folder)
    image = out / "JPEGImages" / "cell 1.png"
    assert image.is_symlink() and image.resolve() == (folder / "cell 1.png").resolve()
    record = json.loads((out / "import.json").read_text(encoding="utf-8"))
    assert record["images"]["cell 1"] == str(folder / "cell 1.png")
    os.rename(out, str(out) + "_linked")
    _, out = imported(folder, "--copy")
    assert not (out / "JPEGImages" / "cell 1.png").is_symlink()
    assert (out / "JPEGImages" / "cell 1.png").read_bytes() == (folder / "cell 1.png").read_bytes()


def test_split_is_the_same_for_the_same_seed(export, imported):
    folder = export(exports.cvat, exports.truth(40))
    splits = []
    for seed in ("5", "5", "6"):
        result, out = imported(folder, "--seed", seed)
        assert result.returncode == 0 and f"seed {seed}" in result.stdout
        splits.append((out / "ImageSets" / "Main" / "test.txt").read_text(encoding="utf-8"))
        os.rename(out, f"{out}_{len(splits)}")
    assert splits[0] == splits[1] != splits[2]
    assert len(splits[0].splitlines()) == 8


def test_folder_that_is_there_stays(export, imported, tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "mine.txt").write_text("x", encoding="utf-8")
    result, out = imported(export(exports.coco))
    assert_error(result, "--out", "not empty")
    assert os.listdir(out) == ["mine.txt"]


def test_bad_objects_stop_or_are_left_out(export, imported):
    folder = export(exports.yolo_flat)
    labels = folder / "cell 3.txt"
    labels.write_text(labels.read_text(encoding="utf-8") + "7 0.5 0.5 0.1 0.1\n0 30 40 10 10\n0 a b c d\n", encoding="utf-8")
    result, out = imported(folder)
    assert_error(result, "3 objects", "cell 3.txt, line 3", "class number 7", "--skip-bad")
    assert not out.exists()
    result, out = imported(folder, "--skip-bad")
    assert result.returncode == 0, result.stderr
    assert len(json.loads((out / "import.json").read_text(encoding="utf-8"))["left_out"]) == 3
    assert len(boxes_by_name(out)[0]["cell 3"]) == 2


def test_boxes_that_reach_out_are_clipped_and_told(export, imported):
    images = {**IMAGES, "cell 2": [("Red Cell", (-20, 10, 30, 50))]}
    result, out = imported(export(exports.labelme, images))
    assert result.returncode == 0 and "cell 2.json, shape 1" in result.stdout and "clipped" in result.stdout
    assert boxes_by_name(out)[0]["cell 2"] == [("Red Cell", [0, 10, 29, 49])]


def test_voc_annotation_with_a_bad_box_is_not_linked(export, imported):
    images = {**IMAGES, "cell 2": [("Red Cell", (300, 10, 310, 50)), ("platelet", (10, 10, 20, 20))]}
    result, out = imported(export(exports.voc, images), "--skip-bad")
    assert result.returncode == 0, result.stderr
    assert boxes_by_name(out)[0]["cell 2"] == [("platelet", [10, 10, 19, 19])]
    assert (out / "Annotations" / "cell 3.xml").is_symlink() and not (out / "Annotations" / "cell 2.xml").is_symlink()


def test_two_formats_need_a_choice(export, imported):
    folder = export(exports.labelme)
    (folder / "classes.txt").write_text("Red Cell\nplatelet\n", encoding="utf-8")
    (folder / "cell 1.txt").write_text("0 0.5 0.5 0.1 0.1\n", encoding="utf-8")
    assert_error(imported(folder)[0], "several formats", "yolo, labelme", "--format")
    result, _ = imported(folder, "--format", "labelme")
    assert result.returncode == 0 and "LabelMe JSON" in result.stdout


@pytest.mark.parametrize("prepare, words", [
    (lambda folder: None, ["no image"]),
    (lambda folder: exports.write_images(folder, ["a", "b"]), ["no annotations", "2 images", "COCO"]),
    (lambda folder: (exports.yolo_flat(folder, IMAGES), (folder / "classes.txt").unlink()), ["classes.txt"]),
    (lambda folder: (exports.coco(folder, IMAGES), (folder / "images" / "cell 1.jpg").unlink()),
     ["cell 1.jpg", "not in the folder"]),
    (lambda folder: (exports.labelme(folder, IMAGES), (folder / "cell 1.json").write_text("{", encoding="utf-8")),
     ["cell 1.json", "JSON"]),
    (lambda folder: (exports.voc(folder, IMAGES), (folder / "JPEGImages" / "cell 1.jpg").write_bytes(b"x")),
     ["cell 1.jpg"]),
], ids=["empty", "no annotations", "no class names", "image missing", "broken JSON", "broken image"])
def test_mistakes_are_one_line(run, tmp_path, prepare, words):
    folder = tmp_path / "export"
    folder.mkdir()
    prepare(folder)
    assert_error(run("import_data.py", str(folder), "--out", str(tmp_path / "out")), *words)
    assert not (tmp_path / "out").exists()


def test_names_that_repeat_in_splits_stay_apart(imported, tmp_path):
    folder = tmp_path / "export"
    for split, part in (("train", {"a": IMAGES["cell 1"]}), ("test", {"a": IMAGES["cell 3"]})):
        exports.write_images(folder / split, part)
        exports.write_json(folder / split / "_annotations.coco.json", exports.coco_tree(part))
    result, out = imported(folder)
    assert result.returncode == 0, result.stderr
    assert {name: len(objects) for name, objects in boxes_by_name(out)[0].items()} == {"train_a": 2, "test_a": 2}
