"""Paths with characters that mean something elsewhere; and which errors about files are the user's."""
import subprocess
import sys

import numpy as np
import pytest
from datasets.by_name import split_names
from datasets.factory import get_imdb
from datasets.voc_eval import voc_eval
from datasets.voc_scores import fill
from support.error_line import assert_error
from support.reference import ROOT
from support.voc_folder import make_voc_folder
from utils.errors import UserError

CLASSES = ["ball", "cup"]
OBJECTS = [("ball", (10, 12, 40, 45)), ("cup", (60, 20, 100, 70))]
STRANGE = "a+b {c} {} %s 100% d@e 'f' [g] ö"


def small_images(prefix, count):
    return {"%s%03d" % (prefix, i): (120, 90 + i, OBJECTS) for i in range(count)}


@pytest.fixture
def strange_folder(tmp_path):
    folder = tmp_path / STRANGE / STRANGE
    make_voc_folder(folder, small_images("a", 3), "trainval", CLASSES)
    return make_voc_folder(folder, small_images("b", 2), "test", CLASSES)


def test_training_testing_and_scoring_in_folders_of_any_name(train, run, tiny_net, strange_folder, exp_dir):
    name = exp_dir + "/" + STRANGE
    result = train("EXP_DIR", name, method="fast_rcnn", imdb="voc:%s@trainval" % strange_folder)
    assert result.returncode == 0, result.stdout + result.stderr
    output = ROOT / "output" / name / (STRANGE + "_trainval")
    imdb = "voc:%s@test" % strange_folder
    result = run("test_net.py", "--gpu", "cpu", "--def", tiny_net / "fast_rcnn" / "test.prototxt", "--net",
                 output / "tinynet_fast_rcnn_iter_2.caffemodel", "--imdb", imdb, "--comp", "--set", "EXP_DIR", name)
    assert result.returncode == 0 and "Mean AP = " in result.stdout, result.stdout + result.stderr
    results = ROOT / "output" / name / (STRANGE + "_test") / "tinynet_fast_rcnn_iter_2"
    again = run("reval.py", results, "--imdb", imdb, "--matlab")
    assert again.returncode == 0 and "Mean AP = " in again.stdout, again.stdout + again.stderr
    files = list((results / "results" / STRANGE / "Main").glob("comp4_det_test_*.txt"))
    assert {file.stem.rpartition("_")[2] for file in files} == set(CLASSES)


def test_joined_data_sets_of_folders_with_plus_signs(train, strange_folder):
    part = "voc:%s@%%s" % strange_folder.as_posix().replace("%", "%%")
    result = train(imdb="+".join(part % split for split in ("trainval", "test")))
    assert result.returncode == 0 and "trainval: 3 images" in result.stdout and "test: 2 images" in result.stdout, (
        result.stdout + result.stderr)


@pytest.mark.parametrize("text, names", [
    ("voc:/a+b/x@trainval", ["voc:/a+b/x@trainval"]),
    ("voc:/a+b/x@trainval+voc:c@d", ["voc:/a+b/x@trainval", "voc:c@d"]),
    ("voc_2007_trainval+voc_2012_trainval", ["voc_2007_trainval", "voc_2012_trainval"]),
    ("voc:a+voc_2007_test/x@y", ["voc:a+voc_2007_test/x@y"]),
    ("voc:a@b+voc_2007_test+coco:c.json@d+e", ["voc:a@b", "voc_2007_test", "coco:c.json@d+e"]),
    ("voc_2007_trainval+nothing", ["voc_2007_trainval", "nothing"]),
])
def test_a_plus_joins_only_where_another_data_set_begins(text, names):
    assert split_names(text) == names


def test_of_several_at_signs_the_one_after_a_file_counts(tmp_path):
    folder = make_voc_folder(tmp_path / "x@y", small_images("a", 1), "train@1", CLASSES)
    assert get_imdb("voc:%s@train@1" % folder).image_index == ["a000"]
    with pytest.raises(UserError, match="expected voc:PATH@SPLIT"):
        get_imdb("voc:%s" % tmp_path)


def test_a_script_keeps_a_plus_sign_of_a_folder(commands_of):
    train, test = (line.replace("'", "") for line in commands_of("fast_rcnn.sh", "cpu", "DigitNet", "voc:/d/a+b+voc:/d/c+coco", WEIGHTS="none"))
    assert "--imdb voc:/d/a+b@trainval+voc:/d/c+coco@trainval " in train and "--imdb voc:/d/a+b@test " in test


@pytest.mark.parametrize("template, path", [("/a{b}/{:s}.xml", "/a{b}/n.xml"), ("/{}/{0}.txt", "/{}/n.txt"),
                                            ("{x}_{:s}", "{x}_n")])
def test_the_last_place_of_a_template_is_filled(template, path):
    assert fill(template, "n") == path


def test_result_files_may_have_blank_lines_and_must_have_numbers(tmp_path):
    folder = make_voc_folder(tmp_path / "{t}", {"b b": (80, 60, [("cat", (11, 13, 41, 51))])}, "test", ["cat"])
    (tmp_path / "det_cat.txt").write_text("\nb b 0.5 11 13 41 51\n   \n\n")
    args = (str(folder / "Annotations" / "{:s}.xml"), str(folder / "ImageSets" / "Main" / "test.txt"), "cat", str(tmp_path))
    rec, _, ap = voc_eval(str(tmp_path / "det_{:s}.txt"), *args)
    assert np.array_equal(rec, [1]) and ap == 1
    for number in ("nan", "inf", "half"):
        (tmp_path / "det_cat.txt").write_text("b b 0.5 11 13 41 51\nb b %s 11 13 41 51\n" % number)
        with pytest.raises(UserError, match="det_cat.txt, line 2: expected .* finite numbers, got 'b b %s" % number):
            voc_eval(str(tmp_path / "det_{:s}.txt"), *args)


RAISES = """
import sys; sys.path.insert(0, "tools")
import _cli, errno
def main():
    raise OSError(getattr(errno, sys.argv.pop(1)), "it says", sys.argv.pop(1) or None)
_cli.run(main)
"""


@pytest.fixture
def raises(server, tmp_path):
    """raises("ENOENT", filename, words...): a tool called with the words meets that OSError."""
    (tmp_path / "tool.py").write_text(RAISES)
    return lambda code, filename, *words: server.run([tmp_path / "tool.py", code, filename, *words], ROOT)


@pytest.mark.parametrize("code, filename, words", [
    ("ENOENT", "/x/weights.caffemodel", ["--weights", "/x/weights.caffemodel"]),
    ("EACCES", "/x/weights.caffemodel", ["--weights=/x/weights.caffemodel"]),
    ("ENOTDIR", "/x/a+b/JPEGImages/1.jpg", ["--imdb", "voc:/x/a+b@test"]),
    ("EACCES", "/x/i/1.jpg", ["--imdb", "voc_2007_test+coco:/x/a.json@/x/i"]),
    ("EACCES", str(ROOT / "data" / "VOCdevkit2007" / "VOC2007"), ["--imdb", "voc_2007_test"]),
    ("EACCES", "/x/out", ["--out", "/x/out/p.npz"]),
    ("ENOENT", str(ROOT / "solver.prototxt"), ["--solver", "solver.prototxt"]),
    *[(code, "", []) for code in ("ENOSPC", "EDQUOT", "EPIPE", "EROFS", "EIO")],
])
def test_errors_of_files_the_user_named_and_of_the_machine_are_one_line(raises, code, filename, words):
    assert_error(raises(code, filename, *words), filename, "it says")


@pytest.mark.parametrize("code, filename, words", [
    ("ENOENT", "", ["--weights", "/x/weights.caffemodel"]), ("EMFILE", "", []), ("ENOENT", "/x/other", ["--weights", "/x/w"]),
    ("EACCES", str(ROOT / "lib" / "fast_rcnn" / "x"), ["--imdb", "voc_2007_test"]), ("ECHILD", "", ["--gpu", "cpu"])])
def test_other_errors_of_the_operating_system_keep_their_traceback(raises, code, filename, words):
    result = raises(code, filename, *words)
    assert result.returncode != 0 and "Traceback" in result.stderr and "error: " not in result.stderr.splitlines()[0]


def test_an_error_line_is_written_at_once(server, tmp_path):
    """Else the lines of two processes run into each other, where Python is unbuffered as under torchrun."""
    (tmp_path / "tool.py").write_text("""
import sys; sys.path.insert(0, "tools")
import _cli
from utils.errors import UserError
class Writes:
    texts = []
    write = texts.append
    flush = list
sys.stderr = Writes
def main():
    raise UserError("a mistake")
try:
    _cli.run(main)
finally:
    print(Writes.texts)
""")
    assert server.run([tmp_path / "tool.py"], ROOT).stdout == "['error: a mistake\\n']\n"


def test_a_reader_that_leaves_ends_a_tool_in_one_line(voc_folder):
    tool = subprocess.Popen([sys.executable, "tools/eval_recall.py", "--imdb", "voc:%s@test" % voc_folder], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    tool.stdout.close()
    said = tool.stderr.read().splitlines()
    assert tool.wait() == 1 and [line for line in said if "ipe" in line] == said[-1:] and said[-1].startswith("error: "), said
