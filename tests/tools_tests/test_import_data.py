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


def sets_of(imported, folder, *flags):
    """({image: set}, what was printed) of an import."""
    result, out = imported(folder, *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    return boxes_by_name(out)[1], result.stdout


def in_test(sets):
    return sorted(name for name, of_image in sets.items() if of_image == "test")


def test_sets_of_voc_are_used_and_other_images_left_out(export, imported):
    folder = export(exports.voc_with_sets)
    names = folder / "ImageSets" / "Main" / "train.txt"
    names.write_text("\n".join(names.read_text().splitlines()[1:]))
    sets, said = sets_of(imported, folder)
    assert "cell 0" not in sets and len(sets) == 7 and in_test(sets) == ["cell 6", "cell 7"]
    assert "1 annotations are in no set of ImageSets/Main/ and are left out" in said


def test_coco_files_called_trainval_and_test(export, imported):
    def writer(folder, images):
        exports.write_images(folder / "images", images)
        names = list(images)
        for split, part in (("trainval", names[:6]), ("test", names[6:])):
            exports.write_json(folder / f"{split}.json", exports.coco_tree({name: images[name] for name in part}))
    assert in_test(sets_of(imported, export(writer))[0]) == ["cell 6", "cell 7"]


@pytest.mark.parametrize("folders, names, expected, rule", [
    (["train", "test", "", ""], ["a", "b", "c", "d"], ["b"], "train and images of no split train, its test tests"),
    (["", "", "", ""], ["train_1", "test_1", "train_2", "test_2"], ["test_1", "test_2"], "its test tests"),
    (["", "", "", ""], ["test_1", "street", "corner", "yard"], None, "drawn with seed"),
    (["val", "val", "val", "val"], ["a", "b", "c", "d"], None, "drawn with seed"),
], ids=["some in folders", "all by name", "one called test", "one split"])
def test_splits_by_folders_and_names(export, imported, folders, names, expected, rule):
    def writer(folder, images):
        for place, name in zip(folders, names):
            exports.labelme(folder / place, {name: images["cell 1"]})
    sets, said = sets_of(imported, export(writer))
    assert rule in said and (in_test(sets) == expected if expected else len(sets) == 4 and len(in_test(sets)) == 1)


@pytest.mark.parametrize("train, test", [("one", "two"), ("lists/a.txt", ["lists/b.txt"])], ids=["folders", "lists"])
def test_yolo_splits_of_the_yaml(export, imported, train, test):
    def writer(folder, images):
        for place, part in (("one", ["cell 1", "cell 2"]), ("two", ["cell 3"])):
            exports.write_images(folder / place, part)
            for name in part:
                (folder / place / (name + ".txt")).write_text(exports.yolo_line(*images[name][0]))
        (folder / "lists").mkdir()
        (folder / "lists" / "a.txt").write_text("./one/cell 1.jpg\n/on/another/machine/one/cell 2.jpg\n")
        (folder / "lists" / "b.txt").write_text("../two/cell 3.jpg\n")
        (folder / "data.yaml").write_text(f"path: ../datasets/cells\ntrain: {train}\ntest: {test}\nnames: {exports.CLASSES}\n")
    sets, said = sets_of(imported, export(writer))
    assert in_test(sets) == ["cell 3"] and "its test tests" in said


def test_yolo_keypoints_are_no_polygon(export, imported):
    def pose_line(label, box):
        return exports.yolo_line(label, box).rstrip() + " 0.9 0.9 2" * 4 + "\n"       # 17 numbers, as a polygon may have
    folder = export(lambda folder, images: exports.roboflow_yolo(folder, images, pose_line))
    yaml = folder / "data.yaml"
    yaml.write_text(yaml.read_text() + "kpt_shape: [4, 3]\n")
    result, out = imported(folder)
    assert result.returncode == 0 and "keypoints are left out" in result.stdout
    assert boxes_by_name(out)[0]["cell 1"][0] == ("Red Cell", [9, 12, 48, 59])
    yaml.write_text(yaml.read_text().replace("[4, 3]", "[3, 3]"))
    assert_error(imported(folder, "--out", str(out) + "2")[0], "9 numbers of keypoints")


def test_cut_off_image_is_named(export, imported):
    folder = export(exports.coco)
    image = folder / "images" / "cell 1.jpg"
    image.write_bytes(image.read_bytes()[:-900])
    assert_error(imported(folder)[0], "cell 1.jpg", "cut off")
