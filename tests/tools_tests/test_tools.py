"""train_net, test_net, reval and demo from outside: flags, files written, class counts, seeds."""
import json
import shutil
import subprocess
import sys

import pytest
from support.reference import ROOT

FLAGS = {"train_net.py": ["--gpu", "--precision", "--deterministic", "--solver", "--iters", "--weights", "--cfg", "--imdb", "--rand", "--resume", "--set"],
         "test_net.py": ["--gpu", "--precision", "--def", "--net", "--cfg", "--wait", "--imdb", "--comp", "--set", "--vis",
                         "--num_dets", "--det_thresh"],
         "rpn_generate.py": ["--gpu", "--def", "--net", "--cfg", "--wait", "--imdb", "--set"],
         "reval.py": ["output_dir", "--imdb", "--matlab", "--comp", "--nms"],
         "demo.py": ["--gpu", "--precision", "--cpu", "--net", "--show"]}


@pytest.mark.parametrize("tool", FLAGS)
def test_help_lists_the_originals_flags(run, tool):
    result = run(tool, "--help")
    assert result.returncode == 0
    assert [flag for flag in FLAGS[tool] if flag not in result.stdout] == []


@pytest.mark.parametrize("tool", ["train_net.py", "test_net.py", "reval.py"])
def test_a_tool_alone_prints_its_help(run, tool):
    result = run(tool)
    assert result.returncode == 1 and result.stdout.startswith("usage:")


def test_tools_run_in_a_fresh_python_from_any_folder(tmp_path):
    result = subprocess.run([sys.executable, ROOT / "tools" / "reval.py", "nowhere"], cwd=tmp_path, text=True,
                            capture_output=True, env={"PATH": "/usr/bin:/bin"})
    assert result.returncode == 1 and result.stderr.startswith("error: nowhere"), result.stderr


@pytest.fixture
def output(exp_dir):
    return ROOT / "output" / exp_dir


def succeed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture
def flags_of_test(tiny_net, voc_folder, exp_dir):
    """Flags of test_net.py for the small data set."""
    def flags(method, model, **more):
        given = {"gpu": "cpu", "def": tiny_net / method / "test.prototxt", "net": model,
                 "imdb": "voc:%s@test" % voc_folder, **more}
        return [part for flag, value in given.items() for part in ("--" + flag, value)] + ["--set", "EXP_DIR", exp_dir,
                                                                                          "TEST.SCALES", "[90]"]
    return flags


@pytest.mark.parametrize("method", ["fast_rcnn", "fast_rcnn_ohem"])
def test_train_then_test_then_score_again(train, run, output, flags_of_test, method, voc_folder):
    said = succeed(train(method=method)).stdout
    model = output / "things_trainval" / "tinynet_fast_rcnn_iter_2.caffemodel"
    assert model.is_file() and "Wrote snapshot to: %s" % model in said
    said = succeed(run("test_net.py", *flags_of_test(method, model, num_dets=20, det_thresh=0))).stdout
    results = output / "things_test" / "tinynet_fast_rcnn_iter_2"
    assert (results / "detections.npz").is_file() and "Results go to %s" % results in said
    scores = [line for line in said.splitlines() if line.startswith(("AP", "Mean AP"))]
    again = succeed(run("reval.py", results, "--imdb", "voc:%s@test" % voc_folder)).stdout
    assert scores and [line for line in again.splitlines() if line.startswith(("AP", "Mean AP"))] == scores


def test_record_of_a_training_run(train, output):
    said = succeed(train("RNG_SEED", "17")).stdout
    record = json.loads((output / "things_trainval" / "run.json").read_text())
    assert record["seed"] == record["config"]["RNG_SEED"] == 17
    assert record["classes"] == ["__background__", "ball", "cup"]
    assert record["seconds"] > 0 and record["peak_rss_mb"] > 10
    assert {"python", "caffe", "torch", "numpy"} <= set(record["versions"])
    assert "train_net.py" in record["command"]
    assert record["model"].endswith("tinynet_fast_rcnn_iter_2.caffemodel")
    first = said.index("Called with args"), said.index("Using config"), said.index("Seed: 17"), said.index("Output")
    assert list(first) == sorted(first), "what will be done comes first"


def test_class_count_follows_the_data_set(train, output):
    """The prototxts say 21 classes; the data set has two and the background."""
    succeed(train())
    effective = (output / "things_trainval" / "train.prototxt").read_text()
    assert "num_output: 21" not in effective and "num_output: 3" in effective and "num_output: 12" in effective


def test_same_seed_same_weights_and_rand_another(train, output):
    weights = []
    for flags in ({}, {}, {"rand": True, "overwrite": True}):
        path = output / "things_trainval" / "tinynet_fast_rcnn_iter_2.caffemodel"
        result = succeed(train(**flags))
        weights.append(path.read_bytes())
        seed = [line for line in result.stdout.splitlines() if line.startswith("Seed: ")]
        assert len(seed) == 1 and (seed == ["Seed: 3"]) == (not flags)
    assert weights[0] == weights[1] != weights[2]


def test_two_data_sets_joined(train, voc_folder, output):
    names = "voc:%s@trainval+voc:%s@test" % (voc_folder, voc_folder)
    succeed(train(imdb=names))
    assert (output / "things_trainval+things_test" / "tinynet_fast_rcnn_iter_2.caffemodel").is_file()


@pytest.mark.parametrize("tool", ["test_net.py", "rpn_generate.py"])
def test_wait_waits_for_the_caffemodel(tool, prototxt, tmp_path):
    command = [sys.executable, "tools/" + tool, "--gpu", "cpu", "--def", prototxt, "--net", tmp_path / "later.caffemodel",
               "--wait", "True", "--imdb", "voc_2007_test"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        said = next(line for line in process.stdout if line.startswith("Waiting"))
        process.kill()
    assert said == f"Waiting for {tmp_path / 'later.caffemodel'} to exist...\n"


def test_wait_is_a_real_boolean(run, flags_of_test):
    """`--wait false` was true in the original (bool of a text), and waited for ever."""
    result = run("test_net.py", *flags_of_test("fast_rcnn", "nothing.caffemodel", wait="false"))
    assert result.returncode == 1 and "nothing.caffemodel" in result.stderr
    assert run("test_net.py", *flags_of_test("fast_rcnn", "nothing.caffemodel", wait="maybe")).returncode == 2


def test_demo_writes_a_picture(train, run, output, tiny_net, voc_folder, tmp_path):
    succeed(train())
    model = output / "things_trainval" / "tinynet_fast_rcnn_iter_2.caffemodel"
    said = succeed(run("demo.py", "--cpu", "--model", model, "--def", tiny_net / "fast_rcnn" / "test.prototxt",
                       "--thresh", "0.05", "--out", tmp_path / "pictures", voc_folder / "JPEGImages" / "b001.jpg")).stdout
    assert (tmp_path / "pictures" / "b001.png").read_bytes().startswith(b"\x89PNG")
    assert " ball" in said or " cup" in said, said


def test_demo_without_images_takes_the_photographs_of_data_demo(train, run, output, tiny_net, tmp_path):
    succeed(train())
    model = output / "things_trainval" / "tinynet_fast_rcnn_iter_2.caffemodel"
    said = succeed(run("demo.py", "--cpu", "--net", "TinyNet", "--model", model, "--def",
                       tiny_net / "fast_rcnn" / "test.prototxt", "--out", tmp_path / "pictures")).stdout
    assert sorted(path.stem for path in (tmp_path / "pictures").iterdir()) == ["astronaut", "cat", "coffee"], said


def test_resume_auto_goes_on_from_a_state_of_this_net(train, output):
    succeed(train(iters=3))
    folder = output / "things_trainval"
    for end in (".solverstate", ".resume.npz"):         # a longer training of another net
        shutil.copy(folder / ("tinynet_fast_rcnn_iter_3" + end), folder / ("vgg16_fast_rcnn_iter_40000" + end))
    assert "tinynet_fast_rcnn_iter_3.solverstate at iteration 3" in succeed(train(iters=4, resume="auto")).stdout


def test_resume_auto_goes_on_from_the_last_state(train, output):
    """Two iterations and then two more end in the very bytes of four at once; with nothing to resume, it starts anew."""
    folder, name = output / "things_trainval", "tinynet_fast_rcnn_iter_4.caffemodel"
    succeed(train(iters=4))
    whole = (folder / name).read_bytes()
    shutil.rmtree(folder)
    assert "Training starts from the net's fillers" in succeed(train(iters=2, resume="auto")).stdout
    said = succeed(train(iters=4, resume="auto")).stdout
    assert "tinynet_fast_rcnn_iter_2.solverstate at iteration 2" in said
    assert (folder / name).read_bytes() == whole
