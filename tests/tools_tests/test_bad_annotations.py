"""Annotations that would be read wrongly stop training, testing and scoring alike; what is only doubtful is one line."""
import pytest
from support.coco_files import edit_json, make_coco
from support.voc_folder import annotation_xml

EMPTY = annotation_xml(120, 90, [])


@pytest.fixture
def test(run, prototxt, weights, voc_folder, exp_dir):
    """test(*settings): test_net.py on the small data set's test images."""
    return lambda *settings: run("test_net.py", "--gpu", "cpu", "--def", prototxt, "--net", weights, "--imdb",
                                 "voc:%s@test" % voc_folder, "--set", "EXP_DIR", exp_dir, "TEST.SCALES", "[90]", *settings)


def results_of(result):
    line = next(line for line in result.stdout.splitlines() if line.startswith("Results go to "))
    return line.removeprefix("Results go to ")


def stopped(result, *words):
    line, = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    assert [word for word in words if word not in line] == [], line
    return True


def told(result, words):
    assert result.returncode == 0, result.stdout + result.stderr
    return [line for line in result.stdout.splitlines() if words in line]


@pytest.mark.parametrize("old, new, words", [
    ("<difficult>0<", "<difficult>2<", ["object 1 (ball): difficult is '2'", "expected 0 or 1"]),
    ("<xmin>10</xmin><ymin>12</ymin><xmax>40</xmax><ymax>45</ymax>",
     "<xmin>0.1</xmin><ymin>0.12</ymin><xmax>0.4</xmax><ymax>0.45</ymax>", ["object 1 (ball)", "looks like fractions"]),
    ("<size><width>120<", "<size><width>60<", ["it says 60 x 91 pixels, the file has 120 x 91", "SCALE_BOXES_TO_IMAGE True"]),
    ("annotation>", "annotations>", ["root element is <annotations>"])])
def test_a_problem_stops_training_testing_and_scoring(train, test, run, voc_folder, old, new, words):
    tested = test()
    assert tested.returncode == 0, tested.stderr
    for name in ("a001", "b001"):
        xml = voc_folder / "Annotations" / (name + ".xml")
        text = xml.read_text()
        count = -1 if "annotation" in old else 1
        xml.write_text(text.replace(old, new, count))
        assert xml.read_text() != text
    assert stopped(train(), "a001.xml", *words)
    assert stopped(test(), "b001.xml", *words)
    assert stopped(run("reval.py", results_of(tested), "--imdb", "voc:%s@test" % voc_folder), "b001.xml", *words)


def test_images_without_objects_are_told_where_they_are_most_of_a_training_list(train, voc_folder):
    """One of four is not; a namespace that is not read through, say, would be."""
    assert not told(train(), "have no object")
    for name in ("a001", "a002"):
        (voc_folder / "Annotations" / (name + ".xml")).write_text(EMPTY)
    line, = told(train(overwrite=True), "have no object")
    assert line.startswith("things_trainval: 3 of 4 images have no object, the first is ") and "JPEGImages/a000.jpg" in line
    assert len(told(train(overwrite=True), "have no object")) == 1      # as often as it is read, from the cache too


def test_images_without_objects_are_told_where_they_are_all_of_a_test_list(test, run, voc_folder):
    for name in ("b001", "b002"):
        assert not told(test(), "have no object")
        (voc_folder / "Annotations" / (name + ".xml")).write_text(EMPTY)
    tested = test()
    line, = told(tested, "have no object")
    assert line.startswith("things_test: 3 of 3 images have no object, the first is ") and "JPEGImages/b000.jpg" in line
    assert told(run("reval.py", results_of(tested), "--imdb", "voc:%s@test" % voc_folder), "have no object") == [line]


def test_ids_of_two_kinds_stop_training_and_testing_before_they_begin(run, train, tmp_path, prototxt, weights, exp_dir):
    images = {"a.jpg": (120, 90, [{"name": "ball", "bbox": [9, 11, 31, 34]}]), "b.jpg": (120, 90, [])}
    name = make_coco(tmp_path / "mine", images, {"ball": 1, "cup": 2})
    edit_json(tmp_path / "mine" / "trainval.json", lambda tree: tree["images"][1].update(id="20"))
    words = "trainval.json", "numbers, such as 10", "text, such as '20'"
    assert stopped(train(imdb=name), *words)
    result = run("test_net.py", "--gpu", "cpu", "--def", prototxt, "--net", weights, "--imdb", name, "--set", "EXP_DIR", exp_dir)
    assert stopped(result, *words) and "Results go to" not in result.stdout
