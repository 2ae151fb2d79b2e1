"""experiments/scripts/*.sh as their users start them."""
import pytest
from support.reference import ROOT

SCRIPTS = ["fast_rcnn.sh", "fast_rcnn_ohem.sh", "fast_rcnn_ohem_07tv12tv.sh"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_alone_prints_its_usage(run_script, script):
    result = run_script(script)
    assert result.returncode == 1 and "GPU_ID NET [DATASET] [--set KEY VALUE ...]" in result.stderr


@pytest.mark.parametrize("args, words", [
    (["cpu", "SqueezeNet", "coco"], "coco is not supported yet"),
    (["cpu", "SqueezeNet", "imagenet"], "unknown data set imagenet"),
    (["cpu", "ResNet"], "unknown net ResNet"),
    (["cpu", "SqueezeNet", "pascal_voc", "--sett", "A", "B"], "expected --set"),
])
def test_mistakes_are_one_line(run_script, args, words):
    result = run_script("fast_rcnn_ohem.sh", *args)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and words in result.stderr


def test_joint_training_takes_only_voc(run_script):
    result = run_script("fast_rcnn_ohem_07tv12tv.sh", "cpu", "SqueezeNet", "digits")
    assert result.returncode == 1 and "VOC 2007 and 2012" in result.stderr


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


def test_failing_training_stops_the_script(run_script, voc_folder, exp_dir):
    result = run_script("fast_rcnn.sh", "cpu", "DigitNet", "voc:%s" % (voc_folder / "nowhere"), "--set", "EXP_DIR",
                        exp_dir, ITERS="2")
    assert result.returncode == 1
    assert "error: " in result.stdout and "test_net.py" not in result.stdout
