"""A net knows its classes: the names in its caffemodel, held against those of a data set by every tool."""
import json
import shutil

import caffe
import numpy as np
import pytest
from fast_rcnn.class_names import read_class_names, write_class_names
from fast_rcnn.prototxt import adapt_net
from support.coco_files import edit_json, make_coco
from support.reference import ROOT
from support.weights import write_random_weights

NAMES = "__background__", "ball", "cup"


@pytest.fixture
def weights(weights, prototxt):
    """The random net with boxes near the proposals, so that some detections are right; without names."""
    net = caffe.Net(adapt_net(prototxt, 3, str(weights.parent)), str(weights), caffe.TEST)
    for blob in net.params["bbox_pred"]:
        blob.data[...] *= 0.001
    net.save(str(weights))
    return weights


@pytest.fixture
def named(weights):
    """The random net, of ball and cup."""
    write_class_names(weights, NAMES)
    return weights


@pytest.fixture
def coco_json(tmp_path):
    """Path of a JSON of three images with a ball and a cup each, its imdb name; proposals are made."""
    objects = [{"name": "ball", "bbox": [9, 11, 31, 34]}, {"name": "cup", "bbox": [59, 19, 41, 51]}]
    name = make_coco(tmp_path / "json", {"%d.png" % i: (120, 90 + i, objects) for i in range(3)}, {"ball": 1, "cup": 2},
                     "test.json")
    return tmp_path / "json" / "test.json", name


@pytest.fixture
def test_net(run, exp_dir, prototxt):
    """test_net(imdb, caffemodel, settings..., flags) -> (result, {class: AP}, the folder of results)."""
    def call(imdb, caffemodel, *settings, **flags):
        words = [word for flag, value in flags.items() for word in ("--" + flag, value)]
        result = run("test_net.py", "--gpu", "cpu", "--def", prototxt, "--net", caffemodel, "--imdb", imdb, "--num_dets", 0,
                     "--det_thresh", -1e9, *words, "--set", "EXP_DIR", exp_dir, "TEST.SCALES", "[90]", *settings)
        (scores,) = list((ROOT / "output" / exp_dir).glob("*/%s/ap.json" % caffemodel.stem)) or [None]
        return result, scores and json.loads(scores.read_text())["ap"], scores and scores.parent
    return call


def detections(folder):
    """{class: (D, 6) [image x1 y1 x2 y2 score]} in a folder of results."""
    with np.load(folder / "detections.npz") as f:
        return {name: f["rows"][f["rows"][:, 1] == k][:, [0, 2, 3, 4, 5, 6]] for k, name in enumerate(f["classes"].tolist())}


def assert_error(result, *words):
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in result.stderr, result.stdout + result.stderr
    assert [word for word in words if word not in lines[0]] == [], lines[0]


def succeed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def swap_categories(path):
    """{1: ball, 2: cup} -> {1: cup, 2: ball}; the objects stay what they are."""
    def swap(tree):
        for category in tree["categories"]:
            category["id"] = 3 - category["id"]
        for annotation in tree["annotations"]:
            annotation["category_id"] = 3 - annotation["category_id"]
    edit_json(path, swap)


SETTINGS = {"plain": [], "agnostic": ["TEST.AGNOSTIC", "True"], "svm": ["TEST.SVM", "True"], "no boxes": ["TEST.BBOX_REG", "False"],
            "+M+B": ["TEST.SCALES", "[90, 60]", "TEST.SCALE_MODE", "all", "TEST.MULTI_STAGE", "True", "TEST.BBOX_VOTE", "True"]}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_classes_txt_reversed_changes_no_detection(test_net, named, voc_folder, settings):
    imdb = "voc:%s@test" % voc_folder
    result, before, folder = test_net(imdb, named, *settings)
    assert "another order" not in succeed(result)
    found = detections(folder)
    assert before["ball"] != before["cup"] and min(len(rows) for name, rows in found.items() if name in before) > 9
    (voc_folder / "classes.txt").write_text("cup\nball\n")
    result, after, folder = test_net(imdb, named, *settings)
    assert succeed(result).count("in another order") == 1
    assert after == before and list(after) == ["cup", "ball"]
    for name, rows in detections(folder).items():
        np.testing.assert_array_equal(rows, found[name])


def test_categories_of_other_ids_change_no_detection(run, test_net, named, coco_json):
    path, imdb = coco_json
    succeed(run("propose.py", "--imdb", imdb, "--mode", "quick"))
    result, before, folder = test_net(imdb, named)
    succeed(result)
    found = detections(folder)
    assert before["ball"] != before["cup"]
    swap_categories(path)
    result, after, folder = test_net(imdb, named)
    succeed(result)
    assert after == before and list(after) == ["cup", "ball"]
    for name, rows in detections(folder).items():
        np.testing.assert_array_equal(rows, found[name])


def test_names_differ_in_case(test_net, named, voc_folder):
    (voc_folder / "classes.txt").write_text("CUP\nBall\n")
    result, aps, _ = test_net("voc:%s@test" % voc_folder, named)
    succeed(result)
    assert list(aps) == ["CUP", "Ball"]


@pytest.mark.parametrize("classes, words", [
    (("ball", "dog"), ("missing: cup; unknown: dog",)), (("ball", "cup", "dog"), ("things_test: unknown: dog",)),
    (("ball",), ("missing: cup",)), (("ball", "BALL", "cup"), ("differ only in upper and lower case", "BALL"))])
def test_other_classes_are_refused_by_name(test_net, weights, prototxt, voc_folder, classes, words):
    write_random_weights(prototxt, weights, num_classes=1 + len(classes))
    write_class_names(weights, ("__background__",) + classes)
    result, aps, _ = test_net("voc:%s@test" % voc_folder, weights)
    assert_error(result, "net.caffemodel", *words)
    assert aps is None


def test_a_net_without_names_takes_the_data_sets(test_net, weights, voc_folder, tmp_path):
    imdb = "voc:%s@test" % voc_folder
    result, assumed, folder = test_net(imdb, weights)
    (line,) = [line for line in succeed(result).splitlines() if "has no class names" in line]
    assert "things_test" in line and "--classes FILE" in line
    found = detections(folder)
    (tmp_path / "names.txt").write_text("__background__\ncup\nball\n")
    result, said, folder = test_net(imdb, weights, classes=tmp_path / "names.txt")
    assert "has no class names" not in succeed(result) and said != assumed
    now = detections(folder)
    np.testing.assert_array_equal(now["cup"], found["ball"])
    np.testing.assert_array_equal(now["ball"], found["cup"])


def test_a_net_without_names_of_another_number(test_net, weights, prototxt, voc_folder):
    write_random_weights(prototxt, weights, num_classes=4)
    result, _, _ = test_net("voc:%s@test" % voc_folder, weights)
    assert_error(result, "net.caffemodel has no class names and scores 4 classes, things_test has 3", "--classes FILE")


@pytest.mark.parametrize("text, words", [
    ("ball\nCup\ncup\n", "must differ, ignoring case"), ("ball\n", "names 1 classes"), ("", "names no class"),
    ("ball\n__background__\ncup\n", "__background__ comes after"), (None, "no such file")])
def test_mistakes_in_the_file_of_classes(test_net, named, voc_folder, tmp_path, text, words):
    if text is not None:
        (tmp_path / "names.txt").write_text(text)
    result, _, _ = test_net("voc:%s@test" % voc_folder, named, classes=tmp_path / "names.txt")
    assert_error(result, "names.txt", words)


def test_the_file_of_classes_replaces_the_nets_own(test_net, named, voc_folder, tmp_path):
    (voc_folder / "classes.txt").write_text("sphere\ncup\n")
    for name in ("b001", "b002"):
        path = voc_folder / "Annotations" / (name + ".xml")
        path.write_text(path.read_text().replace("ball", "sphere"))
    (tmp_path / "names.txt").write_text("Sphere\ncup\n")
    assert_error(test_net("voc:%s@test" % voc_folder, named)[0], "missing: sphere; unknown: ball")
    result, aps, _ = test_net("voc:%s@test" % voc_folder, named, classes=tmp_path / "names.txt")
    assert "class names of %s are replaced" % named in succeed(result) and list(aps) == ["sphere", "cup"]


def test_scoring_again_after_classes_txt_was_reversed(run, test_net, named, voc_folder):
    imdb = "voc:%s@test" % voc_folder
    _, before, folder = test_net(imdb, named)
    (voc_folder / "classes.txt").write_text("cup\nball\n")
    succeed(run("reval.py", folder, "--imdb", imdb))
    assert json.loads((folder / "ap.json").read_text())["ap"] == before
    (voc_folder / "classes.txt").write_text("cup\nball\ndog\n")
    assert_error(run("reval.py", folder, "--imdb", imdb), "detections.npz", "missing: dog", "test again on things_test")


# ---- nets from training, and from other nets

def trained(exp_dir):
    return ROOT / "output" / exp_dir / "things_trainval" / "tinynet_fast_rcnn_iter_2.caffemodel"


def test_snapshots_hold_the_names(train, exp_dir, voc_folder):
    (voc_folder / "classes.txt").write_text("çup\nball\n", encoding="utf-8")
    for path in (voc_folder / "Annotations").iterdir():
        path.write_text(path.read_text().replace("cup", "çup"), encoding="utf-8")
    succeed(train())
    assert read_class_names(trained(exp_dir)) == ("__background__", "çup", "ball")
    assert '["__background__", "çup", "ball"]'.encode() in trained(exp_dir).read_bytes()


def test_demo_and_export_of_a_net_away_from_its_record(train, run, exp_dir, tiny_net, voc_folder, tmp_path):
    """Before, demo.py took PASCAL VOC's names and ended with the weights' shapes."""
    succeed(train())
    model = shutil.copy(trained(exp_dir), tmp_path / "away.caffemodel")
    args = ["--def", tiny_net / "fast_rcnn" / "test.prototxt"]
    said = succeed(run("demo.py", "--cpu", "--model", model, *args, "--thresh", "0.05", "--out", tmp_path,
                       voc_folder / "JPEGImages" / "b001.jpg"))
    assert "2 classes and the background: ball, cup" in said and (" ball" in said.split("b001.jpg: ")[1])
    succeed(run("export.py", *args, "--net", model, "--to", "onnx", "--out", tmp_path / "out.onnx"))
    onnx = pytest.importorskip("onnx")
    properties = {item.key: item.value for item in onnx.load(tmp_path / "out.onnx").metadata_props}
    assert json.loads(properties["classes"]) == list(NAMES)
    succeed(run("export.py", *args, "--net", model, "--to", "torch", "--out", tmp_path / "out.pth"))
    scope = {}
    exec((tmp_path / "out.py").read_text(), scope)
    assert json.loads(scope["METADATA"]["classes"]) == list(NAMES)


def test_demo_of_a_net_without_names(run, weights, prototxt, voc_folder, tmp_path):
    args = ["demo.py", "--cpu", "--model", weights, "--def", prototxt, "--thresh", "0.05", "--out", tmp_path,
            voc_folder / "JPEGImages" / "b001.jpg"]
    assert_error(run(*args), "has no class names and scores 3 classes, PASCAL VOC has 21", "--classes FILE")
    (tmp_path / "names.txt").write_text("kite\nmug\n")
    said = succeed(run(*args, "--classes", tmp_path / "names.txt")).split("b001.jpg: ")[1]
    assert " kite" in said or " mug" in said, said
    write_random_weights(prototxt, weights, num_classes=21)
    assert "its scores are assumed to be for the classes of PASCAL VOC" in succeed(run(*args))


def test_a_net_of_an_older_version_beside_its_record(train, run, exp_dir, prototxt, voc_folder, test_net):
    """Its run.json names the classes; a caffemodel without names is what Net.save leaves."""
    succeed(train())
    path = str(trained(exp_dir))
    caffe.Net(adapt_net(prototxt, 3, str(prototxt.parent)), path, caffe.TEST).save(path)
    assert read_class_names(trained(exp_dir)) is None
    (voc_folder / "classes.txt").write_text("cup\nball\n")
    result, _, _ = test_net("voc:%s@test" % voc_folder, trained(exp_dir))
    said = succeed(result)
    assert "those of the run.json next to it are used" in said and "in another order" in said


@pytest.mark.parametrize("record", ["[]", '{"prefix": "net"}', '{"prefix": 5, "config": {}}'])
def test_a_run_json_that_is_no_record_of_the_net_is_left_alone(run, named, prototxt, voc_folder, tmp_path, record):
    (named.parent / "run.json").write_text(record)
    succeed(run("demo.py", "--cpu", "--model", named, "--def", prototxt, "--out", tmp_path,
                voc_folder / "JPEGImages" / "b001.jpg"))


def test_compressed_nets_carry_the_names(run, named, prototxt, tmp_path):
    succeed(run("compress_net.py", "--def", prototxt, "--def-svd", tmp_path / "svd.prototxt", "--net", named, "--ranks",
                "fc6=7", "--num_rois", 20))
    assert read_class_names(tmp_path / "net_svd_fc6_7.caffemodel") == NAMES


def test_svms_of_a_data_set_in_another_order(run, named, prototxt, voc_folder, test_net, exp_dir):
    """The SVMs go into the rows of their classes: the same net for either order of classes.txt."""
    nets = []
    for names in ("ball\ncup\n", "cup\nball\n"):
        (voc_folder / "classes.txt").write_text(names)
        succeed(run("train_svms.py", "--gpu", "cpu", "--def", prototxt, "--net", named, "--imdb",
                    "voc:%s@trainval" % voc_folder, "--set", "TRAIN.SCALES", "[90]", "TEST.SCALES", "[90]",
                    "TRAIN.USE_FLIPPED", "False"))
        nets.append((named.parent / "net_svm.caffemodel").read_bytes())
        assert read_class_names(named.parent / "net_svm.caffemodel") == NAMES
    assert nets[0] == nets[1]


def test_joined_data_sets_may_spell_their_classes_in_another_case(train, voc_folder):
    """Their names are the first one's; another order stays a mistake."""
    other = shutil.copytree(voc_folder, voc_folder.parent / "other" / voc_folder.name)
    joined = "voc:%s@trainval+voc:%s@trainval" % (voc_folder, other)
    (other / "classes.txt").write_text("Ball\nCUP\n")
    succeed(train(imdb=joined))
    (other / "classes.txt").write_text("CUP\nBall\n")
    result = train(imdb=joined, overwrite=True)
    assert result.returncode == 1 and "different classes, or in another order" in result.stderr
