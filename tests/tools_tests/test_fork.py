"""A fork in the original's idiom (tests/fork): its data set, data layer, mining layer, setting and demo, end to end."""
import os
import pickle
import shutil
import subprocess
import sys

import pytest
from digits import dataset
from support.error_line import assert_error
from support.reference import ROOT

FORK = ROOT / "tests" / "fork"
DIGITNET = ROOT / "models" / "digits" / "DigitNet" / "fast_rcnn_ohem"
IMPORT = ["--import", "fork_setup"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """DATA_DIR of the fork: its devkit, of a few digits."""
    folder = tmp_path_factory.mktemp("data")
    dataset.make(folder / "digit_devkit2024" / "digits", 3, {"trainval": 6, "test": 3}, workers=2)
    return folder


@pytest.fixture
def model(tmp_path):
    """Its train net and solver: DigitNet's, with its own layers."""
    text = (DIGITNET / "train.prototxt").read_text(encoding="utf-8")
    for ours, theirs in (("RoIDataLayer", "FocalData"), ("OHEMDataLayer", "FocalMining")):
        named = 'module: "roi_data_layer.layer" layer: "%s"'
        assert named % ours in text
        text = text.replace(named % ours, 'module: "focal_layers" layer: "%s"' % theirs)
    (tmp_path / "train.prototxt").write_text(text, encoding="utf-8")
    solver = (DIGITNET / "solver.prototxt").read_text(encoding="utf-8")
    solver = solver.replace("models/digits/DigitNet/fast_rcnn_ohem", str(tmp_path)).replace("display: 20", "display: 1")
    (tmp_path / "solver.prototxt").write_text(solver, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run_fork(server, exp_dir, data):
    """run_fork(tool, args...), in the folder of the fork's modules; the settings come last."""
    def call(tool, *args):
        args = [ROOT / "tools" / tool, *args, "--set", "EXP_DIR", exp_dir, "DATA_DIR", data]
        return server.run(args, FORK / "lib")
    return call


@pytest.fixture
def train_fork(exp_dir, data):
    """As run_fork for train_net.py, in a process that ends as usual: what the data layer registered with atexit ends its
    other process."""
    def call(*args):
        args = [ROOT / "tools" / "train_net.py", *args, "--set", "EXP_DIR", exp_dir, "DATA_DIR", data]
        return subprocess.run([sys.executable, *map(str, args)], cwd=FORK / "lib", capture_output=True, text=True, timeout=120,
                              env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    return call


def test_the_fork_end_to_end(train_fork, run_fork, server, model, data, exp_dir, tmp_path):
    """Trains with its process that fetches blobs, resumes, tests, and draws."""
    flags = ["--solver", model / "solver.prototxt", "--imdb", "digit_halves_2024_trainval", "--gpu", "cpu", *IMPORT,
             "--cfg", FORK / "cfgs" / "focal.yml"]
    result = train_fork(*flags, "--iters", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    out = result.stdout
    assert "3 classes: __background__, low, high" in out and "BlobFetcher started" in out
    assert "its own FocalMining gets all RoIs" in out and "FocalMining: gamma 1.0 keeps 32 of " in out
    assert "Data layer focal_layers.FocalData has no sampler_state" in out and "Terminating BlobFetcher" in out
    result = train_fork(*flags, "--iters", 3, "--resume", "auto")
    assert result.returncode == 0 and "at iteration 2" in result.stdout, result.stdout + result.stderr

    folder = ROOT / "output" / exp_dir / "digit_halves_2024_trainval"
    caffemodel = folder / "digitnet_fast_rcnn_iter_3.caffemodel"
    result = run_fork("test_net.py", "--def", DIGITNET / "test.prototxt", "--net", caffemodel, "--imdb",
                      "digit_halves_2024_test", "--gpu", "cpu", *IMPORT, "--cfg", FORK / "cfgs" / "focal.yml",
                      "--det_thresh", "0", "--num_dets", "500")
    assert result.returncode == 0 and "Recall for low = " in result.stdout, result.stdout + result.stderr
    results = ROOT / "output" / exp_dir / "digit_halves_2024_test" / "digitnet_fast_rcnn_iter_3"
    recalls = pickle.loads((results / "recalls.pkl").read_bytes())
    assert recalls.keys() == {"low", "high"} and max(recalls.values()) > 0
    assert not list((results / "results").rglob("*.txt"))              # config['cleanup']

    fitted = next(results.glob("*_3_classes_*.prototxt"))
    result = server.run([FORK / "tools" / "demo.py", "--cpu", "--def", fitted, "--net", caffemodel, "--data", data, "--out",
                         tmp_path / "demo.png"], tmp_path)
    assert result.returncode == 0 and "object proposals at scale" in result.stdout, result.stdout + result.stderr
    assert " with p(high | box) >= 0.1" in result.stdout and (tmp_path / "demo.png").stat().st_size > 1000


def test_other_tools_know_its_data_set(run_fork, data):
    result = run_fork("eval_recall.py", "--imdb", "digit_halves_2024_test", *IMPORT)
    assert result.returncode == 0 and "3 images of digit_halves_2024_test" in result.stdout, result.stdout + result.stderr


def test_a_module_that_is_not_there(run_fork):
    assert_error(run_fork("eval_recall.py", "--imdb", "x", "--import", "fork_setups"), "--import", "fork_setups",
                 "PYTHONPATH")
    assert_error(run_fork("eval_recall.py", "--imdb", "x", "--import", "lib/fork.py"), "lib/fork.py", "without .py")
    assert_error(run_fork("eval_recall.py", "--imdb", "digit_halves_2024_tset", *IMPORT), "digit_halves_2024_tset",
                 "nearest: digit_halves_2024_test")


def test_scripts_take_its_data_sets(commands_of, monkeypatch, data):
    """imdb:TRAIN[+TRAIN2]/TEST, the module by a flag or by OHEM_IMPORT; each tool imports it too."""
    from datasets import factory
    from fast_rcnn.config import cfg
    monkeypatch.syspath_prepend(FORK / "lib")
    monkeypatch.setattr(cfg, "DATA_DIR", str(data))
    monkeypatch.setenv("OHEM_IMPORT", "")
    table = getattr(factory, "__sets")  # noqa: B009
    kept = dict(table)
    try:
        named = "imdb:digit_halves_2024_trainval+voc_2007_trainval/digit_halves_2024_test"
        by_flag = commands_of("fast_rcnn_ohem.sh", "cpu", "DigitNet", named, *IMPORT, "--set", "RNG_SEED", "1")
        by_variable = commands_of("fast_rcnn_ohem.sh", "cpu", "DigitNet", named, "--set", "RNG_SEED", "1",
                                  OHEM_IMPORT="fork_setup")
    finally:
        table.clear()
        table.update(kept)
        del cfg.TRAIN.FOCAL_GAMMA
    train, test = by_flag
    assert by_flag == by_variable
    assert " --import fork_setup --imdb digit_halves_2024_trainval+voc_2007_trainval " in train
    assert "/digit_halves_2024_trainval+voc_2007_trainval/digitnet_fast_rcnn_iter_40000.caffemodel" in test
    assert " --import fork_setup " in test and " --imdb digit_halves_2024_test " in test


@pytest.mark.parametrize("named, word", [("imdb:a_train", "expected imdb:TRAIN/TEST"), ("imdb:/a", "expected imdb:TRAIN/TEST"),
                                         ("imdb:nowhere_train/nowhere_test", "data set 'nowhere_train' is unknown")])
def test_mistakes_in_the_names_of_imdbs(run_script, named, word):
    assert_error(run_script("fast_rcnn.sh", "cpu", "DigitNet", named, "--dry-run"), word)


def test_a_flag_without_its_module(run_script):
    assert_error(run_script("fast_rcnn.sh", "cpu", "DigitNet", "digits", "--import"), "--import needs the name of a module")


@pytest.fixture(autouse=True, scope="module")
def _no_bytecode():
    yield
    for folder in FORK.rglob("__pycache__"):
        shutil.rmtree(folder, ignore_errors=True)
