"""experiments/scripts/*.sh as their users start them."""
import contextlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.reference import ROOT

SCRIPTS = ["fast_rcnn.sh", "fast_rcnn_ohem.sh", "fast_rcnn_ohem_07tv12tv.sh"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_alone_prints_its_usage(run_script, script):
    result = run_script(script)
    assert result.returncode == 1 and "GPU_ID NET [DATASET] [--dry-run] [--cfg FILE ...] [--set KEY VALUE ...]" in result.stderr


@pytest.mark.parametrize("args, words", [
    (["cpu", "SqueezeNet", "imagenet"], "unknown data set imagenet; use voc:FOLDER, coco:FOLDER, imdb:TRAIN/TEST or one of: pascal_voc"),
    (["cpu", "ResNet"], "unknown net ResNet"),
    (["cpu", "SqueezeNet", "pascal_voc", "--sett", "A", "B"], "expected --cfg or --set"),
    (["cpu", "SqueezeNet", "pascal_voc", "--cfg", "no.yml"], "--cfg no.yml: no such file"),
])
def test_mistakes_are_one_line(run_script, args, words):
    result = run_script("fast_rcnn_ohem.sh", *args)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and words in result.stderr


def test_dry_run_prints_the_commands_and_runs_none(run_script):
    result = run_script("fast_rcnn_ohem.sh", "cpu", "DigitNet", "digits", "--dry-run", "--set", "EXP_DIR", "a b", "RNG_SEED", "7")
    assert result.returncode == 0, result.stderr
    train, test = map(shlex.split, result.stdout.splitlines())
    assert train[1] == "tools/train_net.py" and test[1] == "tools/test_net.py"
    assert train[-5:] == test[-5:] == ["--set", "EXP_DIR", "a b", "RNG_SEED", "7"]
    assert test[test.index("--net") + 1] == "output/a b/digits_trainval/digitnet_fast_rcnn_iter_1600.caffemodel"


def test_a_settings_file_after_the_data_set(run_script, tmp_path):
    """Both commands read it after the method's own, and results go where its EXP_DIR says."""
    path = tmp_path / "my.yml"
    path.write_text("EXP_DIR: mine\nTRAIN:\n  SCALES: !!python/tuple [480, 576]\n", encoding="utf-8")
    result = run_script("fast_rcnn_ohem.sh", "cpu", "DigitNet", "digits", "--dry-run", "--cfg", path, "--set", "RNG_SEED", "7")
    assert result.returncode == 0, result.stderr
    train, test = map(shlex.split, result.stdout.splitlines())
    assert train[-5:] == test[-5:] == ["--cfg", str(path), "--set", "RNG_SEED", "7"]
    assert test[test.index("--net") + 1] == "output/mine/digits_trainval/digitnet_fast_rcnn_iter_1600.caffemodel"


def test_paths_and_names_of_any_kind_stay_one_word(commands_of):
    folder = "/data/my photos (ü)'s+more/one\ntwo"
    train, test = map(shlex.split, "\n".join(commands_of("fast_rcnn.sh", "cpu", "VGG16", "voc:" + folder)).split("\n.venv"))
    assert "voc:%s@trainval" % folder in train and "voc:%s@test" % folder in test


def test_two_folders_are_joined_for_training_and_the_first_is_tested(commands_of):
    train, test = map(shlex.split, commands_of("fast_rcnn.sh", "cpu", "VGG16", "voc:/a+b/one+voc:two"))
    assert "voc:/a+b/one@trainval+voc:two@trainval" in train and "voc:/a+b/one@test" in test
    assert "output/default/one_trainval+two_trainval/vgg16_fast_rcnn_iter_40000.caffemodel" in test


def test_joint_training_takes_only_voc(run_script):
    result = run_script("fast_rcnn_ohem_07tv12tv.sh", "cpu", "SqueezeNet", "digits")
    assert result.returncode == 1 and "trains on pascal_voc_07+12 and takes no other" in result.stderr


ROWS = [line.split() for line in (ROOT / "experiments/scripts/settings.txt").read_text().splitlines()
        if line and line[0] != "#"]


@pytest.mark.parametrize("script, method", [("fast_rcnn.sh", "fast_rcnn"), ("fast_rcnn_ohem.sh", "fast_rcnn_ohem")])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_of_the_table_trains_and_tests_on_its_sets(commands_of, row, script, method):
    dataset, train_imdb, test_imdb, solver, iters, paper = row
    start = {"WEIGHTS": "coco.caffemodel"} if dataset.endswith("+coco") else {}
    train, test = commands_of(script, "cpu", "VGG16", dataset, **start)
    assert "--imdb %s --iters %s " % (train_imdb, iters) in train and "%s/%s.prototxt" % (method, solver) in train
    assert "--imdb %s " % test_imdb in test and "_iter_%s.caffemodel " % iters in test
    if paper != "-":
        train, _ = commands_of(script, "cpu", "VGG16", dataset, SCHEDULE="paper", **start)
        assert "--iters %s " % paper in train and "%s/solver_200k.prototxt" % method in train


def test_the_originals_script_for_joint_training_keeps_its_name(commands_of):
    train, test = commands_of("fast_rcnn_ohem_07tv12tv.sh", "0", "VGG16", "--set", "RNG_SEED", "7")
    assert "--imdb voc_2007_trainval+voc_2012_trainval --iters 80000 " in train and train.endswith("--set RNG_SEED 7")
    assert "--gpu 0" in test and "--imdb voc_2007_test" in test


def cfgs_of(line):
    return [word.rpartition("/")[2].removesuffix(".yml") for word in line.split() if word.endswith(".yml")]


@pytest.mark.parametrize("plus, train_cfgs, test_cfgs, folder", [
    ("M", ["multiscale"], [], "_multiscale"),
    ("B", [], ["multistage"], ""),
    ("M+B", ["multiscale"], ["multistage"], "_multiscale"),
])
@pytest.mark.parametrize("script, cfgs", [("fast_rcnn.sh", []), ("fast_rcnn_ohem.sh", ["fast_rcnn_ohem"])])
def test_several_scales_and_stages(commands_of, script, cfgs, plus, train_cfgs, test_cfgs, folder):
    """Each has a folder of its own for what it trains and tests; the user's --set stands last, so it wins."""
    train, test = commands_of(script, "cpu", "VGG16", "pascal_voc_07+12", "--set", "RNG_SEED", "7", PLUS=plus)
    assert cfgs_of(train) == cfgs + train_cfgs and cfgs_of(test) == cfgs + train_cfgs + test_cfgs
    trained = script.removesuffix(".sh") + folder
    assert train.endswith("--set EXP_DIR %s RNG_SEED 7" % trained if folder else "--set RNG_SEED 7")
    assert test.endswith("--set EXP_DIR %s RNG_SEED 7" % (trained + "_multistage" if test_cfgs else trained))


def test_nets_on_smaller_images_have_smaller_scales(commands_of):
    train, test = commands_of("fast_rcnn_ohem.sh", "cpu", "SqueezeNet", PLUS="M+B")
    assert cfgs_of(train) == ["fast_rcnn_ohem", "SqueezeNet", "multiscale", "multiscale_SqueezeNet"]
    assert cfgs_of(test) == cfgs_of(train) + ["multistage"]


def test_a_trained_net_is_only_tested(commands_of):
    test, = commands_of("fast_rcnn_ohem.sh", "cpu", "VGG16", PLUS="M+B", TRAINED="mine.caffemodel")
    assert "test_net.py" in test and "--net mine.caffemodel" in test and "multistage.yml" in test


def test_with_coco_training_starts_from_the_net_trained_there(commands_of, run_script):
    train, _ = commands_of("fast_rcnn_ohem.sh", "cpu", "VGG16", "pascal_voc_07++12+coco", PLUS="M+B", WEIGHTS="c.caffemodel")
    assert "--weights c.caffemodel" in train and train.endswith("EXP_DIR fast_rcnn_ohem_multiscale_from_coco")
    result = run_script("fast_rcnn_ohem.sh", "cpu", "VGG16", "pascal_voc_07++12+coco", PLUS="M+B")
    assert result.returncode == 1 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert "output/fast_rcnn_ohem_multiscale/coco_2014_trainval/vgg16_fast_rcnn_iter_240000.caffemodel" in result.stderr


def test_unknown_plus(run_script):
    result = run_script("fast_rcnn.sh", "cpu", "SqueezeNet", PLUS="MM")
    assert result.returncode == 1 and result.stderr == "error: unknown PLUS MM; use M, B or M+B\n"


def test_precision_of_training_and_testing(commands_of):
    assert all("--gpu cpu --precision bf16 " in line for line in commands_of("fast_rcnn.sh", "cpu", "VGG16", PRECISION="bf16"))
    assert not any("--precision" in line for line in commands_of("fast_rcnn.sh", "cpu", "VGG16"))


@pytest.mark.parametrize("script, method", [("fast_rcnn.sh", "fast_rcnn"), ("fast_rcnn_ohem.sh", "fast_rcnn_ohem")])
def test_script_trains_and_tests(run_script, voc_folder, exp_dir, script, method):
    """Both methods train the right prototxts and are tested with the same flags (the original's were not)."""
    result = run_script(script, "cpu", "DigitNet", "voc:%s" % voc_folder, "--set", "EXP_DIR", exp_dir, "RNG_SEED", "17",
                        "TRAIN.SCALES", "[90, 100]", ITERS="2", WEIGHTS="none")
    assert result.returncode == 0, result.stdout + result.stderr
    commands = [line for line in result.stdout.splitlines() if line.startswith("+ ")]
    assert ["train_net.py" in commands[0], "test_net.py" in commands[1], len(commands)] == [True, True, 2]
    assert "models/digits/DigitNet/%s/solver.prototxt" % method in commands[0]
    assert "--num_dets 2000 --det_thresh 0.00001" in commands[1]
    assert "Seed: 17" in result.stdout
    assert ("USE_OHEM': True" in result.stdout) == (method == "fast_rcnn_ohem")
    results = list((ROOT / "output" / exp_dir / "things_test").glob("digitnet_fast_rcnn_iter_2/ap.json"))
    assert len(results) == 1


@pytest.mark.parametrize("number, to_all, nproc", [
    (signal.SIGINT, True, "1"),         # as a terminal's Ctrl-C
    (signal.SIGINT, True, "2"), (signal.SIGTERM, True, "1"), (signal.SIGTERM, False, "1"), (signal.SIGTERM, False, "2")])
def test_a_signal_to_the_script_stops_the_training_with_a_snapshot(stop_script, voc_folder, exp_dir, number, to_all, nproc):
    stop_script("fast_rcnn_ohem.sh", "cpu", "DigitNet", "voc:%s" % voc_folder, "--set", "EXP_DIR", exp_dir, "TRAIN.SCALES",
                "[90]", number=number, to_all=to_all, ITERS="1000000", WEIGHTS="none", NPROC=nproc)


def pid_of(*words):
    """Of the process whose command has all these words."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):      # one that ended meanwhile
            command = (path / "cmdline").read_text().split("\0")
            if all(word in command for word in words):
                return int(path.name)
    raise AssertionError("no process has %s" % (words,))


def test_a_script_is_suspended_with_the_training_it_runs(voc_folder, exp_dir):
    """As by a terminal's Ctrl-Z, and fg."""
    def suspended(pid):
        return Path("/proc/%d/stat" % pid).read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"

    command = [ROOT / "experiments" / "scripts" / "fast_rcnn_ohem.sh", "cpu", "DigitNet", "voc:%s" % voc_folder,
               "--set", "EXP_DIR", exp_dir, "TRAIN.SCALES", "[90]"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "ITERS": "1000000", "WEIGHTS": "none"},
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as script:
        log = ROOT / script.stdout.readline().split(" to ", 1)[1].strip()
        try:
            for line in script.stdout:
                if line.startswith("Iteration 20:"):
                    break
            training = pid_of("tools/train_net.py", exp_dir)
            for number, expected in ((signal.SIGTSTP, True), (signal.SIGCONT, False)):
                os.kill(script.pid, number)
                deadline = time.monotonic() + 20
                while (suspended(script.pid), suspended(training)) != (expected, expected):
                    assert time.monotonic() < deadline, (number, suspended(script.pid), suspended(training))
                    time.sleep(0.05)
            os.kill(script.pid, signal.SIGTERM)
            assert "Stopped by SIGTERM" in script.communicate(timeout=90)[0].splitlines()[-1]
        finally:
            log.unlink()


def test_failing_training_stops_the_script(run_script, voc_folder, exp_dir):
    result = run_script("fast_rcnn.sh", "cpu", "DigitNet", "voc:%s" % (voc_folder / "nowhere"), "--set", "EXP_DIR",
                        exp_dir, ITERS="2")
    assert result.returncode == 1
    assert "error: " in result.stdout and "test_net.py" not in result.stdout


def test_overwrite_reaches_the_training_tools(commands_of):
    for script in ("fast_rcnn_ohem.sh", "faster_rcnn_alt_opt.sh"):
        train, test = commands_of(script, "cpu", "VGG16", OVERWRITE="1")
        assert " --overwrite" in train and " --overwrite" not in test
        assert " --overwrite" not in commands_of(script, "cpu", "VGG16")[0]


def test_the_tested_net_has_the_infix_of_the_trained_one(commands_of):
    _, test = commands_of("fast_rcnn.sh", "cpu", "VGG16", "--set", "TRAIN.SNAPSHOT_INFIX", "mine")
    assert "/vgg16_fast_rcnn_mine_iter_40000.caffemodel" in test
