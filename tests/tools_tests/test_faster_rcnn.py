"""Faster R-CNN from outside: its scripts on a few images of the embedded data, and the tools of the alternation."""
import json
import shlex
import shutil
import signal

import cv2
import numpy as np
import pytest
from datasets.proposals import load_proposals
from fast_rcnn.class_names import read_class_names
from support.reference import ROOT
from support.weights import write_random_weights

DIGITNET = ROOT / "models" / "digits" / "DigitNet"


@pytest.fixture(scope="module")
def digits(server, tmp_path_factory):
    """3 images of digits to train on, 2 to test on."""
    folder = tmp_path_factory.mktemp("embedded") / "digits"
    result = server.run(["tools/make_digits.py", "--out", folder, "--train", "3", "--test", "2", "--workers", "1"], ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def settings(exp_dir):
    return ["--set", "EXP_DIR", exp_dir, "RNG_SEED", "17", "TEST.RPN_POST_NMS_TOP_N", "50", "TRAIN.RPN_POST_NMS_TOP_N", "200"]


@pytest.mark.parametrize("method", ["rfcn_end2end", "rfcn_end2end_ohem"])
def test_rfcn_scripts_train_and_test(run_script, digits, exp_dir, method):
    result = run_script(method + ".sh", "cpu", "DigitNet", "voc:%s" % digits, *settings(exp_dir), ITERS="2", WEIGHTS="none")
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(list((ROOT / "output" / exp_dir).glob("digits_test/digitnet_rfcn_iter_2/ap.json"))) == 1
    record = json.loads((ROOT / "output" / exp_dir / "digits_trainval" / "run.json").read_text())["config"]["TRAIN"]
    assert (record["USE_OHEM"], record["AGNOSTIC"]) == ("ohem" in method, True)


def test_rfcn_knows_resnet(commands_of):
    train, test = commands_of("rfcn_end2end_ohem.sh", "0", "ResNet-50", "pascal_voc_07+12")
    assert "ResNet-50/rfcn_end2end_ohem/solver_110k.prototxt" in train and "--iters 110000 " in train
    assert "--weights data/imagenet_models/ResNet-50-model.caffemodel" in train
    assert "--cfg experiments/cfgs/rfcn_end2end_ohem.yml" in train and "--cfg experiments/cfgs/rfcn_end2end_ohem.yml" in test


@pytest.mark.parametrize("method", ["faster_rcnn_end2end", "faster_rcnn_end2end_ohem"])
def test_end_to_end_script_trains_and_tests(run_script, digits, exp_dir, method):
    result = run_script(method + ".sh", "cpu", "DigitNet", "voc:%s" % digits, *settings(exp_dir),
                        "TRAIN.BATCH_SIZE", "16", ITERS="2", WEIGHTS="none")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "models/digits/DigitNet/%s/solver.prototxt" % method in result.stdout
    assert len(list((ROOT / "output" / exp_dir).glob("digits_test/digitnet_faster_rcnn_iter_2/ap.json"))) == 1
    record = json.loads((ROOT / "output" / exp_dir / "digits_trainval" / "run.json").read_text())["config"]["TRAIN"]
    assert (record["USE_OHEM"], record["OHEM_WARMUP_ITERS"]) == ((True, 200) if "ohem" in method else (False, 0))


@pytest.mark.parametrize("number, to_all", [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False)])
def test_a_signal_stops_the_alternation_with_a_snapshot(stop_script, digits, exp_dir, number, to_all):
    stop_script("faster_rcnn_alt_opt_ohem.sh", "cpu", "DigitNet", "voc:%s" % digits, *settings(exp_dir), number=number,
                to_all=to_all, ITERS="1000000,1,1,1", WEIGHTS="none")


def test_alternation_runs_its_stages_and_resumes(run, run_script, digits, exp_dir, tmp_path):
    """Mines in the Fast R-CNN stages, hands the weights on, and does again only what is missing."""
    result = run_script("faster_rcnn_alt_opt_ohem.sh", "cpu", "DigitNet", "voc:%s" % digits, *settings(exp_dir),
                        ITERS="2,1,2,1", WEIGHTS="none")
    assert result.returncode == 0, result.stdout + result.stderr
    assert [line[5:] for line in result.stdout.splitlines() if line.startswith("~~~~ ")] == [
        "stage1_rpn", "stage1_rpn", "stage1_fast_rcnn", "stage2_rpn", "stage2_rpn", "stage2_fast_rcnn"]
    output = ROOT / "output" / exp_dir
    assert len(list(output.glob("digits_test/DigitNet_faster_rcnn_final/ap.json"))) == 1
    names = read_class_names(output / "digits_trainval" / "DigitNet_faster_rcnn_final.caffemodel")
    assert names[0] == "__background__" and len(names) == 11 and len(set(names)) == 11
    mined = {stage: json.loads((output / stage / "digits_trainval" / "run.json").read_text())["config"]["TRAIN"]["USE_OHEM"]
             for stage in ("stage1_rpn", "stage1_fast_rcnn", "stage2_rpn", "stage2_fast_rcnn")}
    assert mined == {"stage1_rpn": False, "stage1_fast_rcnn": True, "stage2_rpn": False, "stage2_fast_rcnn": True}
    next((output / "stage2_rpn" / "digits_trainval").glob("*_proposals.npz")).unlink()
    again = run("train_faster_rcnn_alt_opt.py", "--resume", "auto", *command_words(result.stdout))
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("is there already") == 4      # the last stage follows from what was missing
    assert [line[5:] for line in again.stdout.splitlines() if line.startswith("~~~~ ")] == ["stage2_rpn", "stage2_fast_rcnn"]
    # Another data set of the same name is refused before any stage runs.
    other = tmp_path / "digits"
    shutil.copytree(digits, other)
    annotation = sorted((other / "Annotations").glob("trainval*.xml"))[0]
    annotation.write_text(annotation.read_text() + " ")
    words = [word.replace(str(digits), str(other)) for word in command_words(result.stdout)]
    for more in ((), ("--resume", "auto")):
        refused = run("train_faster_rcnn_alt_opt.py", *more, *words)
        assert refused.returncode == 1 and "~~~~" not in refused.stdout
        assert refused.stderr.splitlines()[-1].startswith("error: %s holds another training: " % (output / "digits_trainval"))


def command_words(said):
    """The flags of the first command that a script says."""
    return shlex.split(next(line for line in said.splitlines() if line.startswith("+ ")))[3:]


def test_script_of_the_plain_alternation_tells_its_tools(commands_of):
    train, test = commands_of("faster_rcnn_alt_opt.sh", "cpu", "ZF")
    assert "tools/train_faster_rcnn_alt_opt.py --net_name ZF --gpu cpu --imdb voc_2007_trainval --iters 40000 " in train
    assert "--weights data/imagenet_models/ZF.v2.caffemodel" in train and "faster_rcnn_alt_opt.yml" in train
    assert "ZF/faster_rcnn_alt_opt/faster_rcnn_test.pt" in test


def test_scripts_know_their_schedules(run_script, commands_of):
    train, _ = commands_of("faster_rcnn_end2end.sh", "cpu", "VGG16", "coco")
    assert "--iters 490000 " in train and "solver_490k.prototxt" in train
    assert "no schedule for coco" in run_script("faster_rcnn_alt_opt.sh", "cpu", "VGG16", "coco").stderr
    assert "one of: pascal_voc pascal_voc_07+12 coco digits" in run_script("faster_rcnn_end2end.sh", "cpu", "VGG16", "pascal_voc_12").stderr


def test_proposals_of_an_rpn_are_read_by_the_other_tools(run, voc_folder, tmp_path):
    out, prototxt = tmp_path / "rpn.npz", DIGITNET / "faster_rcnn_alt_opt" / "rpn_test.pt"
    weights = write_random_weights(prototxt, tmp_path / "rpn.caffemodel")
    result = run("rpn_generate.py", "--gpu", "cpu", "--def", prototxt, "--net", weights, "--imdb", "voc:%s@test" % voc_folder,
                 "--out", out, "--set", "TEST.SCALES", "[100]", "TEST.RPN_MIN_SIZE", "8", "TEST.RPN_POST_NMS_TOP_N", "40")
    assert result.returncode == 0, result.stdout + result.stderr
    box_list = load_proposals(str(out), ["b000", "b001", "b002"])
    assert len(box_list) == 3 and all(0 < len(boxes) <= 40 for boxes in box_list)
    for k, boxes in enumerate(box_list):
        assert boxes.min() >= 0 and (boxes.max(axis=0) <= [119, 89 + k, 119, 89 + k]).all()
        assert np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    said = run("eval_recall.py", "--imdb", "voc:%s@test" % voc_folder, "--rpn-file", out)
    assert said.returncode == 0 and "Method: rpn, 3 images of things_test, " in said.stdout


def test_proposals_go_to_a_folder_that_was_not_there(run, voc_folder, tmp_path):
    prototxt = DIGITNET / "faster_rcnn_alt_opt" / "rpn_test.pt"
    result = run("rpn_generate.py", "--gpu", "cpu", "--def", prototxt, "--net", write_random_weights(prototxt, tmp_path / "rpn.caffemodel"),
                 "--imdb", "voc:%s@test" % voc_folder, "--out", tmp_path / "new" / "rpn.npz", "--set", "TEST.SCALES", "[100]")
    assert result.returncode == 0 and (tmp_path / "new" / "rpn.npz").is_file(), result.stdout + result.stderr


def test_a_bad_image_is_named_before_the_first_detection(run, voc_folder, exp_dir, tmp_path):
    prototxt = DIGITNET / "faster_rcnn_end2end" / "test.prototxt"
    weights = write_random_weights(prototxt, tmp_path / "net.caffemodel")
    (voc_folder / "JPEGImages" / "b002.jpg").write_bytes(b"no image")
    result = run("test_net.py", "--gpu", "cpu", "--def", prototxt, "--net", weights, "--imdb", "voc:%s@test" % voc_folder,
                 "--set", "EXP_DIR", exp_dir, "TEST.HAS_RPN", "True", "TEST.SCALES", "[100]")
    assert result.returncode == 1 and "b002.jpg" in result.stderr, result.stdout + result.stderr
    assert "things_test check: 3 of 3 images" in result.stderr


def test_a_net_with_an_rpn_is_compressed(run, tmp_path):
    method = DIGITNET / "faster_rcnn_end2end"
    weights = write_random_weights(method / "test.prototxt", tmp_path / "net.caffemodel")
    result = run("compress_net.py", "--def", method / "test.prototxt", "--def-svd", tmp_path / "svd.prototxt", "--net", weights,
                 "--ranks", "fc6=8")
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stdout + result.stderr
    assert "cls_prob: the same class wins" in result.stdout or "other proposals" in result.stdout


@pytest.mark.parametrize("tool, args, words", [
    ("train_faster_rcnn_alt_opt.py", ["--net_name", "ResNet"], "there is no folder models/*/ResNet/faster_rcnn_alt_opt"),
    ("train_faster_rcnn_alt_opt.py", ["--net_name", "ZF", "--iters", "3,4"], "expected one number or four"),
    ("train_faster_rcnn_alt_opt.py", ["--net_name", "ZF", "--weights", "nowhere"], "--weights nowhere: no such file"),
    ("rpn_generate.py", ["--gpu", "cpu", "--def", "nowhere", "--net", "nowhere"], "--def nowhere: no such file"),
    ("train_net.py", ["--gpu", "cpu", "--solver", str(DIGITNET / "fast_rcnn" / "solver.prototxt"), "--set", "TRAIN.PROPOSAL_METHOD", "rpn"],
     "takes 1 --rpn-file, got 0"),
])
def test_mistakes_are_one_line(run, tool, args, words):
    result = run(tool, *args)
    assert result.returncode != 0 and words in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("method", ["faster_rcnn_end2end", "rfcn_end2end"])
def test_demo_takes_the_proposals_of_the_net(run, tmp_path, method):
    prototxt = DIGITNET / method / "test.prototxt"
    weights = write_random_weights(prototxt, tmp_path / "net.caffemodel")
    (tmp_path / "run.json").write_text(json.dumps({"prefix": "net", "classes": ["__background__", "ball", "cup"], "config": {
        "PIXEL_MEANS": [104, 117, 123], "TEST": {"SCALES": [100], "MAX_SIZE": 200}}}))
    cv2.imwrite(str(tmp_path / "a.jpg"), np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8))
    said = run("demo.py", "--cpu", "--def", prototxt, "--model", weights, "--thresh", "0", "--out", tmp_path / "out",
               tmp_path / "a.jpg", "--set", "TEST.RPN_MIN_SIZE", "8", "TEST.RPN_POST_NMS_TOP_N", "20")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "proposals of the net" in said.stdout and "selective search" not in said.stdout
    assert len(list((tmp_path / "out").iterdir())) == 1
