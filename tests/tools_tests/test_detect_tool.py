"""tools/detect.py: the labels that it writes are read back by the importer's readers, whatever the format."""
import csv
import json

import caffe
import numpy as np
import pytest
from datasets.propose import search_boxes
from fast_rcnn.config import cfg, nets_dir
from fast_rcnn.prototxt import adapt_net
from fast_rcnn.test import image_detections
from importers.recognise import read_export
from importers.write_predictions import FORMS
from support import exports
from support.error_line import assert_error
from support.settings import settings
from utils.images import read_image

NAMES = ["Red Cell", 'a "quoted", <b>&amp;']
THRESH = 0.3       # of a net of random weights
FORMATS = {"json": "COCO JSON", "csv": "CSV", "voc": "PASCAL VOC", "yolo": "YOLO", "labelme": "LabelMe JSON"}


@pytest.fixture
def photos(tmp_path):
    """Images in a folder and a folder below it."""
    folder = tmp_path / "my photos"
    exports.write_images(folder, ["b one", "c"], ".png")
    exports.write_images(folder / "more", ["a"])
    return folder


@pytest.fixture
def flags(prototxt, weights, tmp_path):
    """Of the detector: a net of random weights with the classes NAMES."""
    classes = tmp_path / "names.txt"
    classes.write_text("".join(f"{name}\n" for name in NAMES), encoding="utf-8")
    return ["--gpu", "cpu", "--model", weights, "--def", prototxt, "--classes", classes, "--thresh", THRESH, "--num_dets",
            30, "--set", "TEST.SCALES", "[90]"]


def expected_objects(prototxt, weights, path):
    """[(class, [x1 y1 x2 y2] edges)] by this process's own pass."""
    image = read_image(str(path))
    net = caffe.Net(adapt_net(prototxt, 1 + len(NAMES), nets_dir()), str(weights), caffe.TEST)
    with settings({"TEST.SCALES": (90,)}):
        dets = image_detections(net, image, search_boxes(image), 0.05, 30)
    return [(NAMES[c - 1], box) for c, of_class in enumerate(dets) for *box, score in (of_class + [0, 0, 1, 1, 0]).tolist()
            if score >= THRESH]


@pytest.mark.parametrize("form", FORMS)
def test_the_importer_reads_what_was_written(run, photos, flags, prototxt, weights, form):
    result = run("detect.py", photos, "--out", form, "--to", photos, *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    export = read_export(str(photos))
    assert export.what.startswith(FORMATS[form]) and export.problems == []
    found = {image.path: image.objects for image in export.images}
    total = 0
    for path in (photos / "b one.png", photos / "c.png", photos / "more" / "a.jpg"):
        expected = expected_objects(prototxt, weights, path)
        objects = found.get(str(path), [])
        assert [obj.label for obj in objects] == [label for label, _ in expected]
        np.testing.assert_allclose([obj.box for obj in objects], [box for _, box in expected] or np.empty((0, 4)), atol=0.02)
        total += len(objects)
    assert total > 3 and f"Wrote {total} labels of 3 images" in result.stdout


def test_scores_are_kept_where_the_format_has_them(run, photos, flags, tmp_path):
    for form in ("json", "csv", "labelme"):
        assert run("detect.py", photos, "--out", form, "--to", tmp_path / form, *flags).returncode == 0
    tree = json.loads((tmp_path / "json" / "predictions.json").read_text())
    scores = [annotation["score"] for annotation in tree["annotations"]]
    with open(tmp_path / "csv" / "predictions.csv", encoding="utf-8", newline="") as f:
        np.testing.assert_allclose([float(row["score"]) for row in csv.DictReader(f)], scores, atol=1e-6)
    described = [shape["description"] for name in ("b one", "c", "more/a")
                 for shape in json.loads((tmp_path / "labelme" / (name + ".json")).read_text())["shapes"]]
    assert described == [f"score {score:.3f}" for score in scores] and min(scores) >= THRESH
    image = tmp_path / "labelme" / "more" / json.loads((tmp_path / "labelme" / "more" / "a.json").read_text())["imagePath"]
    assert image.resolve() == photos / "more" / "a.jpg"


def test_labels_by_hand_are_not_replaced(run, photos, flags):
    (photos / "c.json").write_text("by hand", encoding="utf-8")
    args = ["detect.py", photos, "--out", "labelme", "--to", photos]
    assert_error(run(*args, *flags), "1 of 3 files are there already", "c.json", "--overwrite")
    assert (photos / "c.json").read_text() == "by hand" and not (photos / "b one.json").exists()
    assert run(*args, "--overwrite", *flags).returncode == 0
    assert "shapes" in json.loads((photos / "c.json").read_text())


def test_net_and_classes_are_those_of_the_training(train, run, photos, exp_dir, tmp_path):
    assert train().returncode == 0
    model = cfg.ROOT_DIR + f"/output/{exp_dir}/things_trainval/tinynet_fast_rcnn_iter_2.caffemodel"
    result = run("detect.py", photos, "--out", "yolo", "--to", tmp_path / "out", "--gpu", "cpu", "--model", model)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "out" / "classes.txt").read_text() == "ball\ncup\n"
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.txt")) == ["a.txt", "b one.txt", "c.txt", "classes.txt"]


@pytest.mark.parametrize("prepare, form, words", [
    (lambda folder: None, "json", ["no image"]),
    (lambda folder: exports.write_images(folder, ["a"], ".jpg") or exports.write_images(folder, ["a"], ".png"), "voc",
     ["a.jpg and a.png", "a.xml"]),
    (lambda folder: (folder / "a.jpg").write_bytes(b"x"), "csv", ["a.jpg"]),
    (lambda folder: exports.write_images(folder, ["a"]), "csv", ["--net NAME or --def"]),
], ids=["no images", "same stem", "broken image", "unknown net"])
def test_mistakes_are_one_line(run, tmp_path, weights, prepare, form, words):
    folder = tmp_path / "photos"
    folder.mkdir()
    prepare(folder)
    (tmp_path / "names.txt").write_text("a\nb\n")
    assert_error(run("detect.py", folder, "--out", form, "--to", tmp_path / "out", "--gpu", "cpu", "--model", weights,
                     "--classes", tmp_path / "names.txt"), *words)
    assert not (tmp_path / "out").exists()
