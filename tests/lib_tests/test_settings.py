"""cfg: defaults, files, --set pairs, mistakes, output folders."""
import types

import numpy as np
import pytest
import yaml
from fast_rcnn.config import cfg, cfg_from_file, cfg_from_list, check_cfg, get_output_dir, output_path
from support.settings import settings
from utils.errors import UserError
from utils.python_layer import read_params
from utils.timer import Timer


@pytest.fixture(autouse=True)
def undo():
    with settings():
        yield


def test_defaults_of_the_original():
    train, test = cfg.TRAIN, cfg.TEST
    assert (train.SCALES, train.MAX_SIZE, train.IMS_PER_BATCH, train.BATCH_SIZE) == ((600,), 1000, 2, 128)
    assert (train.FG_FRACTION, train.FG_THRESH, train.BG_THRESH_HI, train.BG_THRESH_LO) == (.25, .5, .5, .1)
    assert train.BBOX_NORMALIZE_STDS == (.1, .1, .2, .2) and train.ASPECT_GROUPING and not train.USE_OHEM
    assert train.OHEM_USE_NMS and train.OHEM_NMS_THRESH == .7
    assert train.OHEM_NMS_PER_CLASS and not train.OHEM_PER_IMAGE  # as the original's code, not as the paper
    assert (test.SCALES, test.MAX_SIZE, test.NMS, test.SVM, test.BBOX_REG) == ((600,), 1000, .3, False, True)
    assert (cfg.DEDUP_BOXES, cfg.RNG_SEED, cfg.EPS, cfg.EXP_DIR) == (1 / 16, 3, 1e-14, "default")
    np.testing.assert_array_equal(cfg.PIXEL_MEANS, [[[102.9801, 115.9465, 122.7717]]])


def test_from_file(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text("EXP_DIR: here\nTRAIN:\n  SCALES: [400, 500]\n  BG_THRESH_LO: 0\n  USE_OHEM: True\n"
                    "EPS: 1e-3\nPIXEL_MEANS: [104, 117, 123]\n")
    cfg_from_file(str(path))
    assert cfg.EXP_DIR == "here" and cfg.TRAIN.SCALES == (400, 500) and cfg.TRAIN.USE_OHEM is True
    assert cfg.TRAIN.BG_THRESH_LO == 0 and isinstance(cfg.TRAIN.BG_THRESH_LO, float)
    assert cfg.EPS == 1e-3
    assert cfg.PIXEL_MEANS.shape == (1, 1, 3) and cfg.PIXEL_MEANS.dtype == np.float64
    path.write_text("")
    cfg_from_file(str(path))


@pytest.mark.parametrize("words, key, value", [
    (["TRAIN.SCALES", "[400, 500, 600]"], "SCALES", (400, 500, 600)),
    (["TRAIN.SCALES", "(480,)"], "SCALES", (480,)),
    (["TRAIN.SCALES", [480, 576]], "SCALES", (480, 576)),
    (["TRAIN.FG_THRESH", "1"], "FG_THRESH", 1.0),
    (["TRAIN.USE_FLIPPED", "False"], "USE_FLIPPED", False),
    (["TRAIN.SNAPSHOT_INFIX", "a-b"], "SNAPSHOT_INFIX", "a-b"),
    (["TRAIN.SNAPSHOT_INFIX", "2007"], "SNAPSHOT_INFIX", "2007"),
    (["TRAIN.SNAPSHOT_INFIX", "'quoted'"], "SNAPSHOT_INFIX", "quoted"),
    (["TRAIN.BBOX_NORMALIZE_MEANS", "[0, 0, 0, 1]"], "BBOX_NORMALIZE_MEANS", (0.0, 0.0, 0.0, 1.0)),
])
def test_from_list(words, key, value):
    cfg_from_list(words)
    assert cfg.TRAIN[key] == value and type(cfg.TRAIN[key]) is type(value)


def test_the_type_of_a_default_outlives_changes():
    cfg_from_list(["TRAIN.SCALES", "[1, 2, 3]", "TRAIN.SCALES", "[4, 5]", "EXP_DIR", "a", "EXP_DIR", "b"])
    assert cfg.TRAIN.SCALES == (4, 5) and cfg.EXP_DIR == "b"


@pytest.mark.parametrize("words, message", [
    (["TRAIN.BATCHSIZE", "64"], "unknown setting TRAIN.BATCHSIZE in --set; the nearest known one is TRAIN.BATCH_SIZE"),
    (["BATCH_SIZE", "64"], "unknown setting BATCH_SIZE .* nearest known one is TRAIN.BATCH_SIZE"),
    (["TRAIN", "64"], "unknown setting TRAIN in"),
    (["TRAIN.BATCH_SIZE", "64.5"], r"setting TRAIN.BATCH_SIZE in --set must be an int, got 64.5 \(float\)"),
    (["TRAIN.BATCH_SIZE", "many"], r"must be an int, got 'many' \(str\)"),
    (["TRAIN.BATCH_SIZE", "True"], "must be an int, got True"),
    (["TRAIN.USE_OHEM", "1"], "TRAIN.USE_OHEM in --set must be True or False, got 1"),
    (["TRAIN.USE_OHEM", "true"], "must be True or False, got 'true'"),
    (["TRAIN.FG_THRESH", "True"], "must be a float, got True"),
    (["TRAIN.FG_THRESH", "half"], "must be a float, got 'half'"),
    (["TRAIN.SCALES", "600"], r"must be a list of int like \[600\], got 600"),
    (["TRAIN.SCALES", "[]"], r"must be a list of int like \[600\], got \[\]"),
    (["TRAIN.SCALES", "['a']"], "must be a list of int"),
    (["TRAIN.BBOX_NORMALIZE_STDS", "[1, 2]"], r"must be a list of float like \[0.1, 0.1, 0.2, 0.2\]"),
    (["PIXEL_MEANS", "[1, 2]"], r"must be 3 numbers like \[102.9801, 115.9465, 122.7717\], got \[1, 2\]"),
    (["EXP_DIR", 3], "must be text, got 3"),
    (["TRAIN.BATCH_SIZE"], "pairs of KEY VALUE, got an odd number of words: TRAIN.BATCH_SIZE"),
])
def test_mistakes_in_pairs(words, message):
    with pytest.raises(UserError, match=message) as e:
        cfg_from_list(words)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("text, message", [
    ("TRIAN: {BATCH_SIZE: 64}", "unknown setting TRIAN.BATCH_SIZE in .*a.yml; the nearest .* TRAIN.BATCH_SIZE"),
    ("TRAIN: {SCALES: {a: 1}}", "unknown setting TRAIN.SCALES.a"),
    ("TRAIN: {BATCH_SIZE: '64'}", r"TRAIN.BATCH_SIZE in .*a.yml must be an int, got '64' \(str\)"),
    ("TRAIN: [1, 2", "a.yml cannot be read: while parsing"),
    ("- 1", "must hold 'KEY: value' lines, got a list"),
])
def test_mistakes_in_files(tmp_path, text, message):
    path = tmp_path / "a.yml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as e:
        cfg_from_file(path)
    assert "\n" not in str(e.value)


NAN, INF = float("nan"), float("inf")
SENSELESS = [
    ("TRAIN.FG_THRESH", NAN), ("TRAIN.FG_THRESH", INF), ("TRAIN.FG_THRESH", -0.5), ("TRAIN.FG_FRACTION", 5.0),
    ("TRAIN.FG_FRACTION", -1.0), ("TRAIN.FG_FRACTION", NAN), ("TRAIN.BG_THRESH_HI", NAN), ("TRAIN.BG_THRESH_LO", -1.0),
    ("TRAIN.OHEM_NMS_THRESH", NAN), ("TRAIN.OHEM_NMS_THRESH", -1.0), ("TRAIN.BBOX_NORMALIZE_STDS", (0.0,) * 4),
    ("TRAIN.BBOX_NORMALIZE_STDS", (0.1, 0.1, -0.2, 0.2)), ("TRAIN.BBOX_NORMALIZE_MEANS", (0.0, NAN, 0.0, 0.0)),
    ("TRAIN.BBOX_INSIDE_WEIGHTS", (1.0, 1.0, 1.0, -1.0)), ("TRAIN.BBOX_THRESH", NAN), ("TRAIN.BATCH_SIZE", 0),
    ("TRAIN.BATCH_SIZE", -2), ("TRAIN.IMS_PER_BATCH", 0), ("TRAIN.ITER_SIZE", -1), ("TRAIN.STEP_FRACTION", 1.0),
    ("TRAIN.STEP_FRACTION", NAN), ("TRAIN.SCALES", (600, 0)), ("TRAIN.MAX_SIZE", 0), ("TRAIN.OHEM_WARMUP_ITERS", -1),
    ("TRAIN.RPN_BATCHSIZE", 0), ("TRAIN.RPN_FG_FRACTION", 1.5), ("TRAIN.RPN_POSITIVE_OVERLAP", 7.0),
    ("TRAIN.RPN_NEGATIVE_OVERLAP", NAN), ("TRAIN.RPN_NMS_THRESH", -1.0), ("TRAIN.RPN_MIN_SIZE", -16),
    ("TRAIN.RPN_POSITIVE_WEIGHT", 2.0), ("TRAIN.RPN_POSITIVE_WEIGHT", NAN), ("TRAIN.SNAPSHOT_INFIX", "a/b"),
    ("TEST.SCALES", (-600,)), ("TEST.MAX_SIZE", -1), ("TEST.NMS", NAN), ("TEST.NMS", -INF), ("TEST.SCALE_MODE", "every"),
    ("TEST.BBOX_VOTE_THRESH", NAN), ("TEST.MULTI_STAGE_THRESH", NAN), ("TEST.MULTI_STAGE_NMS", -1.0),
    ("TEST.RPN_NMS_THRESH", NAN), ("DEDUP_BOXES", NAN), ("EPS", NAN), ("EPS", -1.0), ("RNG_SEED", -1),
    ("RNG_SEED", 2 ** 32), ("PIXEL_MEANS", [[[NAN, 1, 2]]]), ("EXP_DIR", "a\0b"),
]


@pytest.mark.parametrize("key, value", SENSELESS)
def test_values_that_make_no_sense_are_refused_where_they_are_set_and_where_work_begins(tmp_path, key, value):
    text = "setting %s %%s.*; expected .*default: " % key
    with pytest.raises(UserError, match=text % "in --set is") as e:
        cfg_from_list([key, value])
    assert "\n" not in str(e.value)
    (tmp_path / "a.yml").write_text(yaml.safe_dump(as_tree(key, list(value) if isinstance(value, tuple) else value)))
    with pytest.raises(UserError, match=text % "in .*a.yml is"):
        cfg_from_file(tmp_path / "a.yml")
    with settings({key: value}), pytest.raises(UserError, match=text % "is"):
        check_cfg("TEST" if key.startswith("TEST.") else "TRAIN")


def as_tree(key, value):
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


@pytest.mark.parametrize("key, value", [
    ("TRAIN.BATCH_SIZE", -1), ("TRAIN.BG_THRESH_LO", 0.0), ("TRAIN.FG_FRACTION", 1.0), ("TRAIN.FG_FRACTION", 0.0),
    ("TRAIN.FG_THRESH", 1), ("TRAIN.RPN_POSITIVE_WEIGHT", -1.0), ("TRAIN.RPN_PRE_NMS_TOP_N", -1), ("TEST.NMS", 1.5),
    ("TEST.NMS", -1.0), ("TRAIN.RPN_MIN_SIZE", 0), ("DEDUP_BOXES", 0.0), ("TRAIN.SNAPSHOT_ITERS", 0),
    ("TEST.RPN_POST_NMS_TOP_N", 0), ("RNG_SEED", 2 ** 32 - 1), ("TRAIN.OHEM_NMS_THRESH", 1.1), ("EXP_DIR", "a/b {c}"),
])
def test_values_of_real_life_stay_legal(key, value):
    cfg_from_list([key, value])
    check_cfg("TRAIN"), check_cfg("TEST")


@pytest.mark.parametrize("key, value", [       # what programs assign by themselves
    ("TRAIN.SCALES", [600]), ("TRAIN.SCALES", np.array([480, 600])), ("TRAIN.BG_THRESH_LO", 0), ("RNG_SEED", np.int64(7)),
    ("TRAIN.FG_FRACTION", np.float32(0.25)), ("PIXEL_MEANS", np.zeros((1, 1, 3), np.float32)), ("PIXEL_MEANS", [1, 2, 3]),
    ("TRAIN.USE_FLIPPED", 1), ("TEST.SVM", np.bool_(True)), ("GPU_ID", None),
])
def test_assigned_values_of_another_type_that_work_pass(key, value):
    with settings({key: value}):
        check_cfg("TRAIN"), check_cfg("TEST")


@pytest.mark.parametrize("key, value, words", [
    ("TRAIN.USE_OHEM", "False", "is 'False'; expected True or False"),
    ("TRAIN.BATCH_SIZE", 64.0, "is 64.0; expected an int"), ("TRAIN.SCALES", 600, "is 600; expected a list of int"),
    ("TRAIN.SCALES", (), "expected a list of int"), ("TRAIN.FG_THRESH", "0.5", "is '0.5'; expected a float"),
    ("TRAIN.BBOX_NORMALIZE_STDS", (0.1, 0.2), "expected a list of float"), ("TRAIN.MAX_SIZE", True, "expected an int"),
    ("PIXEL_MEANS", [1, 2], "expected 3 numbers"), ("EXP_DIR", 5, "is 5; expected text"),
])
def test_assigned_values_of_another_type_that_do_not_work_are_refused(key, value, words):
    with settings({key: value}), pytest.raises(UserError, match="setting %s .*%s" % (key, words)):
        check_cfg("TRAIN")


@pytest.mark.parametrize("changes, words", [
    ({"TRAIN.BG_THRESH_LO": 0.6}, "BG_THRESH_LO is 0.6 and BG_THRESH_HI 0.5, so no RoI is background"),
    ({"TRAIN.RPN_NEGATIVE_OVERLAP": 0.8}, "RPN_NEGATIVE_OVERLAP is 0.8 and RPN_POSITIVE_OVERLAP 0.7"),
    ({"TRAIN.USE_OHEM": True}, "BG_THRESH_LO is 0.1, but mining needs every background RoI"),
    ({"TRAIN.BATCH_SIZE": 7}, "BATCH_SIZE .7 RoIs. must be a multiple of TRAIN.IMS_PER_BATCH .2 images"),
])
def test_settings_that_contradict_each_other_are_refused(changes, words):
    with settings(changes), pytest.raises(UserError, match=words):
        check_cfg("TRAIN")


def test_settings_that_only_others_know_pass():
    cfg.TRAIN.FORKS_OWN = NAN
    try:
        check_cfg("TRAIN")
    finally:
        del cfg.TRAIN["FORKS_OWN"]


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="none.yml cannot be read: .*No such file"):
        cfg_from_file(tmp_path / "none.yml")


def test_files_cannot_run_code(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text("EXP_DIR: !!python/object/apply:os.getcwd []")
    with pytest.raises(UserError, match="cannot be read: could not determine a constructor"):
        cfg_from_file(path)


def test_output_dir(tmp_path):
    cfg.ROOT_DIR, cfg.EXP_DIR = str(tmp_path), "exp"
    imdb, net = types.SimpleNamespace(name="voc_2007_test"), types.SimpleNamespace(name="vgg16_iter_7")
    assert get_output_dir(imdb) == str(tmp_path / "output" / "exp" / "voc_2007_test")
    path = tmp_path / "output" / "exp" / "voc_2007_test" / "vgg16_iter_7"
    assert get_output_dir(imdb, net) == str(path) == get_output_dir(imdb, net)
    assert path.is_dir()


def test_timer(monkeypatch):
    clock = iter([0, 1, 10, 13])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    timer = Timer()
    timer.tic()
    assert timer.toc() == 1
    timer.tic()
    assert timer.toc(average=False) == 3
    assert (timer.average_time, timer.total_time, timer.calls, timer.diff) == (2, 4, 2, 3)


@pytest.mark.parametrize("exp_dir", ["../../elsewhere", "/elsewhere", "a/../../b"])
def test_a_file_may_not_lead_results_out_of_output(tmp_path, exp_dir):
    path = tmp_path / "evil.yml"
    path.write_text("EXP_DIR: %s\n" % exp_dir)
    with settings({}), pytest.raises(UserError, match="is outside the folder output; name a folder in it"):
        cfg_from_file(str(path))


def test_the_command_line_may_lead_results_anywhere(tmp_path):
    with settings({}):
        cfg_from_list(["EXP_DIR", str(tmp_path / "mine")])
        assert output_path(cfg.EXP_DIR, "voc") == str(tmp_path / "mine" / "voc")


def test_a_python_tuple_is_read_as_a_list_and_no_other_python_tag(tmp_path):
    """As in fast-rcnn's multiscale.yml and in py-R-FCN's prototxts for COCO."""
    path = tmp_path / "a.yml"
    path.write_text("TRAIN:\n  SCALES: !!python/tuple [480, 576]\n")
    with settings({}):
        cfg_from_file(path)
        assert cfg.TRAIN.SCALES == (480, 576)
    path.write_text("EXP_DIR: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UserError, match="a.yml cannot be read: .*python/object/apply:os.getcwd"):
        cfg_from_file(path)
    layer = type("Layer", (), {"param_str": "'feat_stride': 16\n'scales': !!python/tuple [4, 8, 16, 32]"})()
    assert read_params(layer, "'feat_stride': 16")["scales"] == [4, 8, 16, 32]


def test_the_early_spelling_of_agnostic(tmp_path, capsys):
    path = tmp_path / "a.yml"
    path.write_text("TRAIN:\n  AGONISTIC: true\n")
    with settings({"TRAIN.AGNOSTIC": False}):
        cfg_from_file(path)
        assert cfg.TRAIN.AGNOSTIC
    assert capsys.readouterr().out == f"setting TRAIN.AGONISTIC in {path} is the early name of TRAIN.AGNOSTIC\n"
